package localstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	natsclient "github.com/nats-io/nats.go"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// childDir, when set in the environment, makes this test binary the process that
// uses the data dir until it is killed.
const childDir = "LOCALSTACK_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child commits a key and a lease of a minute, says so, and works until its end.
func child(dir string) error {
	ctx := context.Background()
	s, err := Start(ctx, Config{DataDir: dir})
	if err != nil {
		return err
	}
	c := s.EtcdClient()
	lease, err := c.Grant(ctx, 60)
	if err == nil {
		_, err = c.Put(ctx, "leader", "child", clientv3.WithLease(lease.ID))
	}
	if err == nil {
		err = s.Store().Put(ctx, "models/m/1/manifest.json", []byte("{}"))
	}
	runtime.GC() // a stack that nobody refers to any more keeps its data dir
	for i := 0; err == nil; i++ {
		if _, err = c.Put(ctx, "count", fmt.Sprint(i)); i == 100 {
			fmt.Println("ready")
		}
	}
	return err
}

func start(t *testing.T, c Config) *Stack {
	t.Helper()
	begin := time.Now()
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %v", time.Since(begin))
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Stack) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
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

func TestStackServesAndKeepsItsData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, Config{DataDir: dir})
	if _, err := first.EtcdClient().Put(t.Context(), "k", "v"); err != nil {
		t.Fatal(err)
	}
	if err := first.Store().Put(t.Context(), "runs/r/spec.yaml", []byte("name: r")); err != nil {
		t.Fatal(err)
	}
	oldURL := first.NATSURL()
	stop(t, first)
	stop(t, first)
	if first.Err() != nil {
		t.Errorf("found %v after Stop, expected no failure", first.Err())
	}

	second := start(t, Config{DataDir: dir})
	got, err := second.EtcdClient().Get(t.Context(), "k")
	if err != nil || got.Count != 1 || string(got.Kvs[0].Value) != "v" {
		t.Errorf("found %v, %v in etcd after a restart, expected k = v", got, err)
	}
	if data, err := second.Store().Get(t.Context(), "runs/r/spec.yaml"); err != nil || string(data) != "name: r" {
		t.Errorf("found %q, %v in the store after a restart, expected it kept", data, err)
	}
	if password(second) == strings.Split(oldURL, ":")[2] {
		t.Error("found the password of the first start again, expected a new one")
	}
	for _, name := range []string{"etcd.log", "etcd.log.1", "nats.log", "nats.log.1"} {
		if info, err := os.Stat(filepath.Join(second.LogDir(), name)); err != nil || info.Size() == 0 {
			t.Errorf("found no log %s: %v", name, err)
		}
	}
}

func password(s *Stack) string { _, p := s.Credentials(); return p }

// TestG8_EmbeddedServersAreClosedToOthers: NATS asks for the password, on loopback
// only; etcd has no socket at all.
func TestG8_EmbeddedServersAreClosedToOthers(t *testing.T) {
	t.Parallel()
	s := start(t, Config{DataDir: t.TempDir()})
	user, pass := s.Credentials()
	addr := s.NATSURL()[strings.LastIndex(s.NATSURL(), "@")+1:]
	for name, c := range map[string]struct {
		url     string
		options []natsclient.Option
		allowed bool
	}{
		"worker":         {s.NATSURL(), nil, true},
		"in process":     {"", []natsclient.Option{natsclient.InProcessServer(s.InProcess()), natsclient.UserInfo(user, pass)}, true},
		"nobody":         {"nats://" + addr, nil, false},
		"wrong password": {"nats://" + addr, []natsclient.Option{natsclient.UserInfo(user, "guess")}, false},
	} {
		nc, err := natsclient.Connect(c.url, c.options...)
		if c.allowed != (err == nil) || err != nil && !errors.Is(err, natsclient.ErrAuthorization) {
			t.Errorf("%s: found %v, expected allowed %v", name, err, c.allowed)
		}
		if err == nil {
			nc.Close()
		}
	}
	if !strings.HasPrefix(addr, "127.0.0.1:") {
		t.Errorf("found NATS at %s, expected loopback", addr)
	}
	if n := s.EtcdClient().Endpoints(); len(n) != 0 {
		t.Errorf("found etcd at %v, expected nowhere", n)
	}
	for _, path := range []string{s.dir, s.LogDir(), filepath.Join(s.dir, "etcd")} {
		if info, err := os.Stat(path); err != nil || path != s.dir && info.Mode().Perm() != 0o700 {
			t.Errorf("found %s of mode %v, %v, expected 0700", path, info.Mode(), err)
		}
	}
}

func TestListenAddressOfAllInterfacesIsReachedByLoopback(t *testing.T) {
	t.Parallel()
	s := start(t, Config{DataDir: t.TempDir(), NATSListen: "0.0.0.0:0"})
	nc, err := natsclient.Connect(s.NATSURL())
	if err != nil {
		t.Fatalf("connect to %s: %v", s.NATSURL(), err)
	}
	nc.Close()
}

