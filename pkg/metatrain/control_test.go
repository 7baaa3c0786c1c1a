package metatrain

import (
	"fmt"
	"strings"
	"testing"
)

func TestSubmit_SameSpecIsOneRun(t *testing.T) {
	g := newRig(t, Config{}, nil)
	first := g.ask(Submit{}, EncodeSpec(g.plan.spec))
	second := g.ask(Submit{}, EncodeSpec(g.plan.spec)) // while the first is being created
	g.settle()
	third := g.ask(Submit{}, EncodeSpec(g.plan.spec))
	other := g.plan.spec
	other.Paths, other.Checkpoint.Every, other.StallSeconds = []string{"elsewhere"}, 9, 9
	fourth := g.ask(Submit{}, EncodeSpec(other))
	for _, req := range []uint64{first, second, third, fourth} {
		if a := said[Answer](g, req); a.Error != "" || a.Run != g.plan.id && a.Runs[0].Run != g.plan.id {
			t.Errorf("request %d: %+v", req, a)
		}
	}
	if len(g.m.runs) != 1 || g.objects[SpecObject(g.plan.id)] == nil {
		t.Errorf("%d runs, objects %v", len(g.m.runs), g.objects)
	}
}

func TestSubmit_FreshStartsAnotherGeneration(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	for n := 1; n < 3; n++ {
		req := g.ask(Submit{Fresh: true}, EncodeSpec(g.plan.spec))
		g.settle()
		if a := said[Answer](g, req); !a.Created || a.Run != g.plan.spec.RunID(n) {
			t.Errorf("generation %d: %+v", n, a)
		}
	}
	if a := hear[Answer](g, Submit{}, EncodeSpec(g.plan.spec)); a.Run != g.plan.spec.RunID(2) || a.Created {
		t.Errorf("submitted again: %+v, expected the newest generation", a)
	}
}

// A fresh start whose answer was lost is asked for again by the same token, and is one run.
func TestG2_FreshWithATokenStartsOnce(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	for n, token := range []string{"a", "a", "b"} {
		req := g.ask(Submit{Fresh: true, Token: token}, EncodeSpec(g.plan.spec))
		g.settle()
		want := g.plan.spec.RunID([]int{1, 1, 2}[n])
		if a := said[Answer](g, req); a.Run != want || a.Created != (n != 1) {
			t.Errorf("request %d: %+v, expected run %s", n, a, want)
		}
	}
}

// An object left by a creation that came to nothing must not stand in the way for ever.
func TestSubmit_GoesOnWhereSpecObjectHoldsOtherBytes(t *testing.T) {
	g := newRig(t, Config{}, nil)
	req := g.ask(Submit{}, EncodeSpec(g.plan.spec))
	g.step(Done{ID: g.puts[0].ID, Outcome: Conflict})
	g.puts = g.puts[1:]
	g.settle()
	if a := said[Answer](g, req); !a.Created || a.Run != g.plan.spec.RunID(1) {
		t.Errorf("%+v", a)
	}
}

func TestSubmit_RefusesAndSaysWhy(t *testing.T) {
	g := newRig(t, Config{}, nil)
	bad := g.plan.spec
	bad.MetaBatch = 0
	if a := hear[Answer](g, Submit{}, EncodeSpec(bad)); !strings.Contains(a.Error, "meta_batch") {
		t.Errorf("%+v", a)
	}
	req := g.ask(Submit{}, EncodeSpec(g.plan.spec))
	g.step(Done{ID: g.puts[0].ID, Outcome: Failing, Text: "disk full"})
	if a := said[Answer](g, req); !strings.Contains(a.Error, "disk full") || len(g.m.runs) != 0 {
		t.Errorf("%+v, %d runs", a, len(g.m.runs))
	}
}

