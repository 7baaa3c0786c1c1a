package natsbus

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

// connect returns a bus that fails the test where it could not be closed in order.
func connect(t *testing.T, c Config) *Bus {
	t.Helper()
	b, err := Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil && !errors.Is(err, ErrDisconnected) {
			t.Error(err)
		}
	})
	return b
}

// embedded returns a server in this process that listens nowhere.
func embedded(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("found the embedded server not ready")
	}
	return s
}

// backends runs a test against a nats-server process and an embedded one.
func backends(t *testing.T, test func(t *testing.T, c Config)) {
	t.Run("process", func(t *testing.T) {
		t.Parallel()
		test(t, Config{URL: testservers.NATS(t).URL})
	})
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, Config{InProcess: embedded(t)})
	})
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

// eventually fails unless cond holds within ten seconds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for start := time.Now(); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("waited 10 s for %s", what)
		}
	}
}

func TestConnectSaysWhoDoesNotAnswer(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing.Close()
	for name, c := range map[string]struct{ addr, words string }{
		"refusing": {refusing.Addr().String(), "no servers available"},
		"silent":   {silent.Addr().String(), "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var told []*UnreachableError
			_, err := Connect(t.Context(), Config{
				URL: "nats://bob:secret@" + c.addr, DialTimeout: time.Second,
				Waiting: func(e *UnreachableError) { told = append(told, e) },
			})
			var unreachable *UnreachableError
			if !errors.As(err, &unreachable) || unreachable.Until.Sub(unreachable.Since) != time.Second {
				t.Fatalf("found %v, expected an UnreachableError over 1 s", err)
			}
			expectWords(t, err, "connect to NATS: ", "nats://"+c.addr, c.words, "no connection since ", "tried until ", "check that it runs")
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("found the password in %q", err)
			}
			if name == "refusing" && len(told) != 1 {
				t.Errorf("found %d calls while waiting, expected one in the first 5 s", len(told))
			}
		})
	}
}

func TestConnectNamesWrongCredentials(t *testing.T) {
	t.Parallel()
	withUser := testservers.NATS(t, testservers.Args("--user", "ws", "--pass", "right"))
	withToken := testservers.NATS(t, testservers.Args("--auth", "right"))
	for name, c := range map[string]struct {
		config Config
		words  string
	}{
		"wrong password": {Config{URL: withUser.URL, User: "ws", Password: "wrong"}, `as user "ws"`},
		"no login":       {Config{URL: withUser.URL}, "without credentials"},
		"wrong token":    {Config{URL: withToken.URL, Token: "wrong"}, "with a token"},
		"in the address": {Config{URL: strings.Replace(withUser.URL, "//", "//ws:wrong@", 1)}, "with what the address carries"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Connect(t.Context(), c.config)
			if !errors.Is(err, ErrCredentials) {
				t.Fatalf("found %v, expected ErrCredentials", err)
			}
			expectWords(t, err, "connect to NATS: log in "+c.words)
			if strings.Contains(err.Error(), ":wrong") {
				t.Errorf("found the password in %q", err)
			}
		})
	}
	connect(t, Config{URL: withUser.URL, User: "ws", Password: "right"})
	connect(t, Config{URL: strings.Replace(withUser.URL, "//", "//ws:right@", 1)})
	connect(t, Config{URL: withToken.URL, Token: "right"})
}

func TestConnectRefusesABadConfig(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config Config
		words  string
	}{
		"no address":     {Config{}, "no address"},
		"two logins":     {Config{URL: "x", User: "u", Token: "t"}, "more than one"},
		"password alone": {Config{URL: "x", Password: "p"}, "without a user name"},
		"no such file":   {Config{URL: "x", CredsFile: "/nowhere/u.creds"}, "/nowhere/u.creds"},
		"prefix":         {Config{URL: "x", Prefix: "a..b"}, "joined by dots"},
		"wildcard":       {Config{URL: "x", Prefix: "a.*"}, "joined by dots"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Connect(t.Context(), c.config)
			expectWords(t, err, "connect to NATS: ", c.words)
		})
	}
}

func TestConnectRefusesAServerOfSmallMessages(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true, MaxPayload: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Shutdown()
	_, err = Connect(t.Context(), Config{InProcess: s})
	expectWords(t, err, "the embedded server", "65536 bytes", "raise its max_payload")
}

func TestConnectEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	_, err := Connect(ctx, Config{URL: "nats://127.0.0.1:1", DialTimeout: time.Minute})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("found %v, expected the context's error", err)
	}
}

// outages records what a bus tells of its connection.
type outages struct {
	mu   sync.Mutex
	lost []*UnreachableError
	back []time.Duration
}

func (o *outages) watch(c Config) Config {
	c.Waiting = func(e *UnreachableError) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.lost = append(o.lost, e)
	}
	c.Reconnected = func(_ string, d time.Duration) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.back = append(o.back, d)
	}
	return c
}

func (o *outages) counts() (lost, back int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.lost), len(o.back)
}

// TestG5_LostConnectionIsNamedAtOnce kills NATS under a long poll: it must end then,
// not at its own deadline, and all works again when NATS is back.
func TestG5_LostConnectionIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	s := testservers.NATS(t)
	var seen outages
	b := connect(t, seen.watch(Config{URL: s.URL}))
	served := connect(t, Config{URL: s.URL})
	var silent sync.Once
	started := make(chan struct{})
	stop, err := served.Serve("poll", func(_, _ string, data []byte, reply func([]byte)) {
		answered := true
		silent.Do(func() { answered = false; close(started) })
		if answered {
			reply(data)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ended := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := b.Request(ctx, "poll", []byte("1"))
		ended <- err
	}()
	<-started
	start := time.Now()
	s.Kill()
	err = <-ended
	t.Logf("request ended %v after the kill: %v", time.Since(start), err)
	if !errors.Is(err, ErrDisconnected) || time.Since(start) > 5*time.Second {
		t.Fatalf("found %v after %v, expected ErrDisconnected at once", err, time.Since(start))
	}
	expectWords(t, err, "request poll: ", s.URL, "still trying")
	if err := b.Publish("x", nil); !errors.Is(err, ErrDisconnected) {
		t.Errorf("found %v from publishing, expected ErrDisconnected", err)
	}
	if !errors.Is(b.Err(), ErrDisconnected) {
		t.Errorf("found %v, expected Err to tell of the outage", b.Err())
	}
	s.Restart()
	eventually(t, "the answer after the restart", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		answer, err := b.Request(ctx, "poll", []byte("2"))
		return err == nil && string(answer) == "2"
	})
	if lost, back := seen.counts(); lost != 1 || back != 1 {
		t.Errorf("found %d outages and %d ends told, expected one each", lost, back)
	}
	if b.Err() != nil {
		t.Errorf("found %v after the restart, expected none", b.Err())
	}
}

// A frozen server closes nothing: pings have to find out.
func TestG5_SilentServerIsNoticed(t *testing.T) {
	t.Parallel()
	s := testservers.NATS(t)
	var seen outages
	b := connect(t, seen.watch(Config{URL: s.URL}))
	s.Pause()
	start := time.Now()
	_, err := b.Request(t.Context(), "poll", nil)
	if !errors.Is(err, ErrDisconnected) {
		t.Fatalf("found %v, expected ErrDisconnected", err)
	}
	t.Logf("noticed after %v", time.Since(start))
	if time.Since(start) > 15*time.Second {
		t.Errorf("found it noticed after %v, expected about 9 s", time.Since(start))
	}
	s.Resume()
	eventually(t, "the connection", func() bool { return b.Err() == nil })
}

func TestCloseTellsNoOutage(t *testing.T) {
	t.Parallel()
	var seen outages
	b := connect(t, seen.watch(Config{InProcess: embedded(t)}))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if lost, _ := seen.counts(); lost != 0 {
		t.Errorf("found an outage told of a bus that was closed")
	}
	if _, err := b.Request(t.Context(), "x", nil); !errors.Is(err, ErrDisconnected) {
		t.Errorf("found %v, expected ErrDisconnected", err)
	}
}

// A server may be away for long, and know its users only later: the connection is never given up.
func TestG5_ReconnectingHasNoEnd(t *testing.T) {
	o := connect(t, Config{InProcess: embedded(t)}).nc.Opts
	if o.MaxReconnect >= 0 || !o.IgnoreAuthErrorAbort || !o.AllowReconnect {
		t.Errorf("reconnects at most %d times, ends at a refused login: %v, reconnects: %v; expected no end", o.MaxReconnect, !o.IgnoreAuthErrorAbort, o.AllowReconnect)
	}
}
