package coordinator_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/internal/membus"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// A leadership that ended is over though nothing is asked of the leader: it campaigns anew.
func TestG4_TheEndOfALeadershipIsHeeded(t *testing.T) {
	r := newRig(t)
	r.coordinate("a", metatrain.Config{})
	r.started()
	before := r.term()
	r.truth.depose()
	for deadline := time.Now().Add(10 * time.Second); r.term() <= before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("term %d of the leader, %d before its end", r.term(), before)
		}
	}
}

// brief is an election that this process wins at once, and a leadership that comes to nothing.
type brief struct {
	campaign, load error
	life           time.Duration // 0: until it is resigned
	elections      atomic.Int64
}

func (b *brief) Campaign(context.Context) (coordinator.Leadership, error) {
	b.elections.Add(1)
	done := make(chan struct{})
	if b.life > 0 {
		time.AfterFunc(b.life, func() { close(done) })
	}
	return briefTerm{b, done}, b.campaign
}

type briefTerm struct {
	*brief
	done chan struct{}
}

func (b briefTerm) Revision() int64                                      { return b.elections.Load() }
func (b briefTerm) Done() <-chan struct{}                                { return b.done }
func (b briefTerm) Load(context.Context) ([]metatrain.KV, error)         { return nil, b.load }
func (b briefTerm) Commit(context.Context, metatrain.Txn) (int64, error) { return 0, errDown }
func (b briefTerm) Resign(context.Context) error                         { return nil }

// What keeps a coordinator from leading, or ends each leadership soon, may last: elections are spaced out.
func TestElectionsAreSpacedOut(t *testing.T) {
	for name, elector := range map[string]*brief{
		"elections fail":         {campaign: errDown},
		"the state is not there": {load: errDown},
		"it ends soon":           {life: 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bus := membus.New()
				defer bus.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				coordinator.Run(ctx, coordinator.Config{ID: "a"}, elector, bus, openDir(t))
				if n := elector.elections.Load(); n < 9 || n > 12 {
					t.Errorf("%d elections in 10 s, expected about ten", n)
				}
			})
		})
	}
}
