package live

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kandinsky-serving/kandinsky-serving/clients/go/internal/testca"
	"github.com/kandinsky-serving/kandinsky-serving/clients/go/kandinsky"
)

const token = "a token of this test"

func TestAGatewayThatWantsACertificateAndATokenGetsThem(t *testing.T) {
	authority := testca.New(t)
	server := securedGateway(t, authority)
	cert, key := authority.Issue(t, "client")
	ours, err := kandinsky.TLSFiles{CA: authority.CA(), Cert: cert, Key: key}.Config()
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, kandinsky.Config{Servers: []string{server.address}, TLS: ours, Token: token})
	if _, err := client.Info(t.Context()); err != nil {
		t.Error(err)
	}

	other := connect(t, kandinsky.Config{Servers: []string{server.address}, TLS: ours, Token: "another"})
	if _, err := other.Info(t.Context()); status.Code(err) != codes.Unauthenticated {
		t.Errorf("with another token: %v", err)
	}

	anonymous, err := kandinsky.TLSFiles{CA: authority.CA()}.Config()
	if err != nil {
		t.Fatal(err)
	}
	once := kandinsky.Retry{MaxAttempts: 1}
	nobody := connect(t, kandinsky.Config{Servers: []string{server.address}, TLS: anonymous, Token: token, Retry: once})
	if _, err := nobody.Info(t.Context()); status.Code(err) != codes.Unavailable {
		t.Errorf("without a certificate: %v", err)
	}
}

func securedGateway(t *testing.T, authority *testca.Authority) *process {
	t.Helper()
	hash := sha256.Sum256([]byte(token))
	tokens := filepath.Join(t.TempDir(), "tokens.json")
	text := fmt.Sprintf(`{"tenants": {"tests": {"tokens": ["sha256:%s"]}}}`, hex.EncodeToString(hash[:]))
	if err := os.WriteFile(tokens, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := authority.Issue(t, "gateway")
	return gateway(t, connect(t, kandinsky.Config{}),
		"--tls-cert", cert, "--tls-key", key, "--tls-client-ca", authority.CA(), "--tokens", tokens)
}
