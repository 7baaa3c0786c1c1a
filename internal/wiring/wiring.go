// Package wiring connects a program to NATS by its flags: all that workers and the command line need (G8).
package wiring

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/warmstart-ml/warmstart/internal/natsbus"
	"github.com/warmstart-ml/warmstart/pkg/client"
)

// Common are the flags of every program.
type Common struct {
	Prefix   string
	Wait     time.Duration
	LogLevel string
}

// Flags adds them to fs.
func (c *Common) Flags(fs *flag.FlagSet) {
	fs.StringVar(&c.Prefix, "prefix", "warmstart", "`name` that keeps this cluster's subjects and keys apart from others'")
	fs.DurationVar(&c.Wait, "wait", 15*time.Second, "how `long` to try to reach a server at start-up")
	fs.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
}

// Log makes the program's log, on stderr.
func (c *Common) Log() (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, fmt.Errorf("--log-level: found %q, expected debug, info, warn or error", c.LogLevel)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})), nil
}

// NATS are the flags of a connection to NATS.
type NATS struct{ URL, Creds, User, Password, Token string }

// Flags adds them to fs.
func (n *NATS) Flags(fs *flag.FlagSet) {
	fs.StringVar(&n.URL, "nats", "nats://127.0.0.1:4222", "NATS `address`; several, separated by commas")
	fs.StringVar(&n.Creds, "nats-creds", "", "NATS credentials `file`")
	fs.StringVar(&n.User, "nats-user", "", "NATS user `name`")
	fs.StringVar(&n.Password, "nats-password", "", "NATS `password`; @FILE reads it from a file")
	fs.StringVar(&n.Token, "nats-token", "", "NATS `token`; @FILE reads it from a file")
}

// Connect connects, saying what it waits for.
func (n *NATS) Connect(ctx context.Context, c *Common, name string, log *slog.Logger) (*natsbus.Bus, error) {
	return natsbus.Connect(ctx, natsbus.Config{
		URL: n.URL, CredsFile: n.Creds, User: n.User, Password: n.Password, Token: n.Token, Name: name, Prefix: c.Prefix, DialTimeout: c.Wait,
		Waiting:     func(e *natsbus.UnreachableError) { log.Warn("waiting for NATS", "err", e) },
		Reconnected: func(addr string, outage time.Duration) { log.Info("NATS is back", "addr", addr, "after", outage) },
		Failed:      func(err error) { log.Warn("NATS", "err", err) },
	})
}

// Client reaches NATS as Connect does, and speaks to whoever leads there. end closes both.
func (n *NATS) Client(ctx context.Context, c *Common, name string, log *slog.Logger) (cl *client.Client, end func(), err error) {
	bus, err := n.Connect(ctx, c, name, log)
	if err != nil {
		return nil, nil, err
	}
	if cl, err = client.New(bus, c.Prefix, log); err != nil {
		bus.Close()
		return nil, nil, err
	}
	return cl, func() { cl.Close(); bus.Close() }, nil
}
