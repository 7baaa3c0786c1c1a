package metatrain

import "testing"

// of is what a worker of a process that asks for a moment gets.
func (g *rig) of(process, worker string) *Lease {
	g.t.Helper()
	req := g.ask(Hello{Worker: worker, Process: process, Protocol: Protocol, Contract: Contract}, nil)
	if g.granted(req) == nil {
		g.step(Tick{}) // its wait ends
	}
	return g.granted(req)
}

// Two slots, or two lives, of one broken process are no two workers: while another process may do the work, its word is
// waited for.
func TestDecision_OneProcessIsOneWord(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 1 })
	l := g.lease("b") // which b hands back
	g.ask(Failure{Worker: "b", Lease: l.ID, Work: l.Work, Task: -1, Text: "no memory", Transient: true}, nil)
	g.now += 300
	first := g.of("a", "a.1")
	if first == nil {
		t.Fatal("no lease for a.1")
	}
	g.fail("a.1", *first, 0, "broken")
	for _, life := range []string{"a.1", "a.2", "a.3"} {
		if l := g.of("a", life); l != nil {
			t.Fatalf("%s gets %+v, which its process failed on, though b may do it", life, l.Work)
		}
	}
	if v := g.send("b", g.lease("b")); v != Accepted {
		t.Errorf("b's is %s", v)
	}
	g.settle()
	if len(g.decisions().Skips) != 0 {
		t.Errorf("a good task is skipped: %+v", g.decisions())
	}
}

// Slots that hold the same work at once, as when a copy is made, say one word too.
func TestDecision_SlotsThatFailTogetherAreOneWord(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 1 })
	g.run().micros[Train] = 100_000
	first := g.of("a", "a.1")
	g.now += 400
	second := g.of("a", "a.2")
	if first == nil || second == nil || first.Work != second.Work {
		t.Fatalf("granted %+v and %+v, expected a copy", first, second)
	}
	g.poll("b")
	g.fail("a.1", *first, 0, "broken")
	g.fail("a.2", *second, 0, "broken")
	if len(g.commits) > 0 {
		t.Errorf("decided on %+v, by one process, though b is there", g.commits)
	}
}

// A lone process's second life is the nearest thing to another worker: if it fails alike, the task is at fault. One that
// has company is asked again once that is gone, or failed otherwise.
func TestDecision_LoneProcessIsAskedTwice(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 1; s.StallSeconds = 1000 })
	g.fail("a.1", *g.of("a", "a.1"), 0, "same")
	if l := g.of("a", "a.1"); l != nil {
		t.Fatal("the same life is asked again")
	}
	g.poll("b")
	if l := g.of("a", "a.2"); l != nil {
		t.Fatal("though b is there")
	}
	g.ask(Beat{Worker: "b", Leaving: true}, nil)
	l := g.of("a", "a.2")
	if l == nil {
		t.Fatal("a is alone, and no second life of it is asked")
	}
	g.fail("a.2", *l, 0, "same")
	if len(g.commits) != 1 {
		t.Error("two lives of a lone process that fail alike are enough")
	}
}
