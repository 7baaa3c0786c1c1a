package etcdstate

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"
)

const (
	defaultPrefix         = "warmstart"
	defaultDialTimeout    = 15 * time.Second
	defaultRequestTimeout = 5 * time.Second
)

// Config says which etcd to use and how.
type Config struct {
	// Endpoints are the client URLs of one cluster's members, as in
	// http://127.0.0.1:2379. A host and port alone means http. Required.
	Endpoints []string

	// Prefix is put, with a slash, before every key: two deployments can share a
	// cluster under different ones. Empty means "warmstart".
	Prefix string

	// Username and Password log in where the cluster has authentication on. The
	// user needs read and write permission on the prefix. Empty means no login.
	Username, Password string

	// CAFile is a PEM file of the authorities to trust for https endpoints; empty
	// means the system's. CertFile and KeyFile are the client's own certificate,
	// where the cluster asks for one: both or neither.
	CAFile, CertFile, KeyFile string

	// DialTimeout is how long Open goes on trying to reach the cluster. 0 means
	// 15 s; longer helps where etcd starts at the same time, as in compose.
	DialTimeout time.Duration

	// RequestTimeout is the longest wait for one answer. 0 means 5 s, which lets
	// a three-member cluster elect a new leader of its own meanwhile.
	RequestTimeout time.Duration

	// Waiting, if set, is told while Open goes on trying: once when the first
	// attempt has failed, then every 5 s. It is called on Open's goroutine.
	Waiting func(*UnreachableError)
}

func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = defaultDialTimeout
	}
	if c.RequestTimeout == 0 {
		c.RequestTimeout = defaultRequestTimeout
	}
	return c
}

func (c Config) validate() error {
	if len(c.Endpoints) == 0 {
		return fmt.Errorf("found no endpoint, expected at least one, as in http://127.0.0.1:2379")
	}
	for _, e := range c.Endpoints {
		if strings.TrimSpace(e) == "" {
			return fmt.Errorf("found an empty endpoint in %q", c.Endpoints)
		}
	}
	if strings.HasPrefix(c.Prefix, "/") || strings.HasSuffix(c.Prefix, "/") {
		return fmt.Errorf("prefix %q: expected no slash at either end", c.Prefix)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return fmt.Errorf("found only one of certificate %q and key %q, expected both or neither", c.CertFile, c.KeyFile)
	}
	if c.Username == "" && c.Password != "" {
		return fmt.Errorf("found a password without a user name")
	}
	return nil
}

// tls returns nil where no file is named; https endpoints then use the system's
// authorities.
func (c Config) tls() (*tls.Config, error) {
	if c.CAFile == "" && c.CertFile == "" {
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read authorities: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read authorities: %s: found no PEM certificate", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate %s with key %s: %w", c.CertFile, c.KeyFile, err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}
