package metatrain

import (
	"strings"
	"testing"
)

// A worker that leaves hands back what it does not list: another has it at once, nobody is blamed, what it keeps
// counts, and it gets nothing more.
func TestLedger_LeavingWorkerHandsBack(t *testing.T) {
	g := newRig(t, Config{ShardTasks: 1}, nil)
	g.submit()
	g.until(Train, 0)
	first := g.lease("goes")
	second := g.lease("goes", first.ID)
	kept, done := g.result("goes", first)
	g.now++
	hear[Ack](g, Beat{Worker: "goes", Leases: []uint64{first.ID}, Leaving: true}, nil)
	if l := g.lease("stays"); l.Work != second.Work {
		t.Errorf("another worker got %+v, expected what was handed back: %+v", l.Work.Node, second.Work.Node)
	}
	sh := &g.run().phase.shards[second.Work.Node.Index]
	if sh.tries != 0 || sh.spent != 0 || len(sh.failed) != 0 {
		t.Errorf("the shard handed back counts as failed: %+v", sh)
	}
	if _, l := g.poll("goes", first.ID); l != nil {
		t.Errorf("the worker that leaves is granted %+v", l)
	}
	if v := hear[ResultReply](g, kept, done).Verdict; v != Accepted {
		t.Errorf("what it kept is %s", v)
	}
	g.wait(32_000) // an overtaken hello's wait, and three beats
	if g.m.workers["goes"] != nil {
		t.Error("it is still known")
	}
}

// What a worker that leaves waits for is answered at once.
func TestLedger_LeavingWorkerIsAnswered(t *testing.T) {
	g := newRig(t, Config{}, nil)
	req, _ := g.poll("goes")
	hear[Ack](g, Beat{Worker: "goes", Leaving: true}, nil)
	if a := said[LeaseReply](g, req); len(a.Leases) > 0 {
		t.Errorf("granted %v", a.Leases)
	}
}

// A run that asks for a class is leased to it alone, and says whom it waits for.
func TestShare_ClassOfWorkers(t *testing.T) {
	g := newRig(t, Config{}, func(s *RunSpec) { s.Workers.Class = "gpu" })
	g.submit()
	waits := func(text string) {
		t.Helper()
		if w := g.m.status(g.run()).Waits; len(w) != 1 || !strings.Contains(w[0].Worker, text) {
			t.Errorf("waits %v, expected %q", w, text)
		}
	}
	waits(`a worker of class "gpu" (none is known`)
	if _, l := g.poll("plain"); l != nil {
		t.Errorf("a worker without a class got %+v", l)
	}
	waits(`plain is of class "", and this run asks for "gpu"`)
	req := g.ask(Hello{Worker: "fast", Class: "gpu", Protocol: Protocol, Contract: Contract, WaitMS: 1000, Memory: 1 << 30, Slots: 4, Release: "v1.2"}, nil)
	if g.granted(req) == nil {
		t.Error("a worker of the class got nothing")
	}
	w := g.m.workers["fast"].status(g.now)
	if want := (WorkerStatus{ID: "fast", Class: "gpu", Memory: 1 << 30, Slots: 4, Release: "v1.2", Leases: 1}); w != want {
		t.Errorf("status %+v, expected %+v", w, want)
	}
	plain := g.plan.spec
	plain.Workers = WorkersSpec{}
	if plain.Digest() != g.plan.spec.Digest() {
		t.Error("what a run wants of workers changes its digest")
	}
	plain.Workers.Class = "no such!"
	if err := plain.Validate(); err == nil || !strings.Contains(err.Error(), "workers.class") {
		t.Errorf("got %v", err)
	}
}

// A user has so many active runs, whoever leads; more are refused by name until one ends or pauses.
func TestShare_RunsPerUser(t *testing.T) {
	g := newRig(t, Config{MaxRunsPerUser: 1}, nil)
	submit := func(user, name string) string {
		t.Helper()
		spec := testSpec()
		spec.Name = name
		req := g.ask(Submit{User: user}, EncodeSpec(spec))
		g.settle()
		return said[Answer](g, req).Error
	}
	control := func(action string) string {
		t.Helper()
		req := g.control(action)
		g.settle()
		return said[Answer](g, req).Error
	}
	for _, step := range []struct{ user, name, refusal string }{
		{"ann", "base", ""}, {"ann", "base", ""}, {"bob", "other", ""}, {"ann", "third", `user "ann" has 1 active runs`},
	} {
		if e := submit(step.user, step.name); (e == "") != (step.refusal == "") || !strings.Contains(e, step.refusal) {
			t.Errorf("%s submits %s: %q", step.user, step.name, e)
		}
	}
	g.lead(Config{MaxRunsPerUser: 1}, 8)
	if e := submit("ann", "third"); !strings.Contains(e, g.plan.id) {
		t.Errorf("a new leader says %q", e)
	}
	if e := control("resume") + control("pause") + submit("ann", "third"); e != "" {
		t.Error(e)
	}
	if e := control("resume"); !strings.Contains(e, "most there may be") || g.state() != Paused {
		t.Errorf("resumed beyond the quota: %q", e)
	}
}