// What a person asked for before a cancel was recorded must not undo it afterwards.
func TestControl_CancelledStaysCancelled(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	cancel, pause, resume := g.control("cancel"), g.control("pause"), g.control("resume")
	g.m.end(g.run(), Failed, "a machine's own reason")
	g.settle()
	if g.state() != Cancelled {
		t.Fatalf("the run is %s", g.state())
	}
	if e := said[Answer](g, cancel).Error; e != "" {
		t.Errorf("cancel: %s", e)
	}
	for _, req := range []uint64{pause, resume} {
		if e := said[Answer](g, req).Error; !strings.Contains(e, "is cancelled: cannot") {
			t.Errorf("answer %q", e)
		}
	}
	if e := hear[Answer](g, Control{Run: g.plan.id, Action: "cancel"}, nil).Error; e != "" {
		t.Errorf("the same request repeated: %s", e)
	}
	if _, l := g.poll("w"); l != nil {
		t.Errorf("work of a cancelled run: %+v", l)
	}
}

func TestControl_PauseAndResume(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.until(Train, 2)
	l := g.lease("w")
	res, payload := g.result("w", l)
	g.control("pause")
	g.settle()
	if r := g.run(); r.phase != nil || r.state.Theta != nil || r.status.val.Ended == 0 {
		t.Errorf("a paused run holds work or parameters: %+v", r.status.val)
	}
	if v := hear[ResultReply](g, res, payload).Verdict; v != Stale {
		t.Errorf("a result for a paused run is %s", v)
	}
	g.control("resume")
	g.settle()
	if r := g.run(); r.phase == nil || r.status.val.Ended != 0 || r.phase.work.Step != 2 {
		t.Errorf("resumed: %+v, %+v", r.status.val, r.phase)
	}
	for _, c := range []Control{{Run: "nobody", Action: "pause"}, {Run: g.plan.id, Action: "stop"}, {Run: g.plan.id, Action: "weight"}} {
		if a := hear[Answer](g, c, nil); a.Error == "" {
			t.Errorf("%+v: %+v", c, a)
		}
	}
}

// A load that is on its way when the run is paused and resumed again must not throw later work away.
func TestControl_OldLoadGoesNoFurther(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.until(Train, 1)
	g.lead(Config{}, 8)
	old := g.loads[0]
	g.loads = nil
	g.control("pause")
	g.commit()
	g.control("resume")
	g.commit()
	g.load()
	g.until(Train, 3)
	g.step(Done{ID: old.ID, Key: old.Pointer, Data: g.objects[old.Pointer]})
	if step := g.run().state.Step; step != 3 {
		t.Errorf("back at step %d", step)
	}
}

// A store that fails while one run is loaded must not stop the others, and is asked again.
func TestG5_FailedLoadIsTriedAgainAndEndsWithReason(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.until(Train, 2)
	g.lead(Config{}, 8)
	fail := func() {
		g.step(Done{ID: g.loads[0].ID, Outcome: Failing, Text: "store unreachable"})
		g.loads = g.loads[1:]
	}
	fail()
	if g.m.Stopped() || len(g.loads) != 0 {
		t.Fatal("one run's load concerns only that run, and is not repeated at once")
	}
	g.wait(1100)
	if len(g.loads) != 1 {
		t.Fatal("not tried again")
	}
	for g.state() == Active && g.now < 200_000 {
		if len(g.loads) > 0 {
			fail()
		}
		g.wait(1000)
		if len(g.commits) > 0 {
			g.commit()
		}
	}
	if s := g.run().status.val; s.State != Paused || !strings.Contains(s.Reason, "store unreachable") {
		t.Errorf("status %+v", s)
	}
	g.control("resume")
	g.settle()
	if r := g.run(); r.phase == nil || r.state.Step != 2 {
		t.Errorf("resumed at %+v", r.state)
	}
}

func TestG5_StoppingMachineAnswersWhoWaits(t *testing.T) {
	for _, c := range []struct {
		outcome Outcome
		resign  bool
	}{{Conflict, false}, {Ambiguous, true}, {Deposed, true}} {
		g := newRig(t, Config{}, nil)
		poll, _ := g.poll("w")
		submit := g.ask(Submit{}, EncodeSpec(g.plan.spec))
		g.put()
		g.step(Done{ID: g.commits[0].ID, Outcome: c.outcome, Text: "x"})
		if !g.m.Stopped() || g.others[len(g.others)-1].(Reload).Resign != c.resign {
			t.Errorf("outcome %d: %+v", c.outcome, g.others)
		}
		said[LeaseReply](g, poll)
		if a := said[Answer](g, submit); !a.Retry || a.Error == "" {
			t.Errorf("%+v", a)
		}
		if g.step(Tick{}); g.m.Step(Clock{Mono: 1 << 40}, Tick{}) != nil {
			t.Error("a stopped machine has effects")
		}
	}
}

