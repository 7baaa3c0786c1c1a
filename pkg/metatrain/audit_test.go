package metatrain

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// audited starts a run all of whose results are computed twice, unless alter says otherwise, by shards of one task.
func audited(t *testing.T, cfg Config, alter func(s *RunSpec)) *rig {
	t.Helper()
	cfg.AuditSecret, cfg.ShardTasks = []byte("secret"), 1
	g := newRig(t, cfg, func(s *RunSpec) {
		s.Audit = 1
		if alter != nil {
			alter(s)
		}
	})
	g.submit()
	return g
}

// rarely audits next to nothing.
func rarely(s *RunSpec) { s.Audit = 0x1p-60 }

// wrong computes a lease and answers something else in good form.
func (g *rig) wrong(worker string, l Lease) Verdict {
	g.t.Helper()
	res, payload := g.result(worker, l)
	payload = slices.Clone(payload)
	if len(payload) > 0 {
		payload[0] ^= byte(len(worker))
	} else {
		res.Metrics[0]++
	}
	res.SHA256 = Digest(payload)
	return hear[ResultReply](g, res, payload).Verdict
}

// result of an audit needs the parameters that it is of; rig.result takes those of the work at hand.
func (g *rig) recompute(worker string, l Lease) (Result, []byte) {
	g.t.Helper()
	theta := g.m.runs[l.Work.Run].parameters(l.Work.Theta)
	res, payload, _ := g.plan.compute(l, "sound", theta, nil)
	res.Worker, res.Lease, res.Work, res.Total, res.SHA256 = worker, l.ID, l.Work, len(payload), Digest(payload)
	return res, payload
}

// right sends what a lease comes to, whether it is an audit's or not.
func (g *rig) right(worker string, l Lease) {
	g.t.Helper()
	res, payload := g.recompute(worker, l)
	if v := hear[ResultReply](g, res, payload).Verdict; v != Accepted {
		g.t.Fatalf("verdict %s on %+v of %s", v, l.Work, worker)
	}
}

// together has workers work until stop says so, or nobody gets anything.
func (g *rig) together(stop func() bool, workers ...string) {
	g.t.Helper()
	for idle := 0; idle < len(workers); {
		idle = 0
		for _, w := range workers {
			if g.settle(); stop() {
				return
			}
			if l := g.offered(w); l != nil {
				g.right(w, *l)
			} else {
				idle++
			}
		}
	}
}

// offered is what a worker that asks for a moment gets.
func (g *rig) offered(worker string) *Lease {
	g.t.Helper()
	req := g.ask(Hello{Worker: worker, Protocol: Protocol, Contract: Contract}, nil)
	if g.granted(req) == nil {
		g.step(Tick{}) // its wait ends
	}
	return g.granted(req)
}

func (g *rig) audits() Audits {
	g.t.Helper()
	return *hear[Answer](g, Question{Run: g.plan.id}, nil).Runs[0].Audits
}

func (g *rig) decisions() DecisionsRecord {
	return read[DecisionsRecord](g.keys[decisionsKey(g.plan.id)].Value)
}

// at says that the run is at this work.
func (g *rig) at(kind Kind, step int64) func() bool {
	return func() bool { p := g.run().phase; return p != nil && p.work.Kind == kind && p.work.Step == step }
}

func (g *rig) over() bool { return g.state() == Finished }

