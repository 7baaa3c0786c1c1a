package natsbus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// attemptTimeout bounds one attempt to connect.
	attemptTimeout = 2 * time.Second
	// attemptPause lies between two attempts, the first time and later.
	attemptPause = 250 * time.Millisecond
	// waitingEvery is how often Config.Waiting hears from Connect after the first time.
	waitingEvery = 5 * time.Second
	// pingEvery and pingsLost notice a silent server within 9 s; by default that
	// takes minutes.
	pingEvery, pingsLost = 3 * time.Second, 2
	// closeTimeout bounds the sending of what was still published.
	closeTimeout = time.Second
)

// Bus is a connection to NATS. Its methods are safe for concurrent use.
type Bus struct {
	conf Config
	nc   *nats.Conn
	js   jetstream.JetStream

	keepsEvents atomic.Bool  // EnsureEvents was asked for
	dropped     atomic.Int64 // events

	mu      sync.Mutex
	session context.Context // ends, with its cause, when the connection is lost
	end     context.CancelCauseFunc
	lost    *UnreachableError // nil while connected
	closed  bool
}

// Connect connects and logs in. It goes on trying for Config.DialTimeout while
// nothing answers, then returns an *UnreachableError; a refused login
// (ErrCredentials) ends it at once.
func Connect(ctx context.Context, c Config) (*Bus, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	b := &Bus{conf: c.withDefaults()}
	b.session, b.end = context.WithCancelCause(context.Background())
	if err := b.connect(ctx); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if limit := b.nc.MaxPayload(); limit < MaxMessage {
		b.nc.Close()
		return nil, fmt.Errorf("connect to NATS: %w: %s takes messages of %d bytes, expected at least %d; raise its max_payload", ErrPayload, b.conf.where(), limit, MaxMessage)
	}
	js, err := jetstream.New(b.nc)
	if err != nil {
		b.nc.Close()
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	b.js = js
	return b, nil
}

// connect tries until it is connected, refused, or has no time left.
func (b *Bus) connect(ctx context.Context) error {
	since := time.Now()
	until := since.Add(b.conf.DialTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	var told time.Time
	for {
		nc, err := nats.Connect(b.conf.URL, b.options()...)
		if err == nil {
			b.nc = nc
			return nil
		}
		if refused := credentialsError(err, b.conf.who()); refused != nil {
			return refused
		}
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
			return fmt.Errorf("reach NATS at %s: %w", b.conf.where(), cause)
		}
		unreachable := &UnreachableError{Addr: b.conf.where(), Since: since, Until: until, Cause: err}
		if time.Until(until) <= attemptPause {
			return unreachable
		}
		if time.Since(told) >= waitingEvery {
			told = time.Now()
			b.conf.Waiting(unreachable)
		}
		select {
		case <-ctx.Done():
		case <-time.After(attemptPause):
		}
	}
}

func (b *Bus) options() []nats.Option {
	opts := []nats.Option{
		nats.Name(b.conf.Name),
		b.conf.login(),
		nats.Timeout(attemptTimeout),
		nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(pingsLost),
		nats.MaxReconnects(-1), nats.ReconnectWait(attemptPause), nats.ReconnectJitter(attemptPause, attemptPause),
		nats.IgnoreAuthErrorAbort(), // a server that comes back may know its users a little later
		nats.ReconnectBufSize(-1),   // promise 2: nothing is sent late
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { b.disconnected(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { b.stillLost(err) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { b.reconnected(nc.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(b.failed),
	}
	if b.conf.InProcess != nil {
		opts = append(opts, nats.InProcessServer(b.conf.InProcess))
	}
	return opts
}

// disconnected ends the session, and with it all requests under way.
func (b *Bus) disconnected(err error) {
	if err == nil {
		err = errors.New("the connection was closed")
	}
	lost := &UnreachableError{Addr: b.conf.where(), Since: time.Now(), Cause: err}
	b.mu.Lock()
	closed := b.closed
	b.lost = lost
	b.end(lost)
	b.mu.Unlock()
	if !closed {
		b.conf.Waiting(lost)
	}
}

// stillLost keeps the latest reason, for those who ask later.
func (b *Bus) stillLost(err error) {
	if refused := credentialsError(err, b.conf.who()); refused != nil {
		err = refused
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost != nil {
		b.lost = &UnreachableError{Addr: b.lost.Addr, Since: b.lost.Since, Cause: err}
	}
}

func (b *Bus) reconnected(addr string) {
	b.mu.Lock()
	outage := time.Duration(0)
	if b.lost != nil {
		outage = time.Since(b.lost.Since)
	}
	b.lost = nil
	b.session, b.end = context.WithCancelCause(context.Background())
	b.mu.Unlock()
	if b.keepsEvents.Load() {
		go b.restoreEvents()
	}
	b.conf.Reconnected(addr, outage)
}

func (b *Bus) failed(_ *nats.Conn, sub *nats.Subscription, err error) {
	if sub != nil {
		err = fmt.Errorf("subscription to %s: %w", sub.Subject, err)
	}
	b.conf.Failed(err)
}

// Err returns nil while there is a connection, else an *UnreachableError that says
// since when there is none.
func (b *Bus) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost != nil {
		return b.lost
	}
	return nil
}

// current returns the session to tie a request to.
func (b *Bus) current() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.session
}

// explain words an error of nats.go by what is known of the connection.
func (b *Bus) explain(err error) error {
	if lost := b.Err(); lost != nil {
		return lost
	}
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNoResponders
	case errors.Is(err, nats.ErrReconnectBufExceeded), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionReconnecting):
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	return err
}

// Close sends what was published and closes the connection.
func (b *Bus) Close() error {
	err := b.Err()
	if err == nil {
		err = b.nc.FlushTimeout(closeTimeout)
	}
	b.mu.Lock()
	b.closed = true
	b.end(fmt.Errorf("%w: the bus was closed", ErrDisconnected))
	b.mu.Unlock()
	b.nc.Close()
	if err != nil {
		return fmt.Errorf("close NATS: send the last messages: %w", err)
	}
	return nil
}
