package metatrain

import (
	"strings"
	"testing"
)

// none is the hello of a worker whose bits are its own.
func (g *rig) none(worker string, skills Skills, holding ...uint64) (uint64, *Lease) {
	g.t.Helper()
	req := g.ask(Hello{Worker: worker, Protocol: Protocol, Bits: BitsNone, Skills: skills, Holding: holding, WaitMS: 30_000}, nil)
	return req, g.granted(req)
}

func anyBits(s *RunSpec) { s.Bits = BitsAny }

func TestG1_WorkersWithoutTheContractGetNoContractRun(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	req, l := g.none("py", Skills{})
	if l != nil {
		t.Fatalf("it got %+v", l)
	}
	if waits := g.m.status(g.run()).Waits; len(waits) != 1 || !strings.Contains(waits[0].Worker, "py gives bits none") {
		t.Errorf("the run waits for %+v, expected a worker by the contract, and why py is none (G5)", waits)
	}
	if a := g.lease("a"); g.send("a", a) != Accepted {
		t.Error("a worker by the contract is refused")
	}
	if g.granted(req) != nil {
		t.Error("py got a lease after all")
	}
}

// What a worker says of its bits in the result counts, and so does what it said in its hello.
func TestG1_ResultsWithoutTheContractAreRefused(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	l := g.lease("a")
	for _, worker := range []string{"stranger", "py"} {
		res, payload := g.result(worker, l)
		if worker == "py" {
			g.none("py", Skills{})
		} else {
			res.Bits = BitsNone
		}
		reply := hear[ResultReply](g, res, payload)
		if reply.Verdict != Refused || !strings.Contains(reply.Reason, "bits: any") {
			t.Errorf("%s: %+v, expected a refusal that names the remedy", worker, reply)
		}
	}
	if g.m.leases[l.ID] == nil {
		t.Error("what others sent took a's lease away")
	}
	if v := g.send("a", l); v != Accepted {
		t.Errorf("a: %s", v)
	}
}

func TestBitsAny_TheFirstResultCountsAndALaterOneIsNoFault(t *testing.T) {
	g := trainRig(t, Config{}, anyBits)
	_, l := g.none("py", Skills{})
	if l == nil {
		t.Fatal("no lease for a worker with bits none")
	}
	res, payload := g.result("py", *l)
	res.Bits = BitsNone
	if r := hear[ResultReply](g, res, payload); r.Verdict != Accepted {
		t.Fatalf("%+v", r)
	}
	if r := hear[ResultReply](g, res, payload); r.Verdict != Duplicate {
		t.Errorf("the same again: %+v", r)
	}
	other := EncodeFloats([]float32{1, 2, 3})
	res.SHA256 = Digest(other)
	if r := hear[ResultReply](g, res, other); r.Verdict != Stale {
		t.Errorf("another: %+v, expected one that ends no worker's life", r)
	}
	if sh := g.run().phase.shards[l.Work.Node.Index]; sh.tries != 0 || len(sh.failed) != 0 {
		t.Errorf("it was held against somebody: %+v", sh)
	}
}

func TestBitsAny_IsSaidAndResultsAreRecorded(t *testing.T) {
	g := newRig(t, Config{ShardTasks: 1}, anyBits)
	g.submit()
	g.until(Train, 1)
	before := g.run().state.Results
	if before == "" || !g.m.status(g.run()).OutsideG1 {
		t.Fatalf("results %q, status %+v", before, g.m.status(g.run()))
	}
	g.finish()
	man := ""
	for key, data := range g.objects {
		if strings.HasSuffix(key, "manifest.json") {
			man = string(data)
		}
	}
	if !strings.Contains(man, `"outside_g1": "bits: any`) || !strings.Contains(man, `"results": "`) || strings.Contains(man, before) {
		t.Errorf("the manifest says\n%s", man)
	}
}

// The digest of results tells results apart that have the same payload, as those of validation have.
func TestBitsAny_TheRecordTellsMetricsApart(t *testing.T) {
	a, b := Result{Metrics: []float64{1}}, Result{Metrics: []float64{1 + 1e-15}}
	if a.mark() == b.mark() {
		t.Error("they have one mark")
	}
}

