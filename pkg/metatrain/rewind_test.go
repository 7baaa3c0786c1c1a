package metatrain

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// A checkpoint is tainted by each rewind since it was made that goes back behind it, and by no other.
func TestG1_TaintedCheckpointsAreNotResumedFrom(t *testing.T) {
	load := LoadCheckpoint{Rewinds: []Rewind{{Before: 10}, {Before: 4}}}
	for _, c := range []struct {
		rewinds, step int64
		taken         bool
	}{{0, 4, true}, {0, 5, false}, {0, 10, false}, {0, 11, false}, {1, 4, true}, {1, 5, false}, {2, 99, true}} {
		if err := load.Takes(c.rewinds, c.step); (err == nil) != c.taken {
			t.Errorf("checkpoint of rewinds %d, step %d: %v", c.rewinds, c.step, err)
		}
	}
}

// Names of makers are bounded; one without a name is presumed to have contributed since there was no room, if it was found
// out after that.
func TestG6_MakersAreBounded(t *testing.T) {
	var s State
	for i := range int64(maxMakers + 50) {
		s.contributes(fmt.Sprint("p", i), i, 3)
	}
	if len(s.Makers) > maxMakers+1 {
		t.Errorf("%d names are kept", len(s.Makers))
	}
	s.contributes("p7", 5000, 3)
	for _, c := range []struct {
		q     Quarantined
		bound int64
		ok    bool
	}{{Quarantined{N: 1, Process: "p7"}, 7, true}, {Quarantined{N: 4, Process: "p1020"}, maxMakers, true}, {Quarantined{N: 3, Process: "nobody"}, maxMakers, false}} {
		if bound, ok := s.since(c.q); bound != c.bound || ok != c.ok {
			t.Errorf("%+v: found %d, %v, expected %d, %v", c.q, bound, ok, c.bound, c.ok)
		}
	}
}

// What was decided later than the step gone back to is open again; the rest stands.
func TestRewindKeepsEarlierDecisions(t *testing.T) {
	spec := testSpec()
	d := DecisionsRecord{Skips: []Skip{{Step: 1, Kind: Train}, {Step: 2, Kind: Validate}, {Step: 3, Kind: Train}, {Track: 1, Step: 0, Kind: Train}}}
	for step, want := range map[int64]int{-1: 0, 2: 1, 3: 2, 4: 3, 5: 3, 6: 4} {
		if got := d.upTo(&spec, step).Skips; len(got) != want {
			t.Errorf("back to step %d: %v stand, expected %d", step, got, want)
		}
	}
}

// caughtOut trains until "liar", who contributed since step 1, is found out, and the quarantine is recorded but nothing
// else yet.
func caughtOut(t *testing.T) *rig {
	t.Helper()
	g := audited(t, Config{}, rarely)
	g.together(g.at(Train, 1), "a", "b")
	for !g.at(Train, 2)() {
		g.settle()
		g.wrong("liar", g.lease("liar"))
	}
	g.settle() // what it gave is durable: nobody asked
	if g.pointer().Step != 2 {
		t.Fatalf("the pointer is at %+v, expected step 2", g.pointer())
	}
	l := g.lease("liar")
	g.run().spec.Audit = 1
	g.wrong("liar", l)
	rarely(&g.run().spec)
	g.right("a", g.lease("a"))
	g.right("b", g.lease("b"))
	g.commit()
	return g
}

// honest holds the run's model to that of a run without the liar.
func (g *rig) honest() {
	g.t.Helper()
	g.together(g.over, "a", "b")
	models, _ := g.plan.serial(g.decisions())
	version := read[StatusRecord](g.keys[statusKey(g.plan.id)].Value).Version
	if !g.over() || string(g.objects[fmt.Sprintf("models/base/%d/model.safetensors", version)]) != string(models[0]) {
		g.t.Errorf("the run is %s, its model not that of an honest run", g.state())
	}
}

