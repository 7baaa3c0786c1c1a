package testservers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"
)

// portAttempts is how often a first start is tried with fresh ports: a port
// found free can be taken before the server binds it.
const portAttempts = 5

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
	t testing.TB
	p *Process
}

// launch builds the named server if need be and starts it; plan is asked for the
// command line and the readiness probe, given a function that finds free ports.
func launch(t testing.TB, name string, plan func(p *Process, port func() int)) *Server {
	t.Helper()
	path, err := Binary(name)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t, &Process{Name: name, Path: path, Log: filepath.Join(t.TempDir(), name+".log")}}
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, s.Log())
		}
	})
	for attempt := 1; ; attempt++ {
		plan(s.p, func() int { return freePort(t) })
		err := s.p.Start()
		if err == nil {
			return s
		}
		if attempt == portAttempts {
			t.Fatal(err)
		}
	}
}

// Kill ends the server by SIGKILL, as a crash would, and waits until it is gone.
// A stopped server stays so.
func (s *Server) Kill() { s.p.Kill() }

// Stop ends the server by SIGTERM, by SIGKILL where that takes too long, and
// waits until it is gone.
func (s *Server) Stop() { s.p.Stop() }

// Restart starts the server again on the same ports and data, stopping it first
// where it still runs, and returns when it is ready.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.must(s.p.Start())
}

// Pause suspends the server's process: Process.Pause.
func (s *Server) Pause() {
	s.t.Helper()
	s.must(s.p.Pause())
}

// Resume lets a paused server go on.
func (s *Server) Resume() {
	s.t.Helper()
	s.must(s.p.Resume())
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// Log returns the end of what the server has written to stdout and stderr.
func (s *Server) Log() string { return s.p.Tail() }

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
