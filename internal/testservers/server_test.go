package testservers

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestNATSComesBackOnTheSamePort(t *testing.T) {
	s := NATS(t, Args("--user", "u", "--pass", "p"))
	for range 2 {
		nc, err := nats.Connect(s.URL, nats.UserInfo("u", "p"))
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
		s.Kill()
		if _, err := nats.Connect(s.URL); err == nil {
			t.Fatal("found a killed server still there")
		}
		s.Restart()
	}
}

func TestEtcdKeepsItsDataWhenKilled(t *testing.T) {
	s := Etcd(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint}, Context: ctx})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	s.Restart()
	got, err := c.Get(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	if got.Count != 1 || string(got.Kvs[0].Value) != "v" {
		t.Fatalf("found %v after the restart, expected k = v", got.Kvs)
	}
}

func TestVersityGWServesS3(t *testing.T) {
	s := VersityGW(t)
	c, err := minio.New(s.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.MakeBucket(t.Context(), "bucket", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutObject(t.Context(), "bucket", "x/y", strings.NewReader("data"), 4, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Restart()
	if _, err := c.StatObject(t.Context(), "bucket", "x/y", minio.StatObjectOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestPausedServerKeepsItsPortAndDoesNotAnswer(t *testing.T) {
	s := VersityGW(t)
	s.Pause()
	c := &http.Client{Timeout: 200 * time.Millisecond}
	silent := func() bool {
		resp, err := c.Get(s.URL + "/_health")
		if err == nil {
			resp.Body.Close()
		}
		return err != nil && os.IsTimeout(err)
	}
	for start := time.Now(); !silent(); {
		if time.Since(start) > 5*time.Second {
			t.Fatal("found answers from a paused server, expected time-outs")
		}
	}
	s.Resume()
	resp, err := http.Get(s.URL + "/_health")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestFailedStartIsReported(t *testing.T) {
	path, err := Binary("nats")
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Name: "nats", Path: path, Args: []string{"--no-such-flag"}, Log: filepath.Join(t.TempDir(), "log"),
		Ready: func(context.Context) error { return os.ErrNotExist }}
	if err := p.Start(); err == nil || !strings.Contains(err.Error(), "ended before it was ready") {
		t.Fatalf("found %v, expected that it ended", err)
	}
	if !strings.Contains(p.Tail(), "no-such-flag") {
		t.Fatalf("found log %q, expected the flag named", p.Tail())
	}
}

func TestBinaryNamesWhatItKnows(t *testing.T) {
	if _, err := Binary("redis"); err == nil || !strings.Contains(err.Error(), "nats etcd versitygw") {
		t.Fatalf("found %v, expected the known names", err)
	}
}

func TestLockFileLetsOneIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var inside, most int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			unlock, err := lockFile(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			count := func(d int) {
				mu.Lock()
				defer mu.Unlock()
				inside += d
				most = max(most, inside)
			}
			count(1)
			time.Sleep(time.Millisecond)
			count(-1)
		})
	}
	wg.Wait()
	if most != 1 {
		t.Fatalf("found %d holders at once, expected 1", most)
	}
}

func TestServersEndWithTheTest(t *testing.T) {
	var s *NATSServer
	var pid int
	t.Run("inner", func(t *testing.T) { s = NATS(t); pid = s.p.PID() })
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Fatalf("found process %d alive after its test (%v)", pid, err)
	}
	if err := s.p.Start(); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("found %v, expected the test's folder gone", err)
	}
}
