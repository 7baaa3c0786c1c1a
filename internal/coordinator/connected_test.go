package coordinator_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
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