func TestSecondUserOfADataDirIsToldOfTheFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, Config{DataDir: dir})
	_, err := Start(t.Context(), Config{DataDir: dir})
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.Holder.PID != os.Getpid() {
		t.Fatalf("found %v, expected an InUseError that names this process", err)
	}
	expectWords(t, err, dir, fmt.Sprintf("process %d (%s", os.Getpid(), os.Args[0]), "started 20", "--data-dir", "wait until")
	if _, err := first.EtcdClient().Put(t.Context(), "k", "v"); err != nil {
		t.Errorf("found the first user disturbed: %v", err)
	}
	stop(t, first)
	start(t, Config{DataDir: dir})
	expectWords(t, &InUseError{Dir: "d"}, "another process", "--data-dir")
}

// TestKilledStackStartsAgainAtOnce kills a process in the middle of commits. The next
// one finds all that was committed, and none of the leases that would keep it from
// leading for a minute.
func TestKilledStackStartsAgainAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := make([]byte, len("ready\n"))
		if _, err := io.ReadFull(out, said); err != nil || string(said) != "ready\n" {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("found %q, %v from the child, expected ready; stderr: %s", said, err, &stderr)
		}
		_, err = Start(t.Context(), Config{DataDir: dir})
		expectWords(t, err, fmt.Sprintf("process %d", cmd.Process.Pid))
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		if stderr.Len() > 0 {
			t.Errorf("found %q on the child's stderr, expected the servers' words in their logs", &stderr)
		}
	}
	s := start(t, Config{DataDir: dir})
	count, err := s.EtcdClient().Get(t.Context(), "count")
	if err != nil || count.Count != 1 {
		t.Errorf("found %v, %v, expected the child's commits", count, err)
	}
	leader, err := s.EtcdClient().Get(t.Context(), "leader")
	if err != nil || leader.Count != 0 {
		t.Errorf("found %v, %v, expected the child's lease revoked", leader, err)
	}
	if _, err := s.Store().Get(t.Context(), "models/m/1/manifest.json"); err != nil {
		t.Error(err)
	}
}

func TestTakenPortIsNamedWithItsHolder(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	_, err = Start(t.Context(), Config{DataDir: dir, NATSListen: l.Addr().String()})
	expectWords(t, err, "listen on "+l.Addr().String(), "taken by", "--listen")
	if listener(l.Addr().(*net.TCPAddr).Port) != "" { // where the system can tell
		expectWords(t, err, fmt.Sprintf("process %d", os.Getpid()))
	}
	l.Close()
	s := start(t, Config{DataDir: dir, NATSListen: l.Addr().String()}) // nothing is left behind
	if !strings.HasSuffix(s.NATSURL(), l.Addr().String()) {
		t.Errorf("found %s, expected the address asked for", s.NATSURL())
	}
}

func TestBadListenAddressIsRefused(t *testing.T) {
	t.Parallel()
	for listen, words := range map[string]string{
		"4222":            "expected host:port",
		"127.0.0.1:x":     "expected host:port",
		"127.0.0.1:70000": "out of range",
		"192.0.2.1:0":     "address of this machine",
	} {
		_, err := Start(t.Context(), Config{DataDir: t.TempDir(), NATSListen: listen})
		expectWords(t, err, "start local stack: ", listen, words, "--listen")
	}
}

func TestLackOfSpaceIsNamed(t *testing.T) {
	t.Parallel()
	expectWords(t, checkSpace("/data", func(string) (uint64, error) { return 5 << 20, nil }),
		"/data", "no disk space", "5 MB free", "--data-dir")
	for _, ok := range []func(string) (uint64, error){
		func(string) (uint64, error) { return minFree, nil },
		func(string) (uint64, error) { return 0, errors.ErrUnsupported },
	} {
		if err := checkSpace("/data", ok); err != nil {
			t.Errorf("found %v, expected none", err)
		}
	}
	if n, err := freeBytes(t.TempDir()); err != nil || n == 0 {
		t.Errorf("found %d bytes free, %v", n, err)
	}
}

// TestG5_FatalErrorOfAServerIsReported lets etcd's logger meet what it would end the
// process for.
func TestG5_FatalErrorOfAServerIsReported(t *testing.T) {
	t.Parallel()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s := &Stack{dir: "/data", failed: newFailure()}
	logger := etcdLogger(log, s.failed)
	if s.Err() != nil {
		t.Fatalf("found %v before any failure", s.Err())
	}
	var group sync.WaitGroup
	survived := false
	for _, fatal := range []func(string, ...zap.Field){logger.Fatal, logger.Panic} {
		group.Go(func() {
			fatal("failed to save", zap.Error(&os.PathError{Op: "write", Path: "wal", Err: syscall.ENOSPC}))
			survived = true
		})
		group.Wait()
	}
	if survived {
		t.Error("found the goroutine going on after a fatal error")
	}
	select {
	case <-s.Done():
	default:
		t.Fatal("found Done open after a fatal error")
	}
	expectWords(t, s.Err(), "data dir /data: no disk space", "--data-dir", "embedded etcd: failed to save", "write wal")
}

func TestUnwritableDataDirIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Config{DataDir: filepath.Join(file, "data")})
	expectWords(t, err, "make data dir", file)
}
