package coordinator_test

import (
	"encoding/json"
	"io/fs"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// newSpoolRig is a rig whose coordinators have a spool in dir and write to log.
func newSpoolRig(t *testing.T, limit int64) (r *rig, log *lines, dir string) {
	t.Helper()
	r, log, dir = newRig(t), &lines{}, t.TempDir()
	r.log = slog.New(slog.NewTextHandler(log, nil))
	var err error
	if r.spool, err = coordinator.OpenSpool(r.ctx, dir, limit); err != nil {
		t.Fatal(err)
	}
	return r, log, dir
}

// states lists the steps of the states below a folder.
func states(t testing.TB, dir string) (steps []int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if _, step, _, err := checkpoint.ParseCheckpointKey(filepath.ToSlash(rel)); err == nil {
			steps = append(steps, step)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

// pointed is what is recorded of the state that is durable.
func (r *rig) pointed(run string) (record metatrain.PointerRecord) {
	r.truth.mu.Lock()
	defer r.truth.mu.Unlock()
	if kv, ok := r.truth.keys["runs/"+run+"/pointer"]; ok {
		if err := json.Unmarshal(kv.Value, &record); err != nil {
			r.t.Fatal(err)
		}
	}
	return record
}

// pointer is the step that is durable.
func (r *rig) pointer(run string) int64 { return r.pointed(run).Step }

// outage trains a run of many steps into an outage of the store, until the spool holds a state that is not durable.
func (r *rig) outage(spec metatrain.RunSpec, dir string) (run string, kept int64) {
	r.t.Helper()
	status, _, err := r.client.Submit(r.ctx, spec, false)
	if err != nil {
		r.t.Fatal(err)
	}
	for run = status.Run; r.pointer(run) < 10; time.Sleep(5 * time.Millisecond) {
	}
	r.store.set(errDown)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if s := states(r.t, dir); len(s) > 0 && s[len(s)-1] > r.pointer(run) {
			return run, s[len(s)-1]
		}
	}
	r.t.Fatalf("the spool holds %v, the pointer is at %d", states(r.t, dir), r.pointer(run))
	return "", 0
}

// settledSpool waits until the spool holds one state: a newer one is there for a moment before the older one is deleted,
// even after the coordinator's end.
func (r *rig) settledSpool(dir string) (steps []int64) {
	r.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if steps = states(r.t, dir); len(steps) == 1 {
			return steps
		}
	}
	r.t.Fatalf("the spool holds states of steps %v, expected one", steps)
	return nil
}

// A leader dies in an outage of the store: the next one with the same spool resumes from there, not from the pointer,
// which moves once the state is in the store; the bits are those of an undisturbed run, and nothing stays in the spool.
func TestSpool_OutlivesTheLeader(t *testing.T) {
	want := undisturbedLong(t)
	r, log, dir := newSpoolRig(t, 1<<20)
	stop := r.coordinate("a", metatrain.Config{})
	r.work()
	run, _ := r.outage(r.long("long"), dir)
	stop()
	s := r.settledSpool(dir)
	if at := r.pointer(run); at >= s[0] {
		t.Fatalf("the pointer is at %d though the store took nothing since; the spool holds %d", at, s[0])
	}
	r.coordinate("b", metatrain.Config{})
	time.Sleep(300 * time.Millisecond) // it finds the store down
	r.store.set(nil)
	if found := r.finish(run); found != want {
		t.Errorf("found %.12s, expected %.12s", found, want)
	}
	if log.having("put from the spool") != 1 {
		t.Error("it did not resume from the spool")
	}
	for deadline := time.Now().Add(10 * time.Second); len(states(t, dir)) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the spool still holds %v", states(t, dir))
		}
	}
}

// long is a run that is not over before the test says so.
func (r *rig) long(name string) metatrain.RunSpec {
	spec := r.spec(name)
	spec.Steps = 2000
	return spec
}

func undisturbedLong(t *testing.T) string {
	t.Helper()
	r := newRig(t)
	r.coordinate("a", metatrain.Config{})
	r.work()
	return r.train(r.long("plain"))
}

// What was torn or changed on the disk is refused by its digest, and the run resumes from what is durable. One of a run
// that is over goes.
func TestSpool_TornStateIsPassedOver(t *testing.T) {
	r, log, dir := newSpoolRig(t, 1<<20)
	spec := r.spec("torn")
	objects, err := checkpoint.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{
		checkpoint.CheckpointKey(spec.RunID(0), 0, 30, metatrain.Digest([]byte("whole"))),
		checkpoint.CheckpointKey("gone", 0, 30, metatrain.Digest([]byte("whole"))),
	} {
		if err := objects.Put(r.ctx, key, []byte("torn")); err != nil {
			t.Fatal(err)
		}
	}
	stop := r.coordinate("a", metatrain.Config{})
	if _, _, err := r.client.Submit(r.ctx, spec, false); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := objects.Put(r.ctx, checkpoint.CheckpointKey(spec.RunID(0), 0, 30, metatrain.Digest([]byte("whole"))), []byte("torn")); err != nil {
		t.Fatal(err)
	}
	r.coordinate("b", metatrain.Config{})
	r.work()
	if r.finish(spec.RunID(0)); log.having("passed over what the spool holds", "torn or corrupted") == 0 {
		t.Error("a torn state is not named")
	}
	if left, err := objects.List(r.ctx, "runs/gone/"); err != nil || len(left) > 0 {
		t.Errorf("found %v, %v of a run that nobody knows", left, err)
	}
}

// The limit holds; training goes on with what memory keeps.
func TestSpool_LimitIsNamed(t *testing.T) {
	r, log, dir := newSpoolRig(t, 100)
	r.coordinate("a", metatrain.Config{})
	r.work()
	run, _, err := r.client.Submit(r.ctx, r.long("big"), false)
	if err != nil {
		t.Fatal(err)
	}
	for r.pointer(run.Run) < 10 {
		time.Sleep(5 * time.Millisecond)
	}
	r.store.set(errDown)
	for deadline := time.Now().Add(time.Minute); log.having("not kept in the spool", "expected at most 100", "higher limit") == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the limit is not named")
		}
	}
	if found := states(t, dir); len(found) > 0 {
		t.Errorf("the spool holds %v beyond its limit", found)
	}
	r.store.set(nil)
	r.finish(run.Run)
}

// One who led long ago has an old state in its spool: what the pointer names is resumed from.
func TestSpool_OldStateIsPassedOver(t *testing.T) {
	r, log, dir := newSpoolRig(t, 1<<20)
	stop := r.coordinate("a", metatrain.Config{})
	r.work()
	run, _, err := r.client.Submit(r.ctx, r.long("old"), false)
	if err != nil {
		t.Fatal(err)
	}
	for r.pointer(run.Run) < 10 {
		time.Sleep(time.Millisecond)
	}
	was := r.pointed(run.Run)
	old, err := r.store.Store.Get(r.ctx, was.Key)
	if err != nil {
		t.Fatal(err)
	}
	for r.pointer(run.Run) <= was.Step {
		time.Sleep(time.Millisecond)
	}
	stop()
	objects, err := checkpoint.OpenDir(dir)
	if err == nil {
		err = objects.Put(r.ctx, was.Key, old)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.coordinate("b", metatrain.Config{})
	if r.finish(run.Run); log.having("put from the spool") > 0 {
		t.Error("it resumed from a state before the pointer")
	}
}
