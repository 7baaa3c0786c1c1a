package testservers

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// NATSServer is a nats-server process with JetStream.
type NATSServer struct {
	*Server
	URL string // nats://127.0.0.1:PORT, without credentials
}

// NATS starts a nats-server. Credentials and limits go in by Args, as in
// NATS(t, Args("--user", "u", "--pass", "p")).
func NATS(t testing.TB, opts ...Option) *NATSServer {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "jetstream")
	n := &NATSServer{}
	n.Server = launch(t, "nats", func(p *Process, port func() int) {
		number := strconv.Itoa(port())
		addr := net.JoinHostPort("127.0.0.1", number)
		n.URL = "nats://" + addr
		p.Args = append([]string{"--addr", "127.0.0.1", "--port", number, "--jetstream", "--store_dir", dir}, collect(opts).args...)
		p.Ready = func(ctx context.Context) error { return greets(ctx, addr) }
	})
	return n
}

// greets reports whether a NATS server sends its INFO line at addr.
func greets(ctx context.Context, addr string) error {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			return err
		}
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "INFO ") {
		return fmt.Errorf("greet %s: found %q, expected INFO", addr, line)
	}
	return nil
}