// A result is computed twice, by unlike processes, and the run ends as it would without.
func TestAuditsAskAnotherProcess(t *testing.T) {
	g := audited(t, Config{}, nil)
	l := g.lease("a")
	g.right("a", l)
	if again := g.offered("a"); again != nil && again.Work == l.Work {
		t.Fatal("a worker is asked to check on itself")
	}
	hello := Hello{Worker: "a2", Process: "a", Protocol: Protocol, Contract: Contract}
	req := g.ask(hello, nil)
	g.step(Tick{})
	if other := g.granted(req); other != nil && other.Work == l.Work {
		t.Fatal("a process is asked to check on itself")
	}
	b := g.lease("b")
	if b.Work != l.Work {
		t.Fatalf("b gets %+v, expected the audit of %+v", b.Work, l.Work)
	}
	if found := g.audits(); found.Outstanding != 1 || found.Done != 0 {
		t.Errorf("found %+v, expected one audit outstanding", found)
	}
	g.right("b", b)
	if found := g.audits(); found.Outstanding != 0 || found.Done != 1 || found.Quarantined != nil {
		t.Errorf("found %+v, expected one audit done", found)
	}
	g.together(g.over, "a", "b")
	if !g.over() {
		t.Fatalf("the run is %s: %+v", g.state(), g.run().status.val)
	}
	plain := newRig(t, Config{}, nil)
	plain.submit()
	plain.finish()
	if string(g.objects["models/base/1/model.safetensors"]) != string(plain.objects["models/base/1/model.safetensors"]) {
		t.Error("audits change the model")
	}
}

// A third process says who is wrong; that one is in quarantine, by name and for all its lives, and the run goes on from
// before it first contributed.
func TestG1_LiarIsQuarantinedAndWhatItGaveUndone(t *testing.T) {
	g := audited(t, Config{}, rarely)
	g.together(g.at(Train, 2), "a", "b")
	// From here on the liar contributes, wrongly, where no audit is; of its last results one is audited.
	lies := 0
	for !g.at(Train, 3)() {
		g.settle()
		l := g.lease("liar")
		if v := g.wrong("liar", l); v != Accepted {
			t.Fatalf("verdict %s", v)
		}
		lies++
	}
	l := g.lease("liar")
	held := g.lease("liar", l.ID)
	g.run().spec.Audit = 1
	if g.wrong("liar", l) != Accepted || lies == 0 {
		t.Fatal("the liar did not contribute")
	}
	rarely(&g.run().spec)
	g.right("a", g.lease("a"))
	if found := g.audits(); found.Disputed != 1 {
		t.Fatalf("found %+v, expected a dispute", found)
	}
	g.right("b", g.lease("b"))
	g.commit() // the quarantine
	if g.m.workers["liar"] != nil || g.m.leases[held.ID] != nil {
		t.Error("it keeps what it holds")
	}
	if v := g.wrong("liar", held); v != Refused {
		t.Errorf("its next result: %s", v)
	}
	g.settle()
	if d := g.decisions(); len(d.Rewinds) != 1 || d.Rewinds[0].Before != 2 || !slices.Equal(d.Rewinds[0].Processes, []string{"liar"}) {
		t.Errorf("found rewinds %+v, expected one, to step 2", d.Rewinds)
	}
	if s := g.run().state.Step; s != 2 {
		t.Errorf("the run goes on from step %d, expected 2", s)
	}
	r := said[LeaseReply](g, g.ask(Hello{Worker: "liar", Protocol: Protocol, Contract: Contract}, nil))
	if !strings.Contains(r.Refused, "quarantine") || !strings.Contains(r.Refused, "runs lift liar") {
		t.Errorf("it is told %q", r.Refused)
	}
	a := hear[Answer](g, Question{}, nil)
	if q := a.Quarantine[0]; q.Worker != "liar" || q.Process != "liar" || q.Reason == "" || q.Refused != 1 || a.Runs[0].Audits.Rewinds != 1 || !slices.Equal(a.Runs[0].Audits.Quarantined, []string{"liar"}) {
		t.Errorf("people see %+v and %+v", q, a.Runs[0].Audits)
	}
	g.together(g.over, "a", "b")
	models, _ := g.plan.serial(g.decisions())
	if !g.over() || string(g.objects["models/base/1/model.safetensors"]) != string(models[0]) {
		t.Errorf("the run is %s, its model not that of an honest run", g.state())
	}
}

