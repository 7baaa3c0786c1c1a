// Package client talks to whichever coordinator leads: it finds the leader over the bus, asks, waits out failovers,
// and moves large contents in chunks. Workers and the command line stand on it; neither holds any credential but the
// bus's own (G8).
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Bus is what a client needs of a message bus.
type Bus interface {
	// Request sends and waits for one answer, at most until ctx ends. Where nobody serves the subject it fails at once.
	Request(ctx context.Context, subject string, data []byte) ([]byte, error)
	// Subscribe hands each message on a subject to handle, in order, until stop.
	Subscribe(subject string, handle func(data []byte)) (stop func(), err error)
	// Follow gives a run's events from the first one kept, then as they come, until ctx ends.
	Follow(ctx context.Context, run string) (<-chan []byte, error)
}

// ErrNoLeader is wrapped where nobody led for as long as the caller would wait.
var ErrNoLeader = errors.New("no coordinator leads")

// Client finds the leader and asks it. It is safe for concurrent use.
type Client struct {
	// User is who submits runs, as the coordinator's quotas count them; set before use, up to 64 characters.
	User string

	bus    Bus
	prefix string
	log    *slog.Logger

	mu      sync.Mutex
	term    metatrain.Term // newest heard of; messages of older ones are ignored (G4)
	proved  metatrain.Term // newest that answered a request: term falls back to it where nobody serves what was announced
	found   bool           // somebody answers for term, as far as we know
	changed chan struct{}  // closed when term changes
	since   time.Time      // when the leader was last lost
	proving bool           // an announcement is being looked into
	junk    int            // announcements that were none, or of nobody
	stop    func()
	refs    *references
}

// New listens for changes of leadership. prefix "" is "warmstart". Close ends it.
func New(bus Bus, prefix string, log *slog.Logger) (*Client, error) {
	if prefix == "" {
		prefix = "warmstart"
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Client{bus: bus, prefix: prefix, log: log, changed: make(chan struct{}), since: time.Now(), refs: newReferences()}
	life, end := context.WithCancel(context.Background())
	stop, err := bus.Subscribe(c.Subject("leader"), func(data []byte) { c.hear(life, data) })
	if err != nil {
		end()
		return nil, fmt.Errorf("listen for the leader: %w", err)
	}
	c.stop = func() { stop(); end() }
	return c, nil
}

// hear looks into an announcement: anybody may have sent it, so that requests under way are left alone until the new
// leader answers. One at a time: who is missed meanwhile is found when the old leader answers no more.
func (c *Client) hear(ctx context.Context, data []byte) {
	var a metatrain.Announce
	if _, err := metatrain.DecodeFrame(data, &a); err != nil {
		c.doubt(err)
		return
	}
	c.mu.Lock()
	known := c.proving || !c.term.Less(a.Term)
	c.proving = c.proving || !known
	c.mu.Unlock()
	if known {
		return
	}
	go func() {
		err := c.answers(ctx, a.Term)
		c.mu.Lock()
		c.proving = false
		c.mu.Unlock()
		if err == nil {
			c.learn(a)
		} else if ctx.Err() == nil {
			c.doubt(fmt.Errorf("term %s was announced by %.100q, and does not answer: %w", a.Term, a.Leader, err))
		}
	}()
}

// answers asks the leader of a term for nothing.
func (c *Client) answers(ctx context.Context, term metatrain.Term) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	data, err := c.bus.Request(ctx, c.Subject("lead", term.String(), "beat"), metatrain.EncodeFrame(metatrain.Beat{}, nil))
	if err != nil {
		return err
	}
	var ack metatrain.Ack
	if _, err := metatrain.DecodeFrame(data, &ack); err != nil {
		return err
	}
	if ack.Term != term {
		return fmt.Errorf("found an answer of term %s", ack.Term)
	}
	return nil
}

// doubt counts an announcement that is none; the log hears of the first and of each tenfold number.
func (c *Client) doubt(err error) {
	c.mu.Lock()
	c.junk++
	n := c.junk
	c.mu.Unlock()
	if metatrain.Notable(n) {
		c.log.Warn("passed over an announcement", "count", n, "err", err)
	}
}

// Close stops listening.
func (c *Client) Close() {
	c.stop()
	c.refs.http.CloseIdleConnections()
}

// Subject is a subject of this cluster.
func (c *Client) Subject(parts ...string) string { return metatrain.Subject(c.prefix, parts...) }

// Bus gives the bus the client stands on.
func (c *Client) Bus() Bus { return c.bus }

func (c *Client) learn(a metatrain.Announce) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.Term.Less(c.term) {
		return false
	}
	if c.term.Less(a.Term) {
		c.term = a.Term
		close(c.changed)
		c.changed = make(chan struct{})
		c.log.Debug("leader", "id", a.Leader, "term", a.Term.String())
	}
	c.found = true
	return true
}

