package kandinsky

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	defaultMaxAttempts  = 4
	defaultInitialDelay = 250 * time.Millisecond
	defaultMaxDelay     = 30 * time.Second
)

// retries counts the attempts of one call.
type retries struct {
	policy Retry
	failed int
}

// wait sleeps until the next attempt and tells whether there is to be one. It
// returns false at once where the context would end before.
func (r *retries) wait(ctx context.Context, failed *Error) bool {
	pause, again := r.next(failed, rand.Float64())
	if !again {
		return false
	}
	if deadline, has := ctx.Deadline(); has && time.Until(deadline) <= pause {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// next is the pause before another attempt, if there is to be one: what the
// server asked for, and a random part on top (dice is 0 … 1), so that clients
// do not come back together.
func (r *retries) next(failed *Error, dice float64) (time.Duration, bool) {
	r.failed++
	if r.failed >= cmp.Or(r.policy.MaxAttempts, defaultMaxAttempts) || !r.policy.allows(failed) {
		return 0, false
	}
	longest := cmp.Or(r.policy.MaxDelay, defaultMaxDelay)
	var asked time.Duration
	if failed.RetryAfter != nil {
		asked = *failed.RetryAfter
	}
	backoff := float64(cmp.Or(r.policy.InitialDelay, defaultInitialDelay)) * math.Exp2(float64(r.failed-1))
	random := time.Duration(min(backoff, float64(longest)) * (0.5 + 0.5*dice))
	return min(asked+random, longest), asked <= longest
}

func (p Retry) allows(failed *Error) bool {
	switch failed.Code {
	case codes.Unavailable:
		return true
	case codes.ResourceExhausted:
		return p.Busy && failed.RetryAfter != nil
	default:
		return false
	}
}
