package testservers

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	// readyWithin bounds the wait for a started server. Its usual time is well
	// under two seconds; a machine busy with other tests needs more.
	readyWithin = 30 * time.Second
	// stopWithin bounds the wait after SIGTERM before SIGKILL follows.
	stopWithin = 10 * time.Second
	// portAttempts is how often a first start is tried with fresh ports: a port
	// found free can be taken before the server binds it.
	portAttempts = 5
	// logTail is how much of a server's log a failed test shows, in bytes.
	logTail = 8 << 10
)

// Option changes how a server is started.
type Option func(*options)

type options struct{ args []string }

// Args appends command line arguments to those the server is started with.
func Args(args ...string) Option {
	return func(o *options) { o.args = append(o.args, args...) }
}

func collect(opts []Option) options {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// Server is a running server process of one test. Its methods fail the test
// when they cannot do what they say; they may be called from any goroutine, but
// those that start a server only from the test's own.
type Server struct {
	t     testing.TB
	name  string
	path  string
	args  []string
	env   []string
	log   string // file that stdout and stderr are appended to
	ready func(context.Context) error

	mu     sync.Mutex
	cmd    *exec.Cmd     // nil while stopped
	exited chan struct{} // closed when cmd has ended
}

// launch builds the named server if need be and starts it; plan is asked for the
// command line and the readiness probe, given a function that finds free ports.
func launch(t testing.TB, name string, plan func(s *Server, port func() int)) *Server {
	t.Helper()
	path, err := Binary(name)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, name: name, path: path, log: filepath.Join(t.TempDir(), name+".log")}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, s.Log())
		}
	})
	for attempt := 1; ; attempt++ {
		plan(s, func() int { return freePort(t) })
		err := s.start()
		if err == nil {
			return s
		}
		if attempt == portAttempts {
			t.Fatalf("start %s: %v", name, err)
		}
	}
}

// start runs the process and waits until it is ready, has ended or is late.
func (s *Server) start() error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.path, s.args...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // that it ended is what counts; why stands in its log
		close(exited)
	}()
	s.mu.Lock()
	s.cmd, s.exited = cmd, exited
	s.mu.Unlock()
	if err := s.awaitReady(exited); err != nil {
		s.Kill()
		return err
	}
	return nil
}

func (s *Server) awaitReady(exited <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	for {
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("found that it ended before it was ready; see its log")
		case <-ctx.Done():
			return fmt.Errorf("found it not ready after %v: %w", readyWithin, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Kill ends the server by SIGKILL, as a crash would, and waits until it is gone.
// A stopped server stays so.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the server by SIGTERM, by SIGKILL where that takes too long, and
// waits until it is gone.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(sig syscall.Signal) {
	s.mu.Lock()
	cmd, exited := s.cmd, s.exited
	s.cmd = nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	// A signal to a process that has just ended fails; that is what was wanted.
	_ = cmd.Process.Signal(sig)
	select {
	case <-exited:
	case <-time.After(stopWithin):
		_ = cmd.Process.Kill()
		<-exited
	}
}

// Restart starts the server again on the same ports and data, stopping it first
// where it still runs, and returns when it is ready.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	if err := s.start(); err != nil {
		s.t.Fatalf("restart %s: %v", s.name, err)
	}
}

// Pause stops the server's process (SIGSTOP) without closing its connections, and
// returns once each of its threads has stopped: the signal reaches them one by one,
// and until then a server still answers. An answer already sent may still come.
func (s *Server) Pause() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	deadline := time.Now().Add(10 * time.Second)
	for !s.stopped() {
		if time.Now().After(deadline) {
			s.t.Fatalf("pause %s: found a thread running 10 s after SIGSTOP", s.name)
		}
		time.Sleep(time.Millisecond)
	}
}

// stopped tells whether every thread of the server's process is in state T
// (proc(5), the field after the name in parentheses).
func (s *Server) stopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid))
	if err != nil || len(stats) == 0 {
		s.t.Fatalf("pause %s: found no threads of process %d (%v)", s.name, s.cmd.Process.Pid, err)
	}
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // the thread has ended
		}
		if _, rest, _ := strings.Cut(string(text), ") "); !strings.HasPrefix(rest, "T") {
			return false
		}
	}
	return true
}

// Resume lets a paused server go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		s.t.Fatalf("send %v to %s: found it stopped", sig, s.name)
	}
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("send %v to %s: %v", sig, s.name, err)
	}
}

// Log returns the end of what the server has written to stdout and stderr.
func (s *Server) Log() string {
	data, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	if len(data) > logTail {
		data = data[len(data)-logTail:]
	}
	return string(bytes.TrimSpace(data))
}

// freePort returns a loopback TCP port that nobody listens on now.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// healthy returns a probe that asks for url until it answers 200.
func healthy(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("get %s: found status %s", url, resp.Status)
		}
		return nil
	}
}