// One run whose record cannot be read, say by an older release, stops no other, and nothing is written to it.
func TestG7_UnreadableRunIsLeftAlone(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.keys["runs/odd/spec"] = KV{"runs/odd/spec", []byte(`{"later":1}`), 3}
	g.keys["runs/odd/status"] = KV{"runs/odd/status", []byte(`{"state":"active"}`), 3}
	g.lead(Config{}, 9)
	g.settle()
	if g.run().phase == nil {
		t.Error("the readable run does not go on")
	}
	a := hear[Answer](g, Question{Run: "odd"}, nil)
	if len(a.Runs) != 1 || !strings.Contains(a.Runs[0].Note, "later") {
		t.Errorf("%+v", a)
	}
	if a := hear[Answer](g, Control{Run: "odd", Action: "cancel"}, nil); a.Error == "" || len(g.commits) > 0 {
		t.Errorf("%+v, commits %v", a, g.commits)
	}
}

// Two runs that finish together under one name get a number each, without a conflict on the way.
func TestG2_TwoPublicationsUnderOneName(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	first := g.plan
	second := *first
	second.spec.Seed++
	second.id = second.spec.RunID(0)
	g.plan = &second
	g.submit()
	for range 200 { // the rig carries transactions out by what they expect: a conflict would fail
		for _, p := range []*plan{first, &second} {
			if g.plan = p; g.run().phase != nil {
				_, l := g.poll("w")
				if l.Work.Run == first.id {
					g.plan = first
				} else {
					g.plan = &second
				}
				g.send("w", *l)
			}
		}
		for len(g.puts) > 0 {
			g.put()
		}
		if len(g.commits) > 1 {
			t.Fatalf("%d transactions at once", len(g.commits))
		}
		if len(g.commits) > 0 {
			g.commit()
		}
	}
	v := read[VersionsRecord](g.keys[versionsKey("base")].Value).Versions
	if len(v) != 2 || v[0].N != 1 || v[1].N != 2 || !v[0].Published || !v[1].Published {
		t.Errorf("%+v", v)
	}
}

// An answer fits a frame's header however many workers there are.
func TestG6_AnswerNamesWorkersWithinAFrame(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	for i := range 3 * maxWorkers {
		g.poll(fmt.Sprintf("worker-of-a-host-with-a-name-%d", i))
	}
	a := hear[Answer](g, Question{}, nil)
	if frame := EncodeFrame(a, nil); len(a.Workers) != maxWorkers || len(frame) > MaxHeader {
		t.Errorf("found %d workers in a header of %d bytes, expected %d in at most %d", len(a.Workers), len(frame), maxWorkers, MaxHeader)
	}
}

// A health check asks for the workers of one host: all of them, however many others there are, and nothing else.
func TestQuestion_OfAHostNamesItsWorkersAlone(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	for i := range 2 * maxWorkers {
		g.ask(Hello{Worker: fmt.Sprintf("w%05d", i), Host: fmt.Sprint("h", i/2), Protocol: Protocol, Contract: Contract, WaitMS: 1000}, nil)
	}
	a := hear[Answer](g, Question{Host: fmt.Sprint("h", maxWorkers-1)}, nil)
	if len(a.Workers) != 2 || a.Workers[0].Host != fmt.Sprint("h", maxWorkers-1) || len(a.Runs) != 0 {
		t.Errorf("found %d workers, %d runs, expected the two of the last host", len(a.Workers), len(a.Runs))
	}
	if n := len(mustJSON(a)); n > 1000 {
		t.Errorf("an answer of %d bytes", n)
	}
	if a := hear[Answer](g, Question{Host: "nowhere"}, nil); len(a.Workers) != 0 || a.Error != "" {
		t.Errorf("%+v", a)
	}
}