// While two disagree nothing else is granted, and who is missing is named; with a third the run goes on by itself.
func TestG5_DisputeWaitsForAThird(t *testing.T) {
	g := audited(t, Config{}, func(s *RunSpec) { rarely(s); s.StallSeconds = 20 })
	g.together(g.at(Train, 1), "a", "liar")
	g.run().spec.Audit = 1
	g.wrong("liar", g.lease("liar"))
	g.right("a", g.lease("a"))
	for _, w := range []string{"a", "liar"} {
		if l := g.offered(w); l != nil {
			t.Errorf("%s gets %+v while a dispute is open", w, l.Work)
		}
	}
	waits := fmt.Sprint(hear[Answer](g, Question{Run: g.plan.id}, nil).Runs[0].Waits)
	if !strings.Contains(waits, "a third process") || !strings.Contains(waits, "liar and a") {
		t.Errorf("it waits for %s", waits)
	}
	g.wait(21_000)
	g.settle()
	if s := g.run().status.val; s.State != Paused || !strings.Contains(s.Reason, "a third process") {
		t.Errorf("after its stall time the run is %s: %s", s.State, s.Reason)
	}
	g.control("resume")
	g.settle()
	g.together(g.over, "a", "b", "c")
	if !g.over() {
		t.Errorf("resumed, it is %s", g.state())
	}
}

// What rests on an audit that is not settled is not made durable, and not published.
func TestG3_NothingDurableRestsOnAnOpenAudit(t *testing.T) {
	g := audited(t, Config{}, func(s *RunSpec) { s.Steps = 12 })
	for range 200 {
		g.settle()
		if p := g.pointer(); p.Key != "" {
			t.Fatalf("the pointer is at %+v, and nobody checked anything", p)
		}
		l := g.offered("a")
		if l == nil {
			break
		}
		g.right("a", *l)
	}
	if s := g.run().state.Step; s == 0 || s > maxBehind {
		t.Errorf("alone a worker gets to step %d, expected to be held within %d", s, maxBehind)
	}
	if len(g.objects) > 1 {
		t.Errorf("the store holds %d objects, expected the spec alone", len(g.objects))
	}
	if waits := fmt.Sprint(hear[Answer](g, Question{Run: g.plan.id}, nil).Runs[0].Waits); !strings.Contains(waits, "other processes") || strings.Contains(waits, "train") {
		t.Errorf("it waits for %s", waits)
	}
	for g.pointer().Key == "" && g.audits().Outstanding > 0 {
		g.right("b", g.lease("b"))
		g.wait(100)
		g.settle()
	}
	if g.pointer().Step == 0 {
		t.Errorf("checked, the pointer is at %+v", g.pointer())
	}
	// The last results of the run are checked before it ends.
	for range 300 {
		if g.over() || g.run().over {
			break
		}
		g.together(func() bool { return g.run().over || g.audits().Outstanding > 0 }, "a")
		if !g.run().over {
			g.together(func() bool { return g.audits().Outstanding == 0 }, "b")
		}
	}
	if g.over() || !g.run().over || len(g.objects) == 0 || g.audits().Outstanding == 0 {
		t.Fatalf("the run is %s with %+v, expected it at its end, with audits to come", g.state(), g.audits())
	}
	if _, published := g.objects["models/base/1/manifest.json"]; published {
		t.Error("a version is published that rests on results not checked")
	}
	g.together(g.over, "a", "b")
	if !g.over() {
		t.Errorf("the run is %s", g.state())
	}
}

// The parameters kept for audits are bounded by the window (G6).
func TestG6_AuditsKeepFewParameters(t *testing.T) {
	for window, most := range map[int]int64{1: 1, 4 * 3 * 12: 3, 0: maxBehind} {
		g := audited(t, Config{Window: window}, func(s *RunSpec) { s.Steps, s.Checkpoint.Every = 20, 100 })
		g.together(g.at(Train, 0), "a", "b")
		g.together(func() bool { return len(g.run().audits) == 0 }, "b", "c")
		for range 100 {
			l := g.offered("a")
			if l == nil {
				break
			}
			g.right("a", *l)
			if behind := int64(len(g.run().behind)); behind > most {
				t.Fatalf("window %d: %d steps kept, expected at most %d", window, behind, most)
			}
		}
		if s := g.run().state.Step; s != most {
			t.Errorf("window %d: held at step %d, expected %d", window, s, most)
		}
	}
}