// A leader that dies between the quarantine and the rewind leaves it to the next one, who sees in the checkpoint what it
// rests on. The run goes back behind what is durable already.
func TestG1_NextLeaderGoesBackForThoseInQuarantine(t *testing.T) {
	g := caughtOut(t)
	g.lead(Config{ShardTasks: 1, AuditSecret: []byte("other")}, 8)
	g.settle()
	if d := g.decisions(); len(d.Rewinds) != 1 || d.Rewinds[0].Before != 1 {
		t.Fatalf("found %+v, expected one rewind, to step 1", d.Rewinds)
	}
	if p := g.pointer(); p.Rewinds != 1 || p.Step != 1 || p.Key == "" {
		t.Errorf("the pointer is at %+v, expected step 1 put anew after the rewind", p)
	}
	if s := g.run().state; s.Step != 1 || s.Makers["liar"] != 0 || len(s.Makers) != 2 {
		t.Errorf("the state is of step %d by %v", s.Step, s.Makers)
	}
	g.honest()
	if man := string(g.objects["models/base/1/manifest.json"]); !strings.Contains(man, "rewind 1 to step 1 over all tracks: an audit found liar wrong") {
		t.Errorf("the manifest does not tell: %s", man)
	}
}

// A run that was paused meanwhile goes back when it is resumed; and one that came to its end in the old life publishes
// nothing.
func TestG1_PausedRunGoesBackWhenResumed(t *testing.T) {
	g := caughtOut(t)
	req := g.control("pause") // behind the rewind, or before it: both must do
	g.settle()
	if a := said[Answer](g, req); a.Error != "" || g.state() != Paused {
		t.Fatalf("%s, %s", a.Error, g.state())
	}
	g.control("resume")
	g.settle()
	if n := len(g.decisions().Rewinds); n != 1 {
		t.Errorf("%d rewinds, expected 1", n)
	}
	g.honest()
}

// Where the store has lost every checkpoint from before, the run starts again from theta_0.
func TestG1_RewindWithoutACheckpointStartsAfresh(t *testing.T) {
	g := caughtOut(t)
	for key := range g.objects {
		if strings.Contains(key, "/ckpt/00000000000") && !strings.Contains(key, "/ckpt/000000000002") {
			delete(g.objects, key)
		}
	}
	g.settle()
	if g.run().phase == nil || g.run().phase.work.Kind != Init {
		t.Fatalf("the run is at %+v, expected init", g.run().phase)
	}
	g.honest()
}

// A save of before the rewind that lands after it moves no pointer, and takes nobody's place.
func TestG3_SaveOfBeforeARewindCountsNoMore(t *testing.T) {
	g := audited(t, Config{}, rarely)
	g.together(g.at(Train, 1), "a", "b")
	for !g.at(Train, 2)() { // unsettled, so that the state of step 2 is on its way
		if len(g.commits) > 0 {
			g.commit()
		}
		g.wrong("liar", g.lease("liar"))
	}
	if len(g.puts) != 1 {
		t.Fatalf("%d writes on their way, expected the state of step 2", len(g.puts))
	}
	late := g.puts[0]
	g.puts = nil
	l := g.lease("liar")
	g.run().spec.Audit = 1
	g.wrong("liar", l)
	rarely(&g.run().spec)
	g.right("a", g.lease("a"))
	g.right("b", g.lease("b"))
	for len(g.commits)+len(g.loads) > 0 {
		if len(g.commits) > 0 {
			g.commit()
		} else {
			g.load()
		}
	}
	g.objects[late.Key] = late.Data
	g.step(Done{ID: late.ID})
	g.settle()
	if p := g.pointer(); p.Rewinds != 1 || p.Step != 1 {
		t.Errorf("the pointer is at %+v, expected step 1 after one rewind", p)
	}
	g.honest()
}

