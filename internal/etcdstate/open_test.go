package etcdstate

import (
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

func TestOpenSaysWhoDoesNotAnswer(t *testing.T) {
	t.Parallel()
	refusing := "http://" + testservers.Nobody(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() }) // after the parallel subtests
	secure := httptest.NewTLSServer(nil)
	t.Cleanup(secure.Close)
	_, err = Open(t.Context(), Config{Endpoints: []string{secure.URL}})
	expectWords(t, err, "certificate signed by unknown authority", "check the certificate files")
	if !errors.Is(err, ErrCredentials) {
		t.Errorf("found %v, expected ErrCredentials", err)
	}
	for name, c := range map[string]struct{ endpoint, words string }{
		"refusing":     {refusing, "connection refused"},
		"no etcd":      {"http://" + silent.Addr().String(), "does not answer as an etcd"},
		"no such host": {"http://etcd.invalid:2379", "etcd.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var told *UnreachableError
			start := time.Now()
			_, err := Open(t.Context(), Config{
				Endpoints: []string{c.endpoint}, DialTimeout: 3 * time.Second,
				Waiting: func(e *UnreachableError) { told = e },
			})
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("found Open giving up after %v, expected about 3 s", took)
			}
			var unreachable *UnreachableError
			if !errors.As(err, &unreachable) {
				t.Fatalf("found %v, expected an UnreachableError", err)
			}
			expectWords(t, err, "open etcd: ", c.endpoint, c.words, "no answer since ", "tried until ", "check that it runs")
			if told == nil || told.Until.Sub(told.Since) != 3*time.Second {
				t.Errorf("found %+v told while waiting, expected since and until 3 s apart", told)
			}
		})
	}
}

func TestOpenWaitsForAServerThatComes(t *testing.T) {
	t.Parallel()
	server := testservers.Etcd(t)
	server.Stop()
	opened := make(chan error)
	go func() {
		s, err := Open(t.Context(), Config{Endpoints: []string{server.Endpoint}, DialTimeout: 20 * time.Second})
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	time.Sleep(time.Second)
	server.Restart()
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	start := time.Now()
	_, err := Open(ctx, Config{Endpoints: []string{"http://127.0.0.1:1"}, DialTimeout: time.Minute})
	if !errors.Is(err, context.Canceled) || time.Since(start) > 5*time.Second {
		t.Fatalf("found %v after %v, expected the context's error soon", err, time.Since(start))
	}
}

func TestOpenNamesWrongCredentials(t *testing.T) {
	t.Parallel()
	server := testservers.Etcd(t)
	enableAuth(t, plain(t, server.Endpoint))
	for name, c := range map[string]struct {
		user, password, prefix string
		words                  []string
	}{
		"wrong password": {"ws", "nope", "", []string{`user "ws"`, "password wrong"}},
		"unknown user":   {"who", "secret", "", []string{`user "who"`, "wrong"}},
		"none":           {"", "", "", []string{"without a user", "set user name and password"}},
		"other prefix":   {"ws", "secret", "theirs", []string{"prefix theirs/", `user "ws"`, "grant"}},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := Open(t.Context(), Config{Endpoints: []string{server.Endpoint}, Username: c.user, Password: c.password, Prefix: c.prefix, DialTimeout: 20 * time.Second})
			if !errors.Is(err, ErrCredentials) {
				t.Fatalf("found %v, expected ErrCredentials", err)
			}
			expectWords(t, err, c.words...)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("found %v until the refusal, expected no further attempts", took)
			}
		})
	}
	s, err := Open(t.Context(), Config{Endpoints: []string{server.Endpoint}, Username: "ws", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	l := campaign(t, s, "a", minTTL)
	commit(t, l, Txn{Puts: []Put{{Key: "k", Value: nil}}})
	time.Sleep(minTTL) // keep-alives need the login too
	if n := len(load(t, s)); n != 1 || l.Err() != nil {
		t.Fatalf("found %d keys and %v, expected one and a leader", n, l.Err())
	}
}

// enableAuth makes a user ws with permission on the default prefix alone.
func enableAuth(t *testing.T, c *clientv3.Client) {
	t.Helper()
	ctx := t.Context()
	_, err := c.UserAdd(ctx, "root", "root")
	for _, step := range []func() error{
		func() error { _, err := c.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := c.RoleAdd(ctx, "ws"); return err },
		func() error {
			_, err := c.RoleGrantPermission(ctx, "ws", "warmstart/", clientv3.GetPrefixRangeEnd("warmstart/"), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := c.UserAdd(ctx, "ws", "secret"); return err },
		func() error { _, err := c.UserGrantRole(ctx, "ws", "ws"); return err },
		func() error { _, err := c.AuthEnable(ctx); return err },
	} {
		if err == nil {
			err = step()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesABadConfig(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	one := []string{"http://127.0.0.1:1"}
	for name, c := range map[string]struct {
		config Config
		words  string
	}{
		"no endpoint":    {Config{}, "no endpoint"},
		"empty endpoint": {Config{Endpoints: []string{""}}, "empty endpoint"},
		"prefix":         {Config{Endpoints: one, Prefix: "a/"}, "no slash"},
		"half a pair":    {Config{Endpoints: one, CertFile: "c.pem"}, "both or neither"},
		"password alone": {Config{Endpoints: one, Password: "x"}, "without a user name"},
		"no such file":   {Config{Endpoints: one, CAFile: "/nowhere/ca.pem"}, "/nowhere/ca.pem"},
		"no certificate": {Config{Endpoints: one, CAFile: empty}, "no PEM certificate"},
		"no key":         {Config{Endpoints: one, CertFile: empty, KeyFile: "/nowhere/key.pem"}, "/nowhere/key.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), c.config)
			expectWords(t, err, "open etcd: ", c.words)
		})
	}
}
