package kandinsky

import (
	"crypto/tls"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/kandinsky-serving/kandinsky-serving/clients/go/internal/testca"
)

// serveTLS runs a fake gateway that wants a certificate of the authority.
func serveTLS(t *testing.T, a *testca.Authority, fake *fakeGateway) string {
	t.Helper()
	cert, key := a.Issue(t, "gateway")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := TLSFiles{CA: a.CA()}.Config()
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: trusted.RootCAs, ClientAuth: tls.RequireAndVerifyClientCert,
	}
	return serve(t, fake, grpc.Creds(credentials.NewTLS(config)))
}

func TestMutualTLSAndAToken(t *testing.T) {
	authority, fake := testca.New(t), &fakeGateway{}
	server := serveTLS(t, authority, fake)
	cert, key := authority.Issue(t, "client")
	config, err := TLSFiles{CA: authority.CA(), Cert: cert, Key: key}.Config()
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, Config{Servers: []string{server, server}, TLS: config, Token: "a secret"})
	if _, err := client.Img2Img(t.Context(), Img2ImgRequest{Image: anyPNG}); err != nil {
		t.Fatal(err)
	}
	if got := fake.metadata.Get("authorization"); len(got) != 1 || got[0] != "Bearer a secret" {
		t.Errorf("authorization is %q", got)
	}
}

func TestAServerOfAnotherAuthorityIsNotTalkedTo(t *testing.T) {
	fake := &fakeGateway{}
	server := serveTLS(t, testca.New(t), fake)
	config, err := TLSFiles{CA: testca.New(t).CA()}.Config()
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, Config{Servers: []string{server}, TLS: config, Retry: Retry{MaxAttempts: 1}})
	_, err = client.Img2Img(t.Context(), Img2ImgRequest{Image: anyPNG})
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

func TestATokenIsNotSentUnencryptedToAnotherMachine(t *testing.T) {
	for _, server := range []string{"10.0.0.1:50050", "dns:///gateways:50050", "gateway:50050"} {
		if _, err := New(Config{Servers: []string{server}, Token: "a secret"}); err == nil {
			t.Errorf("would send it to %s", server)
		}
	}
	for _, server := range []string{"127.0.0.1:50050", "localhost:50050", "[::1]:50050", "unix:/run/gateway"} {
		connect(t, Config{Servers: []string{server}, Token: "a secret"})
	}
}

func TestTLSFilesThatCannotBeUsedAreRefusedAtOnce(t *testing.T) {
	authority := testca.New(t)
	cert, key := authority.Issue(t, "client")
	for _, files := range []TLSFiles{{CA: "missing.pem"}, {CA: key}, {Cert: cert}, {Key: key}, {Cert: key, Key: cert}} {
		if _, err := files.Config(); err == nil {
			t.Errorf("accepts %+v", files)
		}
	}
}
