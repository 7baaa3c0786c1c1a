package metatrain

import (
	"slices"
	"strings"
	"testing"
)

func TestDecision_TwoWorkersFailAlikeAndTaskIsSkipped(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	for _, who := range []string{"a", "b"} {
		l := g.lease(who)
		if l.Work.Node.Index != 0 {
			t.Fatalf("%s got shard %d", who, l.Work.Node.Index)
		}
		g.fail(who, l, 0, "same")
	}
	if g.run().phase.work.Decisions != "" {
		t.Fatal("the decision counts before it is recorded")
	}
	g.settle()
	p := g.run().phase
	if p.work.Decisions == "" || !slices.Equal(p.skip, []int{0}) {
		t.Fatalf("skip %v under decisions %q", p.skip, p.work.Decisions)
	}
	g.finish()
	models, _ := g.plan.serial(read[DecisionsRecord](g.keys[decisionsKey(g.plan.id)].Value))
	if got := g.objects["models/base/1/model.safetensors"]; string(got) != string(models[0]) {
		t.Error("the model differs from a serial run that skips the task")
	}
}

func TestDecision_OneWorkerOrTwoErrorsAreNotEnough(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 1 })
	l := g.lease("a")
	g.fail("a", l, 0, "one")
	g.fail("a", l, 0, "one") // repeated on the way
	if _, again := g.poll("a"); again != nil {
		t.Fatal("leased again to the worker that failed")
	}
	g.fail("b", g.lease("b"), 0, "two")
	if len(g.commits) > 0 {
		t.Fatalf("decided on %+v", g.commits)
	}
	g.fail("a.2", g.lease("a.2"), 0, "one") // its restarted process
	if len(g.commits) != 1 {
		t.Error("two lives that fail alike are enough")
	}
}

func TestDecision_StopEndsTheRunWithItsReason(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.OnBadTask = "stop" })
	for _, who := range []string{"a", "b"} {
		g.fail(who, g.lease(who), 0, "same")
	}
	g.settle()
	s := g.run().status.val
	if s.State != Failed || !strings.Contains(s.Reason, "train of step 0, task 0: bad same") || !strings.Contains(s.Reason, "warmstart reproduce "+g.plan.id) {
		t.Errorf("%+v", s)
	}
	found := 0
	for key, data := range g.objects {
		if !strings.HasPrefix(key, FaultFolder(g.plan.id)) {
			continue
		}
		found++
		f, err := DecodeFault(data)
		if err != nil || f.Task != 0 || f.Text != "bad same" || f.Spec.Digest() != g.plan.spec.Digest() || f.Lease.Tasks != g.plan.spec.MetaBatch {
			t.Errorf("%s: %+v, %v", key, f, err)
		}
		if Digest(EncodeFloats(f.Theta)) != f.Lease.Work.Theta {
			t.Errorf("%s: theta is not what the work names", key)
		}
	}
	if found != 1 {
		t.Errorf("%d objects to reproduce it from", found)
	}
}

// A store that does not take the inputs keeps no run from stopping.
func TestDecision_StopsThoughTheStoreFails(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.OnBadTask = "stop" })
	for _, who := range []string{"a", "b"} {
		g.fail(who, g.lease(who), 0, "same")
	}
	if g.state() != Active || len(g.puts) != 1 {
		t.Fatalf("run is %s, %d puts", g.state(), len(g.puts))
	}
	g.failPut("the disk is full")
	g.settle()
	if s := g.run().status.val; s.State != Failed || strings.Contains(s.Reason, "reproduce") {
		t.Errorf("%+v", s)
	}
}

func FuzzDecodeFault(f *testing.F) {
	_, data, err := Fault{Spec: testSpec(), Task: 3, Text: "bad", Theta: []float32{1, 2}}.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		fault, err := DecodeFault(data)
		if err != nil {
			return
		}
		if _, again, err := fault.Encode(); err == nil {
			if _, err := DecodeFault(again); err != nil {
				t.Errorf("decoded once, then %v", err)
			}
		}
	})
}

// A task that is none of the shard's cannot be left out: to record it would decide for ever without effect.
func TestDecision_OfNoTaskOfTheShardEndsTheRun(t *testing.T) {
	for _, task := range []int{-1, 1, 99} {
		g := trainRig(t, Config{}, nil)
		for _, who := range []string{"a", "b"} {
			g.fail(who, g.lease(who), task, "same")
		}
		g.settle()
		if g.state() != Failed || g.keys[decisionsKey(g.plan.id)].Value != nil {
			t.Errorf("task %d: run is %s", task, g.state())
		}
	}
}

