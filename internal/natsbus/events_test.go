package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

func ensure(t *testing.T, b *Bus) {
	t.Helper()
	if err := b.EnsureEvents(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func follow(t *testing.T, b *Bus, run string) <-chan []byte {
	t.Helper()
	events, err := b.Follow(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// next returns the next event, or fails.
func next(t *testing.T, events <-chan []byte) string {
	t.Helper()
	select {
	case e, open := <-events:
		if !open {
			t.Fatal("found the events ended")
		}
		return string(e)
	case <-time.After(10 * time.Second):
		t.Fatal("waited 10 s for an event")
	}
	return ""
}

func TestFollowersGetWhatWasAndWhatComes(t *testing.T) {
	backends(t, func(t *testing.T, c Config) {
		leader, cli := connect(t, c), connect(t, c)
		ensure(t, leader)
		ensure(t, leader) // the next leader does so again
		for i := range 10 {
			leader.PublishEvent("a", []byte(strconv.Itoa(i)))
			leader.PublishEvent("b", []byte("other"))
		}
		events := follow(t, cli, "a")
		for i := range 20 {
			if i >= 10 {
				leader.PublishEvent("a", []byte(strconv.Itoa(i)))
			}
			if got := next(t, events); got != strconv.Itoa(i) {
				t.Fatalf("found event %s, expected %d", got, i)
			}
		}
		leader.PublishEvent("bad.name", nil)
		if n := leader.DroppedEvents(); n != 1 {
			t.Errorf("found %d events dropped, expected 1", n)
		}
		_, err := cli.Follow(t.Context(), "bad.name")
		expectWords(t, err, `run "bad.name"`)
	})
}

func TestG6_EventsAreKeptWithinLimits(t *testing.T) {
	t.Parallel()
	leader := connect(t, Config{InProcess: embedded(t)})
	ensure(t, leader)
	for i := range eventsPerRun + 100 {
		leader.PublishEvent("a", []byte(strconv.Itoa(i)))
	}
	var kept uint64
	eventually(t, "the limit", func() bool {
		s, err := leader.js.Stream(t.Context(), leader.stream())
		if err != nil {
			t.Fatal(err)
		}
		kept = s.CachedInfo().State.Msgs
		return s.CachedInfo().State.LastSeq == eventsPerRun+100
	})
	if kept != eventsPerRun {
		t.Errorf("found %d events kept, expected %d", kept, eventsPerRun)
	}
	if got := next(t, follow(t, leader, "a")); got != "100" {
		t.Errorf("found %s first, expected the oldest kept, 100", got)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	backends(t, func(t *testing.T, c Config) {
		b := connect(t, c)
		ensure(t, b)
		ctx, cancel := context.WithCancel(t.Context())
		events, err := b.Follow(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		b.PublishEvent("a", []byte("never read"))
		time.Sleep(20 * time.Millisecond)
		cancel()
		eventually(t, "the end of the channel", func() bool {
			select {
			case _, open := <-events:
				return !open
			default:
				return false
			}
		})
	})
}

func TestPrefixesHaveStreamsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	a, b := connect(t, Config{InProcess: s}), connect(t, Config{InProcess: s, Prefix: "team.b"})
	ensure(t, a)
	ensure(t, b)
	a.PublishEvent("run", []byte("of a"))
	b.PublishEvent("run", []byte("of b"))
	if got := next(t, follow(t, a, "run")); got != "of a" {
		t.Errorf("found %s, expected a's own", got)
	}
	if got := next(t, follow(t, b, "run")); got != "of b" {
		t.Errorf("found %s, expected b's own", got)
	}
}

// TestFollowersOutliveARestart kills NATS, which forgets the stream: the leader makes
// it anew and the follower goes on with what comes then, though its numbers are lower.
func TestFollowersOutliveARestart(t *testing.T) {
	t.Parallel()
	s := testservers.NATS(t)
	leader, cli := connect(t, Config{URL: s.URL}), connect(t, Config{URL: s.URL})
	events := follow(t, cli, "a") // before there is a stream
	ensure(t, leader)
	for i := range 20 {
		leader.PublishEvent("a", []byte(fmt.Sprint("before ", i)))
	}
	for i := range 20 {
		if got := next(t, events); got != fmt.Sprint("before ", i) {
			t.Fatalf("found %s, expected number %d from before the restart", got, i)
		}
	}
	s.Kill()
	eventually(t, "the outage", func() bool { return leader.Err() != nil })
	leader.PublishEvent("a", []byte("lost"))
	if leader.DroppedEvents() != 1 {
		t.Errorf("found %d events dropped, expected 1", leader.DroppedEvents())
	}
	s.Restart()
	eventually(t, "the stream", func() bool {
		_, err := leader.js.Stream(t.Context(), leader.stream())
		return err == nil
	})
	leader.PublishEvent("a", []byte("after"))
	if got := next(t, events); got != "after" {
		t.Fatalf("found %s, expected the event from after the restart", got)
	}
}

// TestFollowersMissNothingOverALostConnection breaks the connection alone: the
// stream is still there and the follower must neither repeat nor miss an event.
func TestFollowersMissNothingOverALostConnection(t *testing.T) {
	t.Parallel()
	s := embedded(t)
	leader, cli := connect(t, Config{InProcess: s}), connect(t, Config{InProcess: s})
	ensure(t, leader)
	events := follow(t, cli, "a")
	for i := range 300 {
		leader.PublishEvent("a", []byte(strconv.Itoa(i)))
		if i%100 == 50 {
			id, err := cli.nc.GetClientID()
			if err != nil {
				t.Fatal(err)
			}
			if err := s.DisconnectClientByID(id); err != nil {
				t.Fatal(err)
			}
		}
		if i%10 == 9 {
			for j := i - 9; j <= i; j++ {
				if got := next(t, events); got != strconv.Itoa(j) {
					t.Fatalf("found event %s, expected %d", got, j)
				}
			}
		}
		eventually(t, "the connection", func() bool { return cli.Err() == nil })
	}
}

func TestEnsureEventsNamesALackOfJetStream(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Shutdown)
	b := connect(t, Config{InProcess: s})
	err = b.EnsureEvents(t.Context())
	expectWords(t, err, "make stream RUN_EVENTS", "start NATS with JetStream")
	if _, err := b.Follow(t.Context(), "a"); err == nil || errors.Is(err, ErrDisconnected) {
		t.Errorf("found %v from following, expected the lack of JetStream", err)
	}
}
