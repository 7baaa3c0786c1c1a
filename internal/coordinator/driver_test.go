package coordinator_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// undisturbed trains the small run with nothing in its way.
func undisturbed(t *testing.T) string {
	t.Helper()
	r := newRig(t)
	r.coordinate("a", metatrain.Config{})
	r.work()
	return r.train(r.spec("plain"))
}

func TestG1_SameBitsWhateverHappensToTheCoordinator(t *testing.T) {
	want := undisturbed(t)
	// once lets a transaction on pointers fail one time.
	once := func(err error, happens bool) func(metatrain.Txn) (error, bool) {
		var seen atomic.Bool
		return func(txn metatrain.Txn) (error, bool) {
			if strings.HasSuffix(txn.Puts[0].Key, "/pointer") && !seen.Swap(true) {
				return err, happens
			}
			return nil, false
		}
	}
	for name, disturb := range map[string]func(r *rig){
		"a conflict":                       func(r *rig) { r.truth.setFail(once(metatrain.ErrConflict, false)) },
		"a transaction of unknown outcome": func(r *rig) { r.truth.setFail(once(metatrain.ErrAmbiguous, false)) },
		"one that happened":                func(r *rig) { r.truth.setFail(once(metatrain.ErrAmbiguous, true)) },
		"a lost leadership": func(r *rig) {
			r.coordinate("b", metatrain.Config{ShardTasks: 1})
			var seen atomic.Bool
			r.truth.setFail(func(txn metatrain.Txn) (error, bool) {
				if strings.HasSuffix(txn.Puts[0].Key, "/pointer") && !seen.Swap(true) {
					go r.truth.depose()
				}
				return nil, false
			})
		},
		"a store that fails and comes back": func(r *rig) {
			var seen atomic.Bool
			r.truth.setFail(func(txn metatrain.Txn) (error, bool) {
				if strings.HasSuffix(txn.Puts[0].Key, "/pointer") && !seen.Swap(true) {
					r.store.set(errDown)
					time.AfterFunc(300*time.Millisecond, func() { r.store.set(nil) })
				}
				return nil, false
			})
		},
		"lost broadcasts": func(r *rig) {
			r.bus.SetLose(func(subject string, _ []byte) bool { return strings.HasSuffix(subject, ".theta") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			disturb(r)
			r.coordinate("a", metatrain.Config{ShardTasks: 2})
			r.work()
			if found := r.train(r.spec("disturbed")); found != want {
				t.Errorf("found a model of digest %.12s, expected %.12s", found, want)
			}
		})
	}
}

// Where the machine asks for it, the leadership ends: a transaction under way may happen after the truth was read.
func TestG4_UnknownOutcomeEndsTheTerm(t *testing.T) {
	for _, c := range []struct {
		err     error
		resigns bool
	}{{metatrain.ErrAmbiguous, true}, {metatrain.ErrConflict, false}} {
		r := newRig(t)
		r.coordinate("a", metatrain.Config{})
		if _, _, err := r.client.Runs(r.ctx, ""); err != nil {
			t.Fatal(err)
		}
		before := r.term()
		r.truth.failOnce(c.err, false)
		if _, _, err := r.client.Submit(r.ctx, r.spec("x"), false); err != nil {
			t.Fatalf("%v: a submission is not asked again: %v", c.err, err)
		}
		if resigned := r.term() != before; resigned != c.resigns {
			t.Errorf("after %v: resigned %v, expected %v", c.err, resigned, c.resigns)
		}
	}
}

// term is the revision of who leads.
func (r *rig) term() int64 {
	r.truth.mu.Lock()
	defer r.truth.mu.Unlock()
	if r.truth.leader == nil {
		return 0
	}
	return r.truth.leader.rev
}

// What makes every machine start again does not make a storm of reads.
func TestReloadsAreSpacedOut(t *testing.T) {
	r := newRig(t)
	r.truth.setFail(func(metatrain.Txn) (error, bool) { return metatrain.ErrConflict, false })
	r.coordinate("a", metatrain.Config{})
	ctx, cancel := context.WithTimeout(r.ctx, 1500*time.Millisecond)
	defer cancel()
	for ctx.Err() == nil {
		_, _, _ = client.Ask[metatrain.Answer](ctx, r.client, "submit", metatrain.Submit{}, metatrain.EncodeSpec(r.spec("x")), time.Second)
	}
	r.truth.mu.Lock()
	defer r.truth.mu.Unlock()
	if r.truth.loads < 2 || r.truth.loads > 10 {
		t.Errorf("the state was read %d times in 1.5 s, expected a few", r.truth.loads)
	}
}

func TestG4_LostLeadershipStopsServing(t *testing.T) {
	r := newRig(t)
	stop := r.coordinate("a", metatrain.Config{})
	if _, _, err := r.client.Runs(r.ctx, ""); err != nil {
		t.Fatal(err)
	}
	subject := metatrain.Subject("warmstart", "lead", metatrain.Term{Revision: r.term()}.String(), "question")
	stop()
	if _, err := r.bus.Request(r.ctx, subject, metatrain.EncodeFrame(metatrain.Question{}, nil)); err == nil {
		t.Error("a coordinator that stopped still answers")
	}
	if r.term() != 0 {
		t.Error("a coordinator that stopped did not resign")
	}
}

// Other bytes under a key are the machine's to decide on: a spec left by a creation that came to nothing.
func TestOtherBytesUnderAKeyAreAConflict(t *testing.T) {
	r := newRig(t)
	spec := r.spec("left")
	if err := r.store.Put(r.ctx, metatrain.SpecObject(spec.RunID(0)), []byte("left behind")); err != nil {
		t.Fatal(err)
	}
	r.coordinate("a", metatrain.Config{})
	began := time.Now()
	run, created, err := r.client.Submit(r.ctx, spec, false)
	if err != nil || !created || run.Run != spec.RunID(1) {
		t.Errorf("found run %q created %v error %v, expected %s", run.Run, created, err, spec.RunID(1))
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v: a conflict is not to be retried", took)
	}
}

func TestStoreThatFailsIsNamed(t *testing.T) {
	r := newRig(t)
	r.coordinate("a", metatrain.Config{})
	if _, _, err := r.client.Runs(r.ctx, ""); err != nil {
		t.Fatal(err)
	}
	r.store.set(errDown)
	_, _, err := r.client.Submit(r.ctx, r.spec("x"), false)
	if err == nil || !strings.Contains(err.Error(), errDown.Error()) || errors.Is(err, client.ErrNoLeader) {
		t.Errorf("got %v, expected the store's error", err)
	}
}

// Who reads the log of a coordinator that was told to end sees that it did, and that it gave the leadership up.
func TestEndingIsLogged(t *testing.T) {
	r := newRig(t)
	var log lines
	r.log = slog.New(slog.NewTextHandler(&log, nil))
	leader := r.coordinate("leader", metatrain.Config{})
	if _, _, err := r.client.Runs(r.ctx, ""); err != nil {
		t.Fatal(err)
	}
	standby := r.coordinate("standby", metatrain.Config{})
	standby()
	if log.having("ended", "id=standby") != 1 || log.having("resigned") != 0 {
		t.Errorf("found %q, expected that the one that stood by ended, and nothing of leadership", log.text.String())
	}
	leader()
	for _, line := range []string{"ending", "resigned", "msg=ended"} {
		if log.having(line, "id=leader") != 1 {
			t.Errorf("found %q, expected a line with %q", log.text.String(), line)
		}
	}
}

// A fresh submission that is asked again, since nobody knows whether it was recorded, starts one run.
func TestG2_AFreshSubmissionAskedAgainIsOneRun(t *testing.T) {
	r := newRig(t)
	r.coordinate("a", metatrain.Config{})
	r.started()
	r.truth.failOnce(metatrain.ErrAmbiguous, true)
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