// While the record is being written, a third worker's good result for the same step must not count: the step would be
// done with the task, and the record say without.
func TestG1_NoResultCountsWhileDecisionIsRecorded(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 2 })
	a := g.lease("a")
	c := g.lease("c")
	g.fail("a", a, 0, "same")
	b := g.lease("b")
	g.fail("b", b, 0, "same")
	good, payload := g.result("d", b)
	if r := hear[ResultReply](g, good, payload); r.Verdict != Hold {
		t.Errorf("shard 0: %s", r.Verdict)
	}
	if v := g.send("c", c); v != Hold {
		t.Errorf("shard 1: %s", v)
	}
	if _, l := g.poll("e"); l != nil {
		t.Errorf("leased meanwhile: %+v", l)
	}
	g.settle()
	if r := hear[ResultReply](g, good, payload); r.Verdict != Stale {
		t.Errorf("afterwards: %s", r.Verdict)
	}
	if s := g.run().state.Step; s != 0 {
		t.Errorf("at step %d", s)
	}
}

func TestDecision_TooManyEndTheRun(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	g.run().decisions.val.Skips = make([]Skip, maxSkips)
	for _, who := range []string{"a", "b"} {
		g.fail(who, g.lease(who), 0, "same")
	}
	g.settle()
	if s := g.run().status.val; s.State != Failed || !strings.Contains(s.Reason, "1000 tasks are skipped") {
		t.Errorf("%+v", s)
	}
}

func TestDecision_EveryTaskSkippedEndsTheRun(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 1 })
	for _, who := range []string{"a", "b"} {
		g.fail(who, g.lease(who), 0, "same")
	}
	g.settle()
	g.send("c", g.lease("c"))
	g.settle()
	if s := g.run().status.val; !strings.Contains(s.Reason, "every task is skipped") {
		t.Errorf("%+v", s)
	}
}

// A checkpoint made by a leader that went past a step before another recorded a decision about it is no start.
func TestG1_CheckpointOfOtherDecisionsIsNotResumed(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.until(Train, 3)
	key := decisionsKey(g.plan.id)
	g.keys[key] = KV{key, mustJSON(DecisionsRecord{Skips: []Skip{{Step: 1, Kind: Train, Task: 2}}}), 99}
	g.lead(Config{}, 8)
	g.load()
	if r := g.run(); r.state.Theta != nil || !strings.Contains(r.note, "other decisions") {
		t.Errorf("resumed at step %d: %q", r.state.Step, r.note)
	}
	g.finish()
	models, _ := g.plan.serial(read[DecisionsRecord](g.keys[key].Value))
	if string(g.objects["models/base/1/model.safetensors"]) != string(models[0]) {
		t.Error("the model differs from a serial run under the recorded decisions")
	}
}

// A decision about a later step, recorded before the run went back, changes no earlier checkpoint.
func TestG1_CheckpointRestsOnDecisionsBehindItOnly(t *testing.T) {
	later := DecisionsRecord{Skips: []Skip{{Step: 3, Kind: Train}, {Step: 2, Kind: Validate}, {Track: 1, Kind: Train}, {Step: 1, Kind: Train, Task: 4}}}
	for _, c := range []struct {
		state State
		want  int
	}{{State{Step: 1}, 0}, {State{Step: 2}, 1}, {State{Step: 2, Validated: true}, 2}, {State{Step: 3}, 2}, {State{Step: 4}, 3}, {State{Track: 1, Step: 0}, 3}, {State{Track: 1, Step: 1}, 4}} {
		if got := later.before(&c.state); len(got.Skips) != c.want {
			t.Errorf("%+v rests on %v", c.state, got.Skips)
		}
	}
}

// A shard that every living worker failed on is named, with the reason, in status and in the pause that ends the wait.
func TestG5_ShardNobodyMayDoIsNamed(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 1 })
	l := g.lease("a")
	res, payload := g.result("a", l)
	res.SHA256 = Digest(nil)
	if r := hear[ResultReply](g, res, payload); r.Verdict != Refused {
		t.Fatalf("%+v", r)
	}
	g.poll("a")
	waits := hear[Answer](g, Question{}, nil).Runs[0].Waits
	if len(waits) != 1 || !strings.Contains(waits[0].Worker, "another worker (1 failed; the last: refused: payload") {
		t.Errorf("%+v", waits)
	}
	for g.now < 90_000 && g.state() == Active {
		g.poll("a")
		g.wait(1000)
		g.settle()
	}
	if s := g.run().status.val; s.State != Paused || !strings.Contains(s.Reason, "another worker") {
		t.Errorf("%+v", s)
	}
}
