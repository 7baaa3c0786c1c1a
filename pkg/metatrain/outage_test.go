package metatrain

import (
	"strings"
	"testing"
)

// fail ends the oldest put as the driver does that gave up.
func (g *rig) failPut(text string) {
	g.t.Helper()
	e := g.puts[0]
	g.puts = g.puts[1:]
	g.step(Done{ID: e.ID, Outcome: Failing, Text: text})
}

// While the store takes nothing, training goes on up to the limit; then nobody gets work, the run says why and is not
// taken for stalled, and it goes on by itself once its newest state is durable.
func TestG5_StoreOutageHasALimit(t *testing.T) {
	g := newRig(t, Config{MaxStoreOutageMS: 3000}, func(s *RunSpec) { s.MetaBatch, s.Steps, s.StallSeconds = 1, 1000, 5 })
	g.submit()
	g.until(Train, 0)
	g.steps(1)
	for g.now < 2900 {
		g.steps(1)
		g.failPut("no route to host")
		g.wait(100)
	}
	trained := g.run().state.Step
	g.wait(300)
	req, l := g.poll("w")
	if l != nil || trained < 10 {
		t.Fatalf("after %d steps and %d ms of outage the worker got %+v", trained, g.now, l)
	}
	for range 10 { // longer than the stall time
		for len(g.puts) > 0 {
			g.failPut("no route to host")
		}
		g.wait(1000)
	}
	w := g.m.status(g.run()).Waits
	if len(w) != 1 || !strings.Contains(w[0].Worker, "the store") || !strings.Contains(w[0].Worker, "no route to host") || w[0].Since < 10_000 {
		t.Errorf("waits: %v", w)
	}
	if g.state() != Active || g.granted(req) != nil {
		t.Fatalf("the run is %s, the worker got %+v", g.state(), g.granted(req))
	}
	g.settle()
	if p := g.pointer(); p.Step != trained {
		t.Errorf("durable is step %d, %d are done", p.Step, trained)
	}
	if g.granted(req) == nil {
		t.Error("the store is back, and nobody gets work")
	}
}

// A state older than the limit that waits behind one on its way is an outage still.
func TestG5_OutageIsOfTheOldestState(t *testing.T) {
	g := newRig(t, Config{MaxStoreOutageMS: 3000}, func(s *RunSpec) { s.MetaBatch, s.Steps = 1, 1000 })
	g.submit()
	g.until(Train, 0)
	g.steps(1) // its put hangs
	g.wait(2000)
	g.steps(1) // this one waits behind
	g.wait(2000)
	if _, l := g.poll("w"); l != nil {
		t.Error("granted though the first state is not durable")
	}
	g.put()
	g.commit() // the first is durable, the second since two seconds not
	if g.wait(500); g.m.outage(g.run()) {
		t.Error("an outage, though the oldest state that is not durable is younger than the limit")
	}
	if g.wait(1000); !g.m.outage(g.run()) {
		t.Error("no outage, though the second state is not durable")
	}
}

// A rate of zero would learn nothing, however long.
func TestG7_RateOfZeroIsRefused(t *testing.T) {
	s := testSpec()
	s.Optimizer.Rate = 0
	if err := s.Validate(); err == nil || !strings.Contains(err.Error(), "optimizer.rate: found 0, expected above 0") {
		t.Errorf("got %v", err)
	}
}
