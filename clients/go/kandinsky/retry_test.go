package kandinsky

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	imagegenv1 "github.com/kandinsky-serving/kandinsky-serving/clients/go/gen/imagegen/v1"
)

func TestACallThatFoundNoServerIsSentAgain(t *testing.T) {
	fake := &fakeGateway{failures: []error{failure(codes.Unavailable), failure(codes.Unavailable, comeBackIn(time.Millisecond))}}
	client := connect(t, Config{Servers: []string{serve(t, fake)}, Retry: quick})
	if _, err := client.Img2Img(t.Context(), Img2ImgRequest{Image: anyPNG}); err != nil {
		t.Fatal(err)
	}
	if fake.calls.Load() != 3 {
		t.Errorf("%d calls", fake.calls.Load())
	}
}

func TestAStreamIsSentAgainUntilItsFirstEvent(t *testing.T) {
	fake := &fakeGateway{failures: []error{failure(codes.Unavailable)}}
	client := connect(t, Config{Servers: []string{serve(t, fake)}, Retry: quick})
	for _, err := range client.StreamImg2Img(t.Context(), Img2ImgRequest{Image: anyPNG}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	fake.failures = []error{failure(codes.Unavailable)}
	fake.events = []*imagegenv1.StreamImg2ImgResponse{event(&imagegenv1.Queued{})}
	var last error
	for _, err := range client.StreamImg2Img(t.Context(), Img2ImgRequest{Image: anyPNG}) {
		last = err
	}
	if failed, ok := errors.AsType[*Error](last); !ok || failed.Code != codes.Unavailable {
		t.Errorf("got %v", last)
	}
}

func TestACallThatAClosingServerNeverLookedAtIsSentAgain(t *testing.T) {
	fake := &fakeGateway{failures: []error{status.Error(codes.Canceled, "CANCELLED")}}
	client := connect(t, Config{Servers: []string{serve(t, fake)}, Retry: quick})
	if _, err := client.Img2Img(t.Context(), Img2ImgRequest{Image: anyPNG}); err != nil || fake.calls.Load() != 2 {
		t.Errorf("%d calls, %v", fake.calls.Load(), err)
	}
	once := connect(t, Config{Servers: []string{serve(t, fake)}, Retry: Retry{MaxAttempts: 1}})
	fake.failures = []error{status.Error(codes.Canceled, "CANCELLED")}
	if _, err := once.Img2Img(t.Context(), Img2ImgRequest{Image: anyPNG}); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
}

func TestOtherErrorsAreNotSentAgain(t *testing.T) {
	for _, code := range []codes.Code{codes.Internal, codes.InvalidArgument, codes.ResourceExhausted, codes.AlreadyExists} {
		fake := &fakeGateway{failures: []error{failure(code, comeBackIn(0))}}
		client := connect(t, Config{Servers: []string{serve(t, fake)}, Retry: quick})
		if _, err := client.Img2Img(t.Context(), Img2ImgRequest{Image: anyPNG}); err == nil || fake.calls.Load() != 1 {
			t.Errorf("%s: %d calls, %v", code, fake.calls.Load(), err)
		}
	}
}

func TestAttemptsEnd(t *testing.T) {
	unavailable := &Error{Code: codes.Unavailable}
	attempts := retries{}
	for range 3 {
		if _, again := attempts.next(unavailable, 0); !again {
			t.Fatal("gave up early")
		}
	}
	if _, again := attempts.next(unavailable, 0); again {
		t.Error("a fifth attempt")
	}
	if _, again := (&retries{policy: Retry{MaxAttempts: 1}}).next(unavailable, 0); again {
		t.Error("a second attempt that was forbidden")
	}
}

func TestPausesGrowAndHonourWhatTheServerAsks(t *testing.T) {
	unavailable := &Error{Code: codes.Unavailable}
	attempts := retries{}
	for _, want := range []time.Duration{250, 500, 1000} {
		if pause, _ := attempts.next(unavailable, 1); pause != want*time.Millisecond {
			t.Errorf("pause %v, want %v ms", pause, want)
		}
	}
	asked := &Error{Code: codes.Unavailable, RetryAfter: new(5 * time.Second)}
	if pause, _ := (&retries{}).next(asked, 0); pause != 5125*time.Millisecond {
		t.Errorf("pause %v", pause)
	}
	asked.RetryAfter = new(time.Minute)
	if _, again := (&retries{}).next(asked, 0); again {
		t.Error("waits for longer than MaxDelay")
	}
}

func TestNoPauseIsLongerThanMaxDelayHoweverManyAttemptsThereAre(t *testing.T) {
	attempts := retries{policy: Retry{MaxAttempts: 200}}
	var pause time.Duration
	for range 199 {
		var again bool
		if pause, again = attempts.next(&Error{Code: codes.Unavailable}, 1); !again {
			t.Fatal("gave up early")
		}
	}
	if pause != 30*time.Second {
		t.Errorf("pause %v", pause)
	}
}

func TestAFullServerIsWaitedForOnlyIfAsked(t *testing.T) {
	busy := &Error{Code: codes.ResourceExhausted, RetryAfter: new(time.Second)}
	if _, again := (&retries{}).next(busy, 0); again {
		t.Error("waits unasked")
	}
	if _, again := (&retries{policy: Retry{Busy: true}}).next(busy, 0); !again {
		t.Error("does not wait")
	}
	busy.RetryAfter = nil
	if _, again := (&retries{policy: Retry{Busy: true}}).next(busy, 0); again {
		t.Error("waits for a server that names no time")
	}
}

func TestNoPauseGoesBeyondTheDeadline(t *testing.T) {
	fake := &fakeGateway{failures: []error{failure(codes.Unavailable, comeBackIn(20*time.Second))}}
	client := connect(t, Config{Servers: []string{serve(t, fake)}, Timeout: 10 * time.Second})
	start := time.Now()
	_, err := client.Img2Img(t.Context(), Img2ImgRequest{Image: anyPNG})
	if failed, ok := errors.AsType[*Error](err); !ok || failed.Code != codes.Unavailable || time.Since(start) > 5*time.Second {
		t.Errorf("got %v after %v", err, time.Since(start))
	}
}

func TestCallsGoToAllServersAndPastThoseThatAreDown(t *testing.T) {
	one, two := &fakeGateway{}, &fakeGateway{}
	servers := []string{serve(t, one), "127.0.0.1:1", serve(t, two)}
	client := connect(t, Config{Servers: servers, Retry: quick})
	for one.calls.Load() == 0 || two.calls.Load() == 0 { // connections are made in any order
		if _, err := client.Img2Img(t.Context(), Img2ImgRequest{Image: anyPNG}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOfSeveralServersEachHasAHostAndAPort(t *testing.T) {
	for _, wrong := range []string{"dns:///gateways:50050", "gateway", "gateway:"} {
		if _, err := New(Config{Servers: []string{"127.0.0.1:1", wrong}}); err == nil {
			t.Errorf("accepts %s", wrong)
		}
	}
}
