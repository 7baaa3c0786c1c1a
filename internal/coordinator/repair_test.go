package coordinator_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// tear trains a run to its end, tears its first checkpoint and forgets all but the checkpoints, as a new cluster on an old
// store does: whoever leads next puts the first one for certain, where the last is overtaken by the run's end. A worker
// goes on.
func (r *rig) tear(name, want string) (spec metatrain.RunSpec, torn string) {
	r.t.Helper()
	spec = r.spec(name)
	spec.Checkpoint.Keep = 20 // all
	stop := r.coordinate("a", metatrain.Config{})
	r.work()
	if found := r.train(spec); found != want {
		r.t.Fatalf("found %.12s, expected %.12s", found, want)
	}
	stop()
	kept := r.checkpoints(spec)
	torn = kept[0].Key
	path := filepath.Join(r.dir, filepath.FromSlash(torn))
	if err := os.Chmod(path, 0o644); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("torn"), 0o644); err != nil {
		r.t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(r.dir, "models")); err != nil {
		r.t.Fatal(err)
	}
	r.truth.mu.Lock()
	clear(r.truth.keys)
	r.truth.mu.Unlock()
	return spec, torn
}

func (r *rig) checkpoints(spec metatrain.RunSpec) []checkpoint.Object {
	r.t.Helper()
	kept, err := r.store.List(r.ctx, checkpoint.CheckpointFolder(spec.RunID(0)))
	if err != nil || len(kept) == 0 {
		r.t.Fatalf("found checkpoints %v, error %v", kept, err)
	}
	return kept
}

// mustBeWhole holds what is under a checkpoint's key to its own bytes, before long: a run's end waits for no save.
func (r *rig) mustBeWhole(key, when string) {
	r.t.Helper()
	var err error
	for range 250 {
		var data []byte
		if data, err = r.store.Get(r.ctx, key); err == nil {
			if err = checkpoint.CheckRewrite(key, data); err == nil {
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.t.Errorf("%s: %v", when, err)
}

func TestG3_CorruptCheckpointIsReplaced(t *testing.T) {
	want := undisturbed(t)
	r := newRig(t)
	spec, _ := r.tear("corrupt", want)
	r.coordinate("b", metatrain.Config{})
	if found := r.train(spec); found != want {
		t.Errorf("found %.12s, expected %.12s", found, want)
	}
	for _, o := range r.checkpoints(spec) {
		r.mustBeWhole(o.Key, "at the end")
	}
}

// lateStore holds what changes one object back until told to let it happen, however long its caller is gone by then: a
// request on its way, or a process that was stopped before it sent one.
type lateStore struct {
	*store
	key                   string
	held, arrive, arrived chan struct{}
}

func (s *lateStore) late(ctx context.Context, key string, change func(ctx context.Context) error) error {
	if key != s.key {
		return change(ctx)
	}
	close(s.held)
	go func() {
		defer close(s.arrived)
		<-s.arrive
		_ = change(context.WithoutCancel(ctx))
	}()
	<-ctx.Done()
	return ctx.Err()
}

func (s *lateStore) Rewrite(ctx context.Context, key string, data []byte) error {
	return s.late(ctx, key, func(ctx context.Context) error { return s.store.Rewrite(ctx, key, data) })
}

func (s *lateStore) Delete(ctx context.Context, key string) error {
	return s.late(ctx, key, func(ctx context.Context) error { return s.store.Delete(ctx, key) })
}

// A leader is stopped between reading a broken checkpoint and repairing it; the next one repairs it and names it as
// durable; then what the first was about to do happens.
func TestG3_LateRepairDoesNoHarm(t *testing.T) {
	want := undisturbed(t)
	r := newRig(t)
	spec, torn := r.tear("late", want)
	late := &lateStore{r.store, torn, make(chan struct{}), make(chan struct{}), make(chan struct{})}
	ctx, stop := context.WithCancel(r.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		coordinator.Run(ctx, coordinator.Config{ID: "late", StorePatience: time.Minute, Log: r.log}, r.truth, r.bus, late)
	}()
	if _, _, err := r.client.Submit(r.ctx, spec, false); err != nil {
		t.Fatal(err)
	}
	<-late.held
	stop()
	<-ended
	r.coordinate("b", metatrain.Config{})
	if found := r.train(spec); found != want {
		t.Errorf("found %.12s, expected %.12s", found, want)
	}
	r.mustBeWhole(torn, "after the next leader's repair")
	close(late.arrive)
	<-late.arrived
	r.mustBeWhole(torn, "after the first leader's, which came late")
}
