package coordinator_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/internal/membus"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
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
				objects, err := checkpoint.OpenDir(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				bus := membus.New()
				defer bus.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				coordinator.Run(ctx, coordinator.Config{ID: "a"}, elector, bus, objects)
				if n := elector.elections.Load(); n < 9 || n > 12 {
					t.Errorf("%d elections in 10 s, expected about ten", n)
				}
			})
		})
	}
}

// A fresh submission that is asked again, since nobody knows whether it was recorded, starts one run.
func TestG2_AFreshSubmissionAskedAgainIsOneRun(t *testing.T) {
	r := newRig(t)
	r.coordinate("a", metatrain.Config{})
	r.started()
	var seen atomic.Bool
	r.truth.setFail(func(metatrain.Txn) (error, bool) {
		if !seen.Swap(true) {
			return metatrain.ErrAmbiguous, true
		}
		return nil, false
	})
	if _, _, err := r.client.Submit(r.ctx, r.spec("x"), true); err != nil {
		t.Fatal(err)
	}
	if runs, _, err := r.client.Runs(r.ctx, ""); err != nil || len(runs) != 1 {
		t.Errorf("found %d runs, %v, expected 1", len(runs), err)
	}
}

// A store that gives no addresses has no part in how parameters travel, whatever the operator says.
func TestAStoreWithoutAddressesSharesNothing(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		cfg := coordinator.Config{ID: "a", Machine: metatrain.Config{ShareBytes: 1}}
		coordinator.Run(ctx, cfg, r.truth, r.bus, struct{ checkpoint.Store }{r.store.Store})
	}()
	t.Cleanup(func() { cancel(); <-done })
	r.work()
	r.train(r.spec("plain"))
}

// One who led long ago has an old state in its spool: what the pointer names is resumed from.
func TestSpool_OldStateIsPassedOver(t *testing.T) {
	r := newRig(t)
	var log lines
	r.log = slog.New(slog.NewTextHandler(&log, nil))
	dir := t.TempDir()
	r.spools(dir, 1<<20)
	stop := r.coordinate("a", metatrain.Config{})
	r.work()
	run, _, err := r.client.Submit(r.ctx, r.long("old"), false)
	if err != nil {
		t.Fatal(err)
	}
	for r.pointer(run.Run) < 10 {
		time.Sleep(time.Millisecond)
	}
	key := r.pointerKey(run.Run)
	old, err := r.store.Store.Get(r.ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	_, step, _, _ := checkpoint.ParseCheckpointKey(key)
	for r.pointer(run.Run) <= step {
		time.Sleep(time.Millisecond)
	}
	stop()
	objects, err := checkpoint.OpenDir(dir)
	if err == nil {
		err = objects.Put(r.ctx, key, old)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.coordinate("b", metatrain.Config{})
	if r.finish(run.Run); log.having("put from the spool") > 0 {
		t.Error("it resumed from a state before the pointer")
	}
}

// pointerKey is the key of the state that is durable.
func (r *rig) pointerKey(run string) string {
	r.truth.mu.Lock()
	defer r.truth.mu.Unlock()
	var record metatrain.PointerRecord
	if err := json.Unmarshal(r.truth.keys["runs/"+run+"/pointer"].Value, &record); err != nil {
		r.t.Fatal(err)
	}
	return record.Key
}

// Short losses of the bus one after another are not a long one.
func TestShortLossesOfTheBusEndNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		objects, err := checkpoint.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		bus := &cutBus{Bus: membus.New()}
		defer bus.Close()
		elector := &brief{}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			coordinator.Run(ctx, coordinator.Config{ID: "a", BusPatience: 3 * time.Second}, elector, bus, objects)
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
