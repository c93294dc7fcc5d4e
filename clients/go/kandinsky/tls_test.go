package kandinsky

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// authority signs certificates for one test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	folder      string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "an authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	own := &authority{certificate, key, t.TempDir()}
	own.write(t, "ca.pem", "CERTIFICATE", der)
	return own
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue writes a certificate for 127.0.0.1 and its key; it returns their paths.
func (a *authority) issue(t *testing.T, name string) (cert, key string) {
	t.Helper()
	own := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, own.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return a.write(t, name+".pem", "CERTIFICATE", der), a.write(t, name+".key", "PRIVATE KEY", secret)
}

func (a *authority) write(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	path := filepath.Join(a.folder, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (a *authority) ca() string { return filepath.Join(a.folder, "ca.pem") }

// serveTLS runs a fake gateway that wants a certificate of the authority.
func (a *authority) serveTLS(t *testing.T, fake *fakeGateway) string {
	t.Helper()
	cert, key := a.issue(t, "gateway")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	return serve(t, fake, grpc.Creds(credentials.NewTLS(config)))
}

func TestMutualTLSAndAToken(t *testing.T) {
	authority, fake := newAuthority(t), &fakeGateway{}
	server := authority.serveTLS(t, fake)
	cert, key := authority.issue(t, "client")
	config, err := TLSFiles{CA: authority.ca(), Cert: cert, Key: key}.Config()
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
	server := newAuthority(t).serveTLS(t, fake)
	config, err := TLSFiles{CA: newAuthority(t).ca()}.Config()
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
	authority := newAuthority(t)
	cert, key := authority.issue(t, "client")
	for _, files := range []TLSFiles{{CA: "missing.pem"}, {CA: key}, {Cert: cert}, {Key: key}, {Cert: key, Key: cert}} {
		if _, err := files.Config(); err == nil {
			t.Errorf("accepts %+v", files)
		}
	}
}