func (c *Client) leader() (term metatrain.Term, found bool, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.term, c.found, c.changed
}

// lose notes that a request to the leader of term failed. A term that never answered may have been announced by nobody
// who leads: it must not hide those who do.
func (c *Client) lose(term metatrain.Term) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.term != term || !c.found {
		return
	}
	c.found, c.since = false, time.Now()
	if c.proved.Less(term) {
		c.term = c.proved
	}
}

// prove takes an answer of term in. False: it is older than one that leads by now.
func (c *Client) prove(term metatrain.Term) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if term.Less(c.term) {
		return false
	}
	if term == c.term {
		c.proved = term
	}
	return true
}

// find asks who leads, once.
func (c *Client) find(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	data, err := c.bus.Request(ctx, c.Subject("find"), nil)
	if err != nil {
		return err
	}
	var a metatrain.Announce
	if _, err := metatrain.DecodeFrame(data, &a); err != nil {
		return err
	}
	if !c.learn(a) {
		return fmt.Errorf("%s answers for the older term %s", a.Leader, a.Term)
	}
	return nil
}

// Reply is the header of an answer, which carries the leader's term.
type Reply interface {
	metatrain.LeaseReply | metatrain.ResultReply | metatrain.Ack | metatrain.Chunk | metatrain.Answer
}

// Ask puts one request to the leader and waits for its answer until ctx ends, through changes of leadership and lost
// connections, saying in the log now and then what it waits for. patience bounds a single attempt. The request may
// reach more than one leader: each is idempotent. The error wraps that of ctx and, where nobody led, ErrNoLeader.
func Ask[R Reply](ctx context.Context, c *Client, op string, header any, payload []byte, patience time.Duration) (reply R, content []byte, err error) {
	frame := metatrain.EncodeFrame(header, payload)
	wait := 20 * time.Millisecond
	began := time.Now()
	warned := began
	for {
		reply, content, err = attempt[R](ctx, c, op, frame, patience)
		if err == nil {
			return reply, content, nil
		}
		if ctx.Err() != nil {
			return reply, nil, fmt.Errorf("ask for %s: %w", op, c.missed(began, err, ctx.Err()))
		}
		if time.Since(warned) > 5*time.Second {
			warned = time.Now()
			c.log.Warn("waiting for the leader", "op", op, "since", began.Format(time.TimeOnly), "last", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Second)
	}
}

// missed words why an answer was not had: there is no leader, or the one there is does not answer.
func (c *Client) missed(began time.Time, last, ended error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found {
		return fmt.Errorf("%w: no answer from the leader of term %s in %.1f s (%v)", ended, c.term, time.Since(began).Seconds(), last)
	}
	return fmt.Errorf("%w on subject prefix %q since %s, for %.1f s (%v): %w; check that a coordinator runs against the same NATS and prefix",
		ErrNoLeader, c.prefix, c.since.Format(time.TimeOnly), time.Since(c.since).Seconds(), last, ended)
}

// attempt asks the leader known, or first finds one. A change of leadership ends it early.
func attempt[R Reply](ctx context.Context, c *Client, op string, frame []byte, patience time.Duration) (reply R, content []byte, err error) {
	if _, found, _ := c.leader(); !found {
		if err := c.find(ctx); err != nil {
			return reply, nil, fmt.Errorf("find the leader: %w", err)
		}
	}
	term, _, changed := c.leader()
	once, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	go func() {
		select {
		case <-changed:
			cancel()
		case <-once.Done():
		}
	}()
	data, err := c.bus.Request(once, c.Subject("lead", term.String(), op), frame)
	if err != nil {
		if ctx.Err() == nil { // else the caller gave up: that says nothing of the leader
			c.lose(term)
		}
		return reply, nil, err
	}
	content, err = metatrain.DecodeFrame(data, &reply)
	if err != nil {
		return reply, nil, err
	}
	switch t := termOf(reply); {
	case t != term:
		return reply, nil, fmt.Errorf("found an answer of term %s, expected one of %s, which was asked", t, term)
	case !c.prove(t):
		return reply, nil, fmt.Errorf("answer of the older term %s, a newer one leads", t)
	}
	return reply, content, nil
}

func termOf(reply any) metatrain.Term {
	switch r := reply.(type) {
	case metatrain.LeaseReply:
		return r.Term
	case metatrain.ResultReply:
		return r.Term
	case metatrain.Ack:
		return r.Term
	case metatrain.Chunk:
		return r.Term
	case metatrain.Answer:
		return r.Term
	}
	return metatrain.Term{}
}
