package coordinator_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/internal/membus"
)

// cutBus is one coordinator's connection to the bus, which can be lost.
type cutBus struct {
	*membus.Bus
	lost atomic.Bool
}

var errCut = errors.New("cut off")

func (b *cutBus) Err() error {
	if b.lost.Load() {
		return errCut
	}
	return nil
}

// A leader that is cut off from the bus gives way to a coordinator that is not, though it reaches etcd; while all are
// cut off nobody leads; then one does again.
func TestLeaderWithoutABusGivesWay(t *testing.T) {
	r := newRig(t)
	coordinate := func(id string, patience time.Duration) *cutBus {
		bus := &cutBus{Bus: r.bus}
		ctx, cancel := context.WithCancel(r.ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			cfg := coordinator.Config{ID: id, BusPatience: patience, Log: slog.New(slog.DiscardHandler)}
			coordinator.Run(ctx, cfg, r.truth, bus, r.store)
		}()
		t.Cleanup(func() { cancel(); <-done })
		return bus
	}
	await := func(what string, holds func(term int64) bool) int64 {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if now := r.term(); holds(now) {
				return now
			}
		}
		t.Fatalf("waited a minute for %s; the term is %d", what, r.term())
		return 0
	}
	a := coordinate("a", 200*time.Millisecond)
	first := await("a leader", func(term int64) bool { return term > 0 })
	b := coordinate("b", time.Second)
	a.lost.Store(true)
	second := await("another leader", func(term int64) bool { return term > first })
	b.lost.Store(true)
	lost := time.Now()
	await("no leader", func(term int64) bool { return term == 0 })
	// It counts from when it last found a connection, which may be some looks before the cut.
	if held := time.Since(lost); held < time.Second/2 {
		t.Errorf("found the leader gone %v after the cut, expected it to wait about a second for the connection", held)
	}
	a.lost.Store(false)
	await("a leader again", func(term int64) bool { return term > second })
}

// Short losses of the bus one after another are not a long one.
func TestShortLossesOfTheBusEndNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &cutBus{Bus: membus.New()}
		defer bus.Close()
		elector := &brief{}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			coordinator.Run(ctx, coordinator.Config{ID: "a", BusPatience: 3 * time.Second}, elector, bus, openDir(t))
		}()
		lose := func(d time.Duration) {
			time.Sleep(10 * time.Second)
			bus.lost.Store(true)
			time.Sleep(d)
			bus.lost.Store(false)
			time.Sleep(5 * time.Second)
		}
		lose(2 * time.Second)
		lose(2 * time.Second)
		if n := elector.elections.Load(); n != 1 {
			t.Errorf("%d elections after losses of 2 s, expected the first alone", n)
		}
		lose(4 * time.Second)
		if n := elector.elections.Load(); n != 2 {
			t.Errorf("%d elections after a loss of 4 s, expected a second", n)
		}
		cancel()
		<-over
	})
}
