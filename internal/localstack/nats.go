package localstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	natsUser = "warmstart"
	// natsMemory bounds what JetStream keeps, in bytes: the events of runs.
	natsMemory = 128 << 20
	// natsDisk bounds what JetStream may write, in bytes; we ask it for nothing.
	natsDisk = 16 << 20
)

// nats is the embedded server.
type nats struct {
	server   *server.Server
	password string
}

// startNATS starts the server and waits until it takes connections.
func startNATS(ctx context.Context, listen, dir string, logTo *os.File, failed *failure) (*nats, error) {
	host, port, err := parseListen(listen)
	if err != nil {
		return nil, err
	}
	if err := probePort(host, port); err != nil {
		return nil, err
	}
	n := &nats{password: rand.Text()}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	n.server, err = server.NewServer(&server.Options{
		ServerName: "warmstart", Host: host, Port: port,
		NoSigs:   true, // else it would trap our signals and exit
		Username: natsUser, Password: n.password,
		JetStream: true, StoreDir: dir, JetStreamMaxMemory: natsMemory, JetStreamMaxStore: natsDisk,
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, fmt.Errorf("start embedded NATS: %w", err)
	}
	n.server.SetLogger(natsLog{log.New(logTo, "", log.LstdFlags|log.Lmicroseconds), failed}, false, false)
	n.server.Start() // returns at once, but for a fatal error
	for !n.server.ReadyForConnections(10 * time.Millisecond) {
		if err := failed.get(); err != nil || ctx.Err() != nil {
			if err == nil {
				err = fmt.Errorf("found it not ready: %w; see %s", context.Cause(ctx), logTo.Name())
			}
			n.stop()
			return nil, fmt.Errorf("start embedded NATS: %w", err)
		}
	}
	return n, nil
}

func parseListen(listen string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err == nil && (port < 0 || port > 65535) {
		err = errors.New("port out of range")
	}
	if err != nil {
		return "", 0, fmt.Errorf("listen address %q: expected host:port, as in 127.0.0.1:4222 (port 0: any that is free); change --listen: %w", listen, err)
	}
	return host, port, nil
}

// probePort finds out why the server could not listen there, while an error can
// still say it well.
func probePort(host string, port int) error {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	l, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		return l.Close()
	case errors.Is(err, syscall.EADDRINUSE):
		who := listener(port)
		if who == "" {
			who = "another process (ask `ss -ltnp` or `lsof -i` as its user)"
		}
		return fmt.Errorf("listen on %s: the port is taken by %s; choose another by --listen HOST:PORT, or 127.0.0.1:0 for any that is free", addr, who)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("listen on %s: this user may not; choose a port above 1023 by --listen: %w", addr, err)
	}
	return fmt.Errorf("listen on %s: %w; choose an address of this machine by --listen", addr, err)
}

// url returns the address for processes of this machine, with user and password.
func (n *nats) url() string {
	addr := n.server.Addr().(*net.TCPAddr)
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	u := url.URL{Scheme: "nats", User: url.UserPassword(natsUser, n.password), Host: net.JoinHostPort(host, strconv.Itoa(addr.Port))}
	return u.String()
}

func (n *nats) stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}
