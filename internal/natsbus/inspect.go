package natsbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Facts are what a look at a connection finds, for those who ask what is wrong.
type Facts struct {
	Server     string // name and release
	Addr       string // of the server connected to
	Login      string // how this side logged in
	Asks       bool   // the server asks for a login
	MaxPayload int64  // bytes
	RoundTrip  time.Duration
	// Echo is how long a message of MaxMessage bytes took to the server and back;
	// EchoErr why it did not come back.
	Echo    time.Duration
	EchoErr error
	// JetStreamErr is nil where the account has JetStream. Events: the stream of
	// events is there.
	JetStreamErr error
	Events       bool
	// Clock is the server's, read when this side's was ClockAt; zero where the
	// stream of events, which tells it, is not there. ClockSlop is what they may differ by for the time the reading took.
	Clock, ClockAt time.Time
	ClockSlop      time.Duration
}

// Inspect looks at the connection: it sends one large message to itself, below
// PREFIX.doctor, and asks about the stream of events. It changes nothing.
func (b *Bus) Inspect(ctx context.Context) Facts {
	f := Facts{
		Server: fmt.Sprintf("nats-server %s (%s)", b.nc.ConnectedServerVersion(), b.nc.ConnectedServerName()),
		Addr:   b.nc.ConnectedUrlRedacted(), Login: b.conf.who(), Asks: b.nc.AuthRequired(), MaxPayload: b.nc.MaxPayload(),
	}
	f.RoundTrip, _ = b.nc.RTT() // a connection that is gone shows in the echo
	f.Echo, f.EchoErr = b.echo(ctx)
	if _, err := b.js.AccountInfo(ctx); err != nil {
		f.JetStreamErr = b.explainStream(err)
		return f
	}
	f.Clock, f.ClockAt, f.ClockSlop, f.Events = b.Clock(ctx)
	return f
}

// Clock is the server's, this side's when it was read, and what the two may differ by for that; false where the
// stream of events, which tells it, is not there.
func (b *Bus) Clock(ctx context.Context) (theirs, ours time.Time, slop time.Duration, ok bool) {
	asked := time.Now()
	stream, err := b.js.Stream(ctx, b.stream())
	if err != nil {
		return theirs, ours, 0, false
	}
	half := time.Since(asked) / 2
	return stream.CachedInfo().TimeStamp, asked.Add(half), half, true
}

// echo sends the largest message there is to itself.
func (b *Bus) echo(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	subject := b.conf.Prefix + ".doctor." + nats.NewInbox()[len(nats.InboxPrefix):]
	back := make(chan int, 1)
	stop, err := b.Subscribe(subject, func(data []byte) { back <- len(data) })
	if err != nil {
		return 0, err
	}
	defer stop()
	began := time.Now()
	if err := b.Publish(subject, make([]byte, MaxMessage)); err != nil {
		return 0, err
	}
	select {
	case n := <-back:
		if n != MaxMessage {
			return 0, fmt.Errorf("found %d of %d bytes sent", n, MaxMessage)
		}
		return time.Since(began), nil
	case <-ctx.Done():
		if lost := b.Err(); lost != nil {
			return 0, lost
		}
		if refused := b.nc.LastError(); refused != nil {
			return 0, refused
		}
		return 0, fmt.Errorf("a message of %d bytes to %s did not come back within %v", MaxMessage, subject, attemptTimeout)
	}
}

// Gather asks once and returns the answers of all who serve a subject that come
// within wait; none is no error.
func (b *Bus) Gather(ctx context.Context, subject string, wait time.Duration) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	inbox := nats.NewInbox()
	sub, err := b.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("gather answers on %s: %w", subject, b.explain(err))
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := b.nc.PublishRequest(subject, inbox, nil); err != nil {
		return nil, fmt.Errorf("gather answers on %s: %w", subject, b.explain(err))
	}
	var all [][]byte
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		switch {
		case err == nil && msg.Header.Get("Status") == "":
			all = append(all, msg.Data)
		case err == nil, errors.Is(err, nats.ErrNoResponders), ctx.Err() != nil:
			return all, nil // the server says that nobody serves it, or time is up
		default:
			return all, fmt.Errorf("gather answers on %s: %w", subject, b.explain(err))
		}
	}
}
