package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// Limits of the stream of events: the oldest go first.
	eventsPerRun = 2000
	eventsBytes  = 64 << 20
	eventsAge    = 24 * time.Hour

	// ensureTimeout bounds one attempt to make the stream after a reconnection, and
	// lies between two.
	ensureTimeout = 5 * time.Second
	// followPause lies between two attempts to follow again.
	followPause = 250 * time.Millisecond
)

// EnsureEvents makes the stream that keeps the events of runs in memory for those
// who follow later: up to 2,000 events per run, 64 MiB in all, for 24 hours. Whoever
// leads calls it once; it is made anew when NATS has forgotten it in a restart.
func (b *Bus) EnsureEvents(ctx context.Context) error {
	b.keepsEvents.Store(true)
	_, err := b.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:              b.stream(),
		Description:       "events of warmstart runs, for followers",
		Subjects:          []string{b.conf.Prefix + ".events.>"},
		Storage:           jetstream.MemoryStorage,
		Discard:           jetstream.DiscardOld,
		MaxMsgsPerSubject: eventsPerRun,
		MaxBytes:          eventsBytes,
		MaxAge:            eventsAge,
		MaxMsgSize:        MaxMessage,
	})
	if err != nil {
		return fmt.Errorf("make stream %s: %w", b.stream(), b.explainStream(err))
	}
	return nil
}

// stream returns the name of the stream, of the deployment's own where its prefix
// is not the default one.
func (b *Bus) stream() string {
	if b.conf.Prefix == defaultPrefix {
		return "RUN_EVENTS"
	}
	return "RUN_EVENTS_" + strings.ReplaceAll(b.conf.Prefix, ".", "_")
}

func (b *Bus) explainStream(err error) error {
	for _, none := range []error{nats.ErrNoResponders, jetstream.ErrJetStreamNotEnabled, jetstream.ErrJetStreamNotEnabledForAccount} {
		if errors.Is(err, none) {
			return fmt.Errorf("%w; start NATS with JetStream (-js) for the account", err)
		}
	}
	return b.explain(err)
}

// restoreEvents makes the stream anew after a reconnection, or learns that it is
// still there. It tries as long as that connection lasts.
func (b *Bus) restoreEvents() {
	session := b.current()
	for session.Err() == nil {
		ctx, cancel := context.WithTimeout(session, ensureTimeout)
		err := b.EnsureEvents(ctx)
		cancel()
		if err == nil {
			return
		}
		b.conf.Failed(err)
		select {
		case <-session.Done():
		case <-time.After(ensureTimeout):
		}
	}
}

// PublishEvent tells the followers of a run. It does not wait for NATS to keep the
// event: one that is lost, as all are while there is no connection, is no harm.
func (b *Bus) PublishEvent(run string, data []byte) {
	subject, err := b.eventSubject(run)
	if err == nil {
		err = b.publish(subject, data)
	}
	if err != nil {
		b.dropped.Add(1)
	}
}

// DroppedEvents returns how many events PublishEvent could not send.
func (b *Bus) DroppedEvents() int64 { return b.dropped.Load() }

func (b *Bus) eventSubject(run string) (string, error) {
	if !isToken(run) {
		return "", fmt.Errorf("run %q: expected a name without dots, spaces and wildcards", run)
	}
	return b.conf.Prefix + ".events." + run, nil
}

// Follow gives a run's events, from the oldest one kept, then as they come, until
// ctx ends, which closes the channel. Over a lost connection it goes on where it
// stopped; after a restart of NATS, which forgets, with what comes then. A follower
// that does not read holds up nobody.
func (b *Bus) Follow(ctx context.Context, run string) (<-chan []byte, error) {
	subject, err := b.eventSubject(run)
	if err != nil {
		return nil, fmt.Errorf("follow: %w", err)
	}
	f := &follower{bus: b, subject: subject, out: make(chan []byte)}
	if err := f.open(ctx); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("follow run %s: %w", run, b.explainStream(err))
	}
	go f.run(ctx)
	return f.out, nil
}

// follower reads one run's events, through any number of consumers.
type follower struct {
	bus     *Bus
	subject string
	out     chan []byte

	created time.Time // of the stream that next counts in
	next    uint64    // sequence number to go on from; 0 = the oldest
	events  jetstream.MessagesContext
}

func (f *follower) run(ctx context.Context) {
	defer close(f.out)
	for {
		f.session(ctx)
		if ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(followPause):
		}
	}
}

// session reads until the connection or the consumer is lost; why does not matter,
// the next one goes on from the same place.
func (f *follower) session(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	untie := context.AfterFunc(f.bus.current(), cancel)
	defer untie()
	if f.events == nil && f.open(ctx) != nil {
		return
	}
	defer func() { f.events.Stop(); f.events = nil }()
	for {
		msg, err := f.events.Next(jetstream.NextContext(ctx))
		if err != nil {
			return
		}
		meta, err := msg.Metadata()
		if err != nil {
			return
		}
		select {
		case f.out <- msg.Data():
			f.next = meta.Sequence.Stream + 1
		case <-ctx.Done():
			return
		}
	}
}

// open starts a consumer where the last one stopped, or from the oldest event where
// the stream is not the one the last one read.
func (f *follower) open(ctx context.Context) error {
	stream, err := f.bus.js.Stream(ctx, f.bus.stream())
	if err != nil {
		return err
	}
	conf := jetstream.OrderedConsumerConfig{FilterSubjects: []string{f.subject}, DeliverPolicy: jetstream.DeliverAllPolicy, MaxResetAttempts: 1}
	if created := stream.CachedInfo().Created; !created.Equal(f.created) {
		f.created, f.next = created, 0
	}
	if f.next > 0 {
		conf.DeliverPolicy, conf.OptStartSeq = jetstream.DeliverByStartSequencePolicy, f.next
	}
	consumer, err := stream.OrderedConsumer(ctx, conf)
	if err != nil {
		return err
	}
	f.events, err = consumer.Messages()
	return err
}
