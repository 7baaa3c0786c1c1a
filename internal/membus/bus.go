// Package membus is a message bus in memory, for tests. It keeps the promises of internal/natsbus: a subject nobody
// serves fails at once, each subscription hears its messages one at a time and in order, nothing is delivered late.
package membus

import (
	"context"
	"errors"
	"strings"
	"sync"
)

// ErrNoResponders: nobody serves the subject.
var ErrNoResponders = errors.New("no responders")

// Bus carries messages between the parts of one test.
type Bus struct {
	mu     sync.Mutex
	subs   []*subscription
	events map[string][][]byte // by run
	heard  *sync.Cond          // more events
	loops  sync.WaitGroup

	// Lose, where not nil, says which requests, answers ("answer to " before the subject) and publications are lost.
	Lose func(subject string, data []byte) bool
}

type subscription struct {
	pattern string
	handle  func(subject, from string, data []byte, reply func([]byte))
	serves  bool

	mu      sync.Mutex
	queue   []message
	more    chan struct{}
	stopped chan struct{}
	once    sync.Once
}

func (s *subscription) stop() { s.once.Do(func() { close(s.stopped) }) }

type message struct {
	subject string
	data    []byte
	reply   func([]byte)
}

// New makes a bus.
func New() *Bus {
	b := &Bus{events: map[string][][]byte{}}
	b.heard = sync.NewCond(&b.mu)
	return b
}

// Err is nil: there is no connection that could be lost.
func (b *Bus) Err() error { return nil }

// Serve answers requests on a subject until stop.
func (b *Bus) Serve(subject string, handle func(subject, from string, data []byte, reply func([]byte))) (stop func(), err error) {
	return b.add(&subscription{pattern: subject, handle: handle, serves: true}), nil
}

// Subscribe hands each message on a subject to handle, in order, until stop.
func (b *Bus) Subscribe(subject string, handle func(data []byte)) (stop func(), err error) {
	return b.add(&subscription{pattern: subject, handle: func(_, _ string, data []byte, _ func([]byte)) { handle(data) }}), nil
}

func (b *Bus) add(s *subscription) (stop func()) {
	s.more, s.stopped = make(chan struct{}, 1), make(chan struct{})
	b.mu.Lock()
	b.subs = append(b.subs, s)
	b.mu.Unlock()
	b.loops.Go(s.run)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for i := range b.subs {
			if b.subs[i] == s {
				b.subs = append(b.subs[:i:i], b.subs[i+1:]...)
				break
			}
		}
		s.stop()
	}
}

func (s *subscription) run() {
	for {
		s.mu.Lock()
		var m *message
		if len(s.queue) > 0 {
			m = &s.queue[0]
			s.queue = s.queue[1:]
		}
		s.mu.Unlock()
		if m != nil {
			s.handle(m.subject, "inbox", m.data, m.reply)
		}
		select {
		case <-s.stopped:
			return
		default:
		}
		if m == nil {
			select {
			case <-s.stopped:
				return
			case <-s.more:
			}
		}
	}
}

func (s *subscription) push(m message) {
	s.mu.Lock()
	s.queue = append(s.queue, m)
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// Request sends and waits for one answer.
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	answer := make(chan []byte, 1)
	reply := func(data []byte) {
		if b.lost("answer to "+subject, data) {
			return
		}
		select {
		case answer <- data:
		default: // a second answer
		}
	}
	if !b.lost(subject, data) && b.send(subject, data, reply, true) == 0 {
		return nil, ErrNoResponders
	}
	select {
	case data := <-answer:
		return data, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Publish sends to all subscribers.
func (b *Bus) Publish(subject string, data []byte) error {
	if !b.lost(subject, data) {
		b.send(subject, data, func([]byte) {}, false)
	}
	return nil
}

func (b *Bus) lost(subject string, data []byte) bool {
	b.mu.Lock()
	lose := b.Lose
	b.mu.Unlock()
	return lose != nil && lose(subject, data)
}

// SetLose changes Lose while the bus is in use.
func (b *Bus) SetLose(lose func(subject string, data []byte) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Lose = lose
}

func (b *Bus) send(subject string, data []byte, reply func([]byte), serves bool) (receivers int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.subs {
		if matches(s.pattern, subject) {
			s.push(message{subject, append([]byte(nil), data...), reply})
			if s.serves || !serves {
				receivers++
			}
		}
	}
	return receivers
}

func matches(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	if len(p) != len(s) {
		return false
	}
	for i := range p {
		if p[i] != "*" && p[i] != s[i] {
			return false
		}
	}
	return true
}

// PublishEvent keeps an event of a run for its followers.
func (b *Bus) PublishEvent(run string, data []byte) {
	if b.lost("events."+run, data) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events[run] = append(b.events[run], data)
	b.heard.Broadcast()
}

// Follow gives a run's events from the first one, until ctx ends.
func (b *Bus) Follow(ctx context.Context, run string) (<-chan []byte, error) {
	out := make(chan []byte)
	wake := context.AfterFunc(ctx, func() { b.mu.Lock(); b.heard.Broadcast(); b.mu.Unlock() })
	b.loops.Go(func() {
		defer close(out)
		defer wake()
		for next := 0; ; next++ {
			b.mu.Lock()
			for next >= len(b.events[run]) && ctx.Err() == nil {
				b.heard.Wait()
			}
			if ctx.Err() != nil {
				b.mu.Unlock()
				return
			}
			data := b.events[run][next]
			b.mu.Unlock()
			select {
			case out <- data:
			case <-ctx.Done():
				return
			}
		}
	})
	return out, nil
}

// Close waits until every subscription that was stopped has ended.
func (b *Bus) Close() {
	b.mu.Lock()
	subs := b.subs
	b.subs = nil
	b.mu.Unlock()
	for _, s := range subs {
		s.stop()
	}
	b.loops.Wait()
}