// A run whose version is all written does not end while it is about to go back for somebody whom another run found out.
func TestG1_RunThatIsToGoBackDoesNotEnd(t *testing.T) {
	g := audited(t, Config{}, rarely)
	g.together(g.at(Train, 3), "a", "b")
	for i := 0; g.run().phase != nil; i++ {
		w := []string{"a", "b"}[i%2]
		g.right(w, g.lease(w))
	}
	for len(g.puts) == 0 || !strings.HasSuffix(g.puts[0].Key, "manifest.json") {
		switch {
		case len(g.puts) > 0:
			g.put()
		case len(g.commits) > 0:
			g.commit()
		default:
			t.Fatalf("no manifest is written; the run is %s", g.state())
		}
	}
	g.m.accuse(g.run(), &audit{again: &phase{tasks: 1}}, []vote{{"b", "b", "wrong"}})
	g.step(Tick{})
	g.put()
	g.settle()
	if d := g.decisions(); g.state() != Active || len(d.Rewinds) != 1 {
		t.Fatalf("the run is %s after rewinds %v, expected it to go back", g.state(), d.Rewinds)
	}
	g.together(g.over, "a", "c")
	if !g.over() {
		t.Errorf("the run is %s", g.state())
	}
}

// A quarantine is lifted by either name, and then the process works as others do.
func TestQuarantineIsLifted(t *testing.T) {
	g := caughtOut(t)
	g.settle()
	g.lead(Config{ShardTasks: 1, AuditSecret: []byte("other")}, 8) // it outlasts the leader
	g.settle()
	hello := Hello{Worker: "liar", Protocol: Protocol, Contract: Contract}
	if r := hear[LeaseReply](g, hello, nil); r.Refused == "" {
		t.Fatal("the next leader takes it in")
	}
	if a := hear[Answer](g, Control{Action: "lift", Worker: "nobody"}, nil); !strings.Contains(a.Error, "runs workers") {
		t.Errorf("lifting what is not there: %q", a.Error)
	}
	req := g.ask(Control{Action: "lift", Worker: "liar"}, nil)
	g.settle()
	if a := said[Answer](g, req); a.Error != "" {
		t.Errorf("lift: %s", a.Error)
	}
	if l := g.lease("liar"); l.Work.Run == "" {
		t.Error("it gets no work")
	}
	if q := read[QuarantineRecord](g.keys[quarantineKey].Value); len(q.Processes) != 0 || q.Count != 1 {
		t.Errorf("the record is %+v", q)
	}
}

// A run that goes back over and over ends with the reason.
func TestG5_RewindsAreBounded(t *testing.T) {
	g := caughtOut(t)
	key := decisionsKey(g.plan.id)
	g.keys[key] = KV{key, mustJSON(DecisionsRecord{Rewinds: make([]Rewind, maxRewinds)}), 1}
	g.lead(Config{}, 8)
	g.settle()
	if s := g.run().status.val; s.State != Failed || !strings.Contains(s.Reason, "went back 100 times") {
		t.Errorf("the run is %s: %s", s.State, s.Reason)
	}
}

// Specs: audits are off unless asked for, and do not change what a run is.
func TestG7_AuditsAreForRunsWithinG1(t *testing.T) {
	s := testSpec()
	plain := s.Digest()
	s.Audit = 0.01
	if err := s.Validate(); err != nil || s.Digest() != plain {
		t.Errorf("%v, digest %s, expected %s", err, s.Digest(), plain)
	}
	s.Bits = BitsAny
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "audit: found 0.01 with bits: any, expected 0") {
		t.Errorf("with bits any: %v", err)
	}
	if strings.Contains(string(EncodeSpec(testSpec())), "audit") {
		t.Error("the stored form of a spec without audits changed")
	}
}

// Rewinds come with a checkpoint when etcd is rebuilt from the store.
func TestRebuildKeepsRewinds(t *testing.T) {
	spec := testSpec()
	r := remaining(spec, 1)
	run := spec.RunID(0)
	d := DecisionsRecord{Rewinds: []Rewind{{Before: 1, Processes: []string{"liar"}}}}
	r.Checkpoints[run] = []RemainingCheckpoint{ckpt(run, 0, 3, DecisionsRecord{}), ckpt(run, 1, 1, d)}
	p := Rebuild(r, 1)
	if got := record[DecisionsRecord](t, p, decisionsKey(run)); !reflect.DeepEqual(got, d) {
		t.Errorf("found %+v, expected %+v", got, d)
	}
	if got := record[PointerRecord](t, p, pointerKey(run)); got.Rewinds != 1 || got.Step != 1 {
		t.Errorf("found %+v, expected the checkpoint after the rewind", got)
	}
}
