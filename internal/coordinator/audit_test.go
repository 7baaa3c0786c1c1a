package coordinator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// process runs a worker that passes for a process of its own, until the test's end or it gets no work any more; ended
// tells why.
func (r *rig) process(name string, kinds worker.Kinds) (ended <-chan error) {
	ctx, cancel := context.WithCancel(r.ctx)
	done, told := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(done)
		told <- worker.RunSlots(ctx, worker.Config{ID: name, Process: name, BeatEvery: 50 * time.Millisecond}, 1, r.client, kinds)
	}()
	r.t.Cleanup(func() { cancel(); <-done })
	return told
}

// altered is a family that is off by a little from some step on.
type altered struct {
	taskshards.Family
	from uint64
}

func (a altered) Sample(split taskshards.Split, seed, step, task uint64, into *taskshards.Task) error {
	err := a.Family.Sample(split, seed, step, task, into)
	if err == nil && step >= a.from {
		into.Query.Y[0] *= 1.01
	}
	return err
}

// lying are kinds whose sinusoid is altered.
func lying(from uint64) worker.Kinds {
	kinds := worker.BuiltinKinds()
	kind := kinds.Families["sinusoid"]
	sound := kind.Build
	kind.Build = func(options json.RawMessage, data *taskshards.DataSet) (taskshards.Family, error) {
		f, err := sound(options, data)
		return altered{f, from}, err
	}
	kinds.Families["sinusoid"] = kind
	return kinds
}

// A worker that lies from some step on is found out, across a change of leader, and the model is that of an honest run.
func TestG1_SameBitsBesideALiar(t *testing.T) {
	want := undisturbed(t)
	r := newRig(t)
	stop := r.coordinate("a", metatrain.Config{ShardTasks: 1})
	liar := r.process("liar", lying(12))
	spec := r.spec("lied-to")
	spec.Audit, spec.Steps = 0.3, r.spec("plain").Steps
	run, _, err := r.client.Submit(r.ctx, spec, false)
	if err != nil {
		t.Fatal(err)
	}
	becomes := func(what string, ok func(metatrain.RunStatus) bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			runs, _, err := r.client.Runs(r.ctx, run.Run)
			if err != nil {
				t.Fatal(err)
			}
			if ok(runs[0]) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: not so after a minute: %+v", what, runs[0])
			}
		}
	}
	becomes("the run rests on the liar", func(s metatrain.RunStatus) bool { return s.Step > 0 })
	for i := range 2 {
		r.process(fmt.Sprint("sound", i), worker.BuiltinKinds())
	}
	select {
	case err := <-liar:
		if err == nil || errors.Is(err, context.Canceled) {
			t.Fatalf("the liar ended with %v, expected word of its quarantine", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the liar is still at work")
	}
	// A leader that ends before it has the run go back leaves that to the next one, who may find no state to go back from.
	becomes("the run goes back", func(s metatrain.RunStatus) bool { return s.Audits != nil && s.Audits.Rewinds > 0 })
	r.coordinate("b", metatrain.Config{})
	stop()
	if found := r.finish(run.Run); found != want {
		t.Errorf("found a model of digest %.12s, expected %.12s", found, want)
	}
	runs, _, err := r.client.Runs(r.ctx, run.Run)
	if err != nil {
		t.Fatal(err)
	}
	if a := runs[0].Audits; a == nil || a.Rewinds == 0 || len(a.Quarantined) != 1 {
		t.Errorf("found audits %+v, expected a rewind and one worker in quarantine", a)
	}
}