// What is audited depends on the secret, in the share asked for, and on nothing a worker knows.
func TestAuditsAreDrawnBySecret(t *testing.T) {
	draw := func(secret string, share float64) (all []bool, n int) {
		m := &Machine{cfg: Config{AuditSecret: []byte(secret)}}
		for i := range 10_000 {
			all = append(all, m.chosen(share, Work{Run: "r", Kind: Train, Step: int64(i), Node: Node{2, i % 7}}))
			if all[i] {
				n++
			}
		}
		return all, n
	}
	one, n := draw("one", 0.05)
	if n < 400 || n > 600 {
		t.Errorf("%d of 10,000 drawn, expected about 500", n)
	}
	if two, _ := draw("two", 0.05); slices.Equal(one, two) {
		t.Error("two secrets choose alike")
	}
	if _, n := draw("one", 1); n != 10_000 {
		t.Errorf("%d of 10,000 drawn, expected all", n)
	}
	if _, n := draw("one", 0); n != 0 {
		t.Errorf("%d drawn, expected none", n)
	}
}

// An audit that fails is no vote; it goes to another, and one that nobody can do ends the run with the reason.
func TestAuditThatFailsGoesToAnother(t *testing.T) {
	g := audited(t, Config{}, nil)
	l := g.lease("a")
	g.right("a", l)
	for i := range maxTries - 1 {
		w := fmt.Sprint("b", i)
		lb := g.lease(w)
		if lb.Work != l.Work {
			t.Fatalf("%s gets %+v, expected the audit", w, lb.Work)
		}
		g.fail(w, lb, 0, "bad")
		if again := g.offered(w); again != nil && again.Work == l.Work {
			t.Fatal("who failed on it is asked again")
		}
	}
	lc := g.lease("c")
	res, payload := g.recompute("c", lc)
	res.Tasks++
	if v := hear[ResultReply](g, res, payload).Verdict; v != Refused {
		t.Errorf("a malformed vote: %s", v)
	}
	g.settle()
	if s := g.run().status.val; s.State != Failed || !strings.Contains(s.Reason, "audit of init of step 0") {
		t.Errorf("the run is %s: %s", s.State, s.Reason)
	}
}

// A lease of an audit that ends goes to another.
func TestG5_AuditLeasesEnd(t *testing.T) {
	g := audited(t, Config{FirstDeadlineMS: 2000}, nil)
	l := g.lease("a")
	g.right("a", l)
	if lb := g.lease("b"); lb.Work != l.Work {
		t.Fatalf("b gets %+v", lb.Work)
	}
	g.wait(2200) // b is silent
	if lc := g.lease("c"); lc.Work != l.Work {
		t.Errorf("c gets %+v, expected the audit that b left", lc.Work)
	}
}

// Of a large result that is audited the announcement is enough: none of its bytes are asked for again.
func TestAuditsOfLargeResultsTakeTheirDigest(t *testing.T) {
	g := audited(t, Config{}, nil)
	l := g.lease("a")
	g.right("a", l)
	lb := g.lease("b")
	res, payload := g.recompute("b", lb)
	res.Total, res.Tasks = len(payload), res.Tasks+1
	if v := hear[ResultReply](g, res, nil).Verdict; v != Refused {
		t.Errorf("an announcement of too many tasks: %s", v)
	}
	lc := g.lease("c")
	res, payload = g.recompute("c", lc)
	if v := hear[ResultReply](g, res, nil).Verdict; lc.Work != l.Work || v != Accepted || len(payload) == 0 {
		t.Errorf("the announcement of %d bytes: %s", len(payload), v)
	}
	if found := g.audits(); found.Done != 1 || found.Outstanding != 0 {
		t.Errorf("found %+v, expected one audit done", found)
	}
}
