package kandinsky

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
)

const (
	maxMessageBytes = 64 << 20
	severalScheme   = "kandinsky"
	roundRobin      = `{"loadBalancingConfig": [{"round_robin": {}}]}`
)

// dialing is what grpc.NewClient needs for a Config.
func dialing(config Config) (string, []grpc.DialOption, error) {
	servers := config.Servers
	if len(servers) == 0 {
		servers = []string{DefaultServer}
	}
	secured, err := security(config, servers)
	if err != nil {
		return "", nil, err
	}
	options := append(secured,
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes),
		),
		grpc.WithDefaultServiceConfig(roundRobin),
		grpc.WithDisableServiceConfig(), // no DNS look-up of TXT records
		// A picture may take minutes without a byte on the wire: notice a dead
		// connection, and keep middleboxes from closing a live one. The gateway
		// allows pings this often.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 10 * time.Second,
			},
			MinConnectTimeout: 5 * time.Second,
		}),
	)
	options = append(options, config.DialOptions...)
	if len(servers) == 1 {
		return servers[0], options, nil
	}
	addresses, err := addressesOf(servers)
	if err != nil {
		return "", nil, err
	}
	return severalScheme + ":///", append(options, grpc.WithResolvers(several(addresses))), nil
}

func security(config Config, servers []string) ([]grpc.DialOption, error) {
	transport := insecure.NewCredentials()
	if config.TLS != nil {
		transport = credentials.NewTLS(config.TLS)
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(transport)}
	if config.Token == "" {
		return options, nil
	}
	for _, server := range servers {
		if config.TLS == nil && !isLoopback(server) {
			return nil, fmt.Errorf("kandinsky: the token would go to %s unencrypted; connect over TLS", server)
		}
	}
	return append(options, grpc.WithPerRPCCredentials(bearer(config.Token))), nil
}

func isLoopback(server string) bool {
	if strings.HasPrefix(server, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		return false
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// bearer is a token as gRPC sends it.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity is false because security has already refused to
// send a token unencrypted to another machine.
func (b bearer) RequireTransportSecurity() bool { return false }

func addressesOf(servers []string) ([]resolver.Endpoint, error) {
	endpoints := make([]resolver.Endpoint, len(servers))
	for i, server := range servers {
		host, port, err := net.SplitHostPort(server)
		if err != nil || port == "" || strings.Contains(server, "/") {
			return nil, fmt.Errorf("kandinsky: of several Config.Servers each is host:port, not %q", server)
		}
		// Each gateway is authenticated by its own name.
		endpoints[i].Addresses = []resolver.Address{{Addr: server, ServerName: host}}
	}
	return endpoints, nil
}

// several resolves to a fixed list of servers.
type several []resolver.Endpoint

func (s several) Build(
	_ resolver.Target, connection resolver.ClientConn, _ resolver.BuildOptions,
) (resolver.Resolver, error) {
	if len(s) == 0 {
		return nil, errors.New("kandinsky: no servers")
	}
	return s, connection.UpdateState(resolver.State{Endpoints: s})
}

func (several) Scheme() string                        { return severalScheme }
func (several) ResolveNow(resolver.ResolveNowOptions) {}
func (several) Close()                                {}
