package kandinsky

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// TLSFiles are PEM files for Config.TLS. All may be empty.
type TLSFiles struct {
	// CA holds the authorities that the gateway's certificate may be of.
	// Empty: the system's.
	CA string
	// Cert and Key are this client's own certificate, for mutual TLS. They are
	// read with every connection, so that a renewed certificate is used.
	Cert, Key string
	// ServerName is the name that the gateway's certificate must have. Empty:
	// the host that is connected to.
	ServerName string
}

// Config reads the files.
func (f TLSFiles) Config() (*tls.Config, error) {
	config := &tls.Config{ServerName: f.ServerName, MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, fmt.Errorf("kandinsky: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("kandinsky: %s holds no PEM certificate", f.CA)
		}
	}
	if f.Cert == "" && f.Key == "" {
		return config, nil
	}
	own := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, fmt.Errorf("kandinsky: own certificate: %w", err)
		}
		return &pair, nil
	}
	if _, err := own(nil); err != nil {
		return nil, err
	}
	config.GetClientCertificate = own
	return config, nil
}
