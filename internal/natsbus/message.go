package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// Publish sends to all subscribers of a subject, without waiting for any.
func (b *Bus) Publish(subject string, data []byte) error {
	if err := b.publish(subject, data); err != nil {
		return fmt.Errorf("publish on %s: %w", subject, err)
	}
	return nil
}

func (b *Bus) publish(subject string, data []byte) error {
	if err := checkSize(data); err != nil {
		return err
	}
	if err := b.nc.Publish(subject, data); err != nil {
		return b.explain(err)
	}
	return nil
}

func checkSize(data []byte) error {
	if len(data) > MaxMessage {
		return fmt.Errorf("%w: found %d bytes, expected at most %d; send it in chunks", ErrTooLarge, len(data), MaxMessage)
	}
	return nil
}

// Request sends to the one who serves a subject and waits for the answer until ctx
// ends. Errors: ErrNoResponders where nobody serves it now, ErrDisconnected where
// the connection is, or gets, lost; in the latter case the request may have been
// served.
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	answer, err := b.request(ctx, subject, data)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", subject, err)
	}
	return answer, nil
}

func (b *Bus) request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if err := checkSize(data); err != nil {
		return nil, err
	}
	if lost := b.Err(); lost != nil {
		return nil, lost
	}
	session := b.current()
	tied, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	untie := context.AfterFunc(session, func() { cancel(context.Cause(session)) })
	defer untie()
	msg, err := b.nc.RequestWithContext(tied, subject, data)
	switch {
	case err == nil:
		return msg.Data, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case session.Err() != nil:
		return nil, context.Cause(session)
	}
	return nil, b.explain(err)
}

// Subscribe hands each message on a subject (wildcards allowed) to handle, one at a
// time and in order, until stop is called. What arrives while there is no
// connection is missed. A handler that falls 64 MiB behind loses messages, which
// Config.Failed hears of.
func (b *Bus) Subscribe(subject string, handle func(data []byte)) (stop func(), err error) {
	return b.subscribe(subject, func(m *nats.Msg) { handle(m.Data) })
}

// Serve hands each request on a subject (wildcards allowed) to handle, one at a
// time and in order, until stop is called. from tells connections apart: all
// requests of one carry the same, empty where no answer is waited for. reply may
// be called later and from any goroutine, once; a request that is never answered
// leaves its sender waiting for as long as it cares to. Answers that cannot be sent
// are told to Config.Failed: who asked will ask again.
func (b *Bus) Serve(subject string, handle func(subject, from string, data []byte, reply func([]byte))) (stop func(), err error) {
	return b.subscribe(subject, func(m *nats.Msg) {
		handle(m.Subject, inbox(m.Reply), m.Data, func(data []byte) { b.reply(m, data) })
	})
}

// inbox is the part of a reply subject that all requests of a connection share.
func inbox(reply string) string { return reply[:max(0, strings.LastIndexByte(reply, '.'))] }

func (b *Bus) reply(m *nats.Msg, data []byte) {
	if m.Reply == "" {
		return // it was published, not requested: nobody waits
	}
	if err := b.publish(m.Reply, data); err != nil {
		b.conf.Failed(fmt.Errorf("answer request on %s: %w", m.Subject, err))
	}
}

// subscribe returns once the server knows of the subscription, so that who hears of
// it afterwards finds it.
func (b *Bus) subscribe(subject string, handle nats.MsgHandler) (stop func(), err error) {
	sub, err := b.nc.Subscribe(subject, handle)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", subject, b.explain(err))
	}
	if err := b.nc.FlushTimeout(attemptTimeout); err != nil {
		return nil, errors.Join(fmt.Errorf("subscribe to %s: %w", subject, b.explain(err)), sub.Unsubscribe())
	}
	return func() {
		if err := sub.Unsubscribe(); err != nil && b.Err() == nil && !errors.Is(err, nats.ErrConnectionClosed) {
			b.conf.Failed(fmt.Errorf("unsubscribe from %s: %w", subject, err))
		}
	}, nil
}
