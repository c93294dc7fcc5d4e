package kandinsky

import (
	"crypto/tls"
	"time"

	"google.golang.org/grpc"
)

// DefaultServer is where "kandinsky serve" listens.
const DefaultServer = "127.0.0.1:50050"

// Config says how to reach the gateways. The zero value is the gateway of this
// machine, without encryption.
type Config struct {
	// Servers are the gateways, each host:port; several share the calls. One
	// alone may also be any target of grpc-go: dns:///name:port shares the
	// calls among all addresses of the name. Empty: DefaultServer.
	Servers []string
	// TLS turns encryption on; &tls.Config{} trusts the system's authorities.
	// See TLSFiles for a private authority and for mutual TLS.
	TLS *tls.Config
	// Token is sent as "authorization: Bearer TOKEN" with every call. It needs
	// TLS, except to this machine.
	Token string
	// Timeout is for calls whose context has no deadline, retries included.
	// 0: they take as long as they take.
	Timeout time.Duration
	// Retry says how persistent to be.
	Retry Retry
	// DialOptions are added to the client's own: interceptors, or a stats
	// handler that traces the calls.
	DialOptions []grpc.DialOption
}

// Retry says how often and when a call that failed with UNAVAILABLE is sent
// again. The zero value has the defaults.
type Retry struct {
	// MaxAttempts is how often a call is sent at most; 1: never again. 0: 4.
	MaxAttempts int
	// InitialDelay is the pause before the second attempt; it doubles with
	// each one, and what the server asks for is added to it. 0: 250 ms.
	InitialDelay time.Duration
	// MaxDelay is the longest pause: a server that asks for a longer one gets
	// no further attempt. 0: 30 s.
	MaxDelay time.Duration
	// Busy is whether to wait, too, when the server is full and says when to
	// come back (RESOURCE_EXHAUSTED).
	Busy bool
}
