package live

import (
	"context"
	"sync"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

// attempts notes what came of each request that left a client.
type attempts struct {
	mutex sync.Mutex
	codes map[codes.Code]int
	peers map[string]bool
}

func (a *attempts) note(
	ctx context.Context, method string, request, answer any, connection *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	var server peer.Peer
	err := invoke(ctx, method, request, answer, connection, append(options, grpc.Peer(&server))...)
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.codes[status.Code(err)]++
	if err == nil {
		a.peers[server.Addr.String()] = true
	}
	return err
}

func (a *attempts) answeredBy() int {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return len(a.peers)
}

func TestAfterAKilledGatewayTheNextOneServes(t *testing.T) {
	client := connect(t, kandinsky.Config{})
	first, second := gateway(t, client), gateway(t, client)
	seen := &attempts{codes: map[codes.Code]int{}, peers: map[string]bool{}}
	both := connect(t, kandinsky.Config{
		Servers:     []string{first.address, second.address},
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(seen.note)},
	})
	for seen.answeredBy() < 2 { // connected to both, so that of two calls each gets one
		if _, err := both.Info(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var calls sync.WaitGroup
	failures := make(chan error, 2)
	for range 2 {
		calls.Go(func() {
			_, err := both.Img2Img(t.Context(), long(t, 60))
			failures <- err
		})
	}
	awaitDecoder(t, client, func(rows int) bool { return rows == 2 })
	first.stop(syscall.SIGKILL)
	calls.Wait()
	for range 2 {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if seen.codes[codes.Unavailable] == 0 {
		t.Errorf("the killed gateway had no call: %v", seen.codes)
	}
}

// gateway starts another gateway in front of the deployment's workers.
func gateway(t *testing.T, client *kandinsky.Client, flags ...string) *process {
	t.Helper()
	workers := []string{"--prior", worker(t, client, "prior"), "--decoder", worker(t, client, "decoder"), "--port", "0"}
	own, err := start("kandinsky-gateway", nil, append(workers, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.stop(syscall.SIGTERM) })
	return own
}
