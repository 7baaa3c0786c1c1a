package dispatchbench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// link is one connection that many waiters share. Answers and broadcasts come to one goroutine, in the order they were
// sent, and go to whoever asked: no goroutine waits for an answer, so that a thousand waiters cost little beside what is
// measured.
type link struct {
	nc     *nats.Conn
	inbox  string // with its dot
	prefix string // of the leader's subjects, with its dot
	msgs   chan *nats.Msg
	fail   func(error)
	asked  func() // a request was sent

	mu   sync.Mutex
	next uint64
	open map[uint64]*question
}

// question is a request that is not answered yet.
type question struct {
	op    string
	frame []byte
	until time.Time // then it is sent again
	wait  time.Duration
	then  func(frame []byte)
}

// newLink connects, subscribes, and finds out who leads.
func newLink(url, name string, theta string, asked func(), fail func(error)) (*link, error) {
	nc, err := nats.Connect(url, nats.Name(name), nats.ReconnectBufSize(-1))
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", name, err)
	}
	l := &link{nc: nc, inbox: nats.NewInbox() + ".", msgs: make(chan *nats.Msg, 1<<16), asked: asked, fail: fail, open: map[uint64]*question{}}
	for _, subject := range []string{theta, l.inbox + "*"} {
		if _, err := nc.ChanSubscribe(subject, l.msgs); err != nil {
			nc.Close()
			return nil, fmt.Errorf("%s: subscribe to %s: %w", name, subject, err)
		}
	}
	return l, nil
}

// follow asks who leads until somebody does.
func (l *link) follow(ctx context.Context) error {
	for {
		msg, err := l.nc.RequestWithContext(ctx, metatrain.Subject("warmstart", "find"), nil)
		var a metatrain.Announce
		if err == nil {
			if _, err = metatrain.DecodeFrame(msg.Data, &a); err == nil {
				l.prefix = metatrain.Subject("warmstart", "lead", a.Term.String(), "")
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("find the leader: %w (%v)", ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// run hands answers to who asked and broadcasts to hear, until ctx ends.
func (l *link) run(ctx context.Context, hear func(data []byte)) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.again()
		case msg := <-l.msgs:
			token, mine := strings.CutPrefix(msg.Subject, l.inbox)
			if !mine {
				hear(msg.Data)
				continue
			}
			if msg.Header.Get("Status") == "503" {
				l.fail(errors.New("nobody serves the leader's subjects any more: a bench measures one leadership"))
				return
			}
			if q := l.take(token); q != nil {
				q.then(msg.Data)
			}
		}
	}
}

// take finds the question an answer belongs to; nil: it was answered before.
func (l *link) take(token string) *question {
	id, err := strconv.ParseUint(token, 10, 64)
	if err != nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.open[id]
	delete(l.open, id)
	return q
}

// ask sends a request; then gets the answer, on the link's goroutine. Each is idempotent, and sent again where wait passes
// without an answer.
func (l *link) ask(op string, frame []byte, wait time.Duration, then func(frame []byte)) {
	q := &question{op, frame, time.Now().Add(wait), wait, then}
	l.mu.Lock()
	l.next++
	id := l.next
	l.open[id] = q
	l.mu.Unlock()
	l.send(id, q)
}

func (l *link) send(id uint64, q *question) {
	l.asked()
	if err := l.nc.PublishRequest(l.prefix+q.op, l.inbox+strconv.FormatUint(id, 10), q.frame); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		l.fail(fmt.Errorf("ask for %s: %w", q.op, err))
	}
}

// again repeats what was not answered in time.
func (l *link) again() {
	now := time.Now()
	late := map[uint64]*question{}
	l.mu.Lock()
	for id, q := range l.open {
		if now.After(q.until) {
			q.until = now.Add(q.wait)
			late[id] = q
		}
	}
	l.mu.Unlock()
	for id, q := range late {
		l.send(id, q)
	}
}

// decode reads an answer.
func decode[R any](frame []byte) (reply R, err error) {
	_, err = metatrain.DecodeFrame(frame, &reply)
	return reply, err
}