func TestSkills_WorkGoesToWhoKnowsIt(t *testing.T) {
	g := trainRig(t, Config{}, anyBits)
	for name, c := range map[string]struct {
		skills Skills
		lack   string
	}{
		"all":     {Skills{}, ""},
		"named":   {Skills{[]Kind{Train}, []string{"sim"}, []string{"mlp"}, []string{"x", "maml"}, []string{"lane"}}, ""},
		"kind":    {Skills{Kinds: []Kind{Validate}}, "kind train"},
		"family":  {Skills{Families: []string{"load"}}, "family sim"},
		"model":   {Skills{Models: []string{"gru"}}, "model mlp"},
		"learner": {Skills{Learners: []string{"ridge"}}, "learner maml"},
		"engine":  {Skills{Engines: []string{"gorgonia"}}, "engine lane"},
	} {
		_, l := g.none(name, c.skills)
		if (l != nil) != (c.lack == "") {
			t.Errorf("%s: lease %v", name, l)
		}
		if why := g.run().unfit(g.run().phase, g.m.workers[name]); c.lack != "" && !strings.Contains(why, c.lack) {
			t.Errorf("%s: %q, expected %q", name, why, c.lack)
		}
	}
	spec := g.plan.spec
	pooled := Skills{Learners: []string{"maml"}}
	if pooled.lack(&spec, Train, 1) == "" {
		t.Error("the pooled track is leased to who does not know pooled")
	}
}

// Who cannot do a run's work is not waited for at the end of its step, and does not make its shards smaller.
func TestSkills_WhoCannotWorkIsNotCounted(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 2 })
	g.none("py", Skills{})
	a := g.lease("a")
	if _, l := g.poll("a", a.ID); l == nil {
		t.Error("the last shard is left to py, which may not have it")
	}
	if n := g.m.hands(g.run()); n != 1 {
		t.Errorf("%d hands, expected 1", n)
	}
}

func TestBits_SpecAndHelloAreChecked(t *testing.T) {
	plain := testSpec()
	said := testSpec()
	said.Bits = BitsContract
	if plain.Digest() != said.Digest() {
		t.Error("the default, written out, is another spec")
	}
	said.Bits = BitsAny
	if plain.Digest() == said.Digest() {
		t.Error("a spec that takes any bits has the digest of one that does not")
	}
	said.Bits = "some"
	if err := said.Validate(); err == nil || !strings.Contains(err.Error(), `bits: found "some", expected contract or any`) {
		t.Errorf("found %v", err)
	}
	g := newRig(t, Config{}, nil)
	r := hear[LeaseReply](g, Hello{Worker: "x", Protocol: Protocol, Contract: Contract, Bits: "lane/0"}, nil)
	if !strings.Contains(r.Refused, "lane/0") {
		t.Errorf("found %+v", r)
	}
}

func TestUnable_TheWorkGoesToOthersAndNobodyIsAtFault(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	l := g.lease("old")
	hear[Ack](g, Failure{Worker: "old", Lease: l.ID, Work: l.Work, Task: -1, Text: "option x is not known here", Unable: true}, nil)
	if sh := g.run().phase.shards[0]; sh.tries != 0 || len(sh.failed) != 0 {
		t.Errorf("it is held against the work: %+v", sh)
	}
	req, again := g.poll("old")
	if again != nil {
		t.Errorf("old got %+v", again)
	}
	if waits := g.m.status(g.run()).Waits; len(waits) != 1 || !strings.Contains(waits[0].Worker, "old cannot: option x") {
		t.Errorf("the run waits for %+v", waits)
	}
	if a := g.lease("a"); a.Work != l.Work || g.send("a", a) != Accepted {
		t.Error("a does not get the work")
	}
	if g.granted(req) != nil {
		t.Error("old got a lease after all")
	}
}

// A number is bound to its content: the next leader, which came to another model, leaves it to the writes of the last one
// that are still on their way, and takes a number of its own (G3).
func TestBitsAny_ANumberHasOneContent(t *testing.T) {
	g := atPublication(t, anyBits)
	for len(g.versions()) == 0 {
		if len(g.puts) > 0 {
			g.put()
		} else {
			g.commit()
		}
	}
	for key := range g.objects {
		if strings.Contains(key, "/ckpt/") { // the next leader begins anew
			delete(g.objects, key)
		}
	}
	delete(g.keys, pointerKey(g.plan.id))
	g.plan.spec.Seed++ // and its workers give other results
	g.lead(Config{}, 8)
	g.finish()
	if v := g.versions(); len(v) != 1 || v[0].N != 2 || !v[0].Published {
		t.Errorf("%+v, expected the second number", v)
	}
	for key := range g.objects {
		if strings.HasPrefix(key, "models/base/1/") {
			t.Errorf("%s is written under the first one's number", key)
		}
	}
}
