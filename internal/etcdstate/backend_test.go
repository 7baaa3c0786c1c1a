package etcdstate

import (
	"context"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

// backends runs a test against an etcd process and against an embedded one.
func backends(t *testing.T, test func(t *testing.T, open func() *State)) {
	t.Run("process", func(t *testing.T) {
		t.Parallel()
		s := testservers.Etcd(t)
		test(t, func() *State { return open(t, s.Endpoint) })
	})
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		c := embedded(t)
		test(t, func() *State { return FromClient(c, "") })
	})
}

func open(t *testing.T, endpoint string) *State {
	t.Helper()
	s, err := Open(t.Context(), Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// plain returns a client of its own, past this package.
func plain(t *testing.T, endpoint string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func embedded(t *testing.T) *clientv3.Client {
	t.Helper()
	c := embed.NewConfig()
	c.Dir = filepath.Join(t.TempDir(), "etcd")
	c.UnsafeNoFsync = true
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	local := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c.ListenClientUrls, c.ListenPeerUrls = local, local
	e, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		t.Fatal("found embedded etcd not ready")
	}
	client := v3client.New(e.Server)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func campaign(t *testing.T, s *State, id string, ttl time.Duration) *Leadership {
	t.Helper()
	l, err := s.Campaign(t.Context(), id, ttl)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.Resign(ctx) // the server may be gone or cut off by now
	})
	return l
}

func load(t *testing.T, s *State) []KV {
	t.Helper()
	kvs, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return kvs
}

func commit(t *testing.T, l *Leadership, txn Txn) int64 {
	t.Helper()
	rev, err := l.Commit(t.Context(), txn)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

// expectWords fails unless the error's text holds each of the words.
func expectWords(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("found no error, expected one that says %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("found error %q, expected it to say %q", err, w)
		}
	}
}
