package metatrain

import (
	"strings"
	"testing"
)

// askAs asks for work by a numbered hello, ready to wait for so long.
func (g *rig) askAs(worker string, seq uint64, wait int64) uint64 {
	g.t.Helper()
	return g.ask(Hello{Worker: worker, Protocol: Protocol, Contract: Contract, Seq: seq, WaitMS: wait}, nil)
}

// A worker that waits for work, one wait after the other, is known all the while, with what it did and can't do.
func TestLedger_IdleWorkersAreRemembered(t *testing.T) {
	for _, wait := range []int64{1000, 5000, 30_000} {
		g := newRig(t, Config{}, nil)
		g.askAs("a", 1, wait)
		g.m.workers["a"].tasks = 7
		for seq := range uint64(3) {
			g.wait(wait + 200) // the answer, and the way to the worker and back
			if w := g.m.workers["a"]; w == nil || w.tasks != 7 {
				t.Fatalf("after waiting %d times for %d ms it is forgotten", seq+1, wait)
			}
			g.askAs("a", seq+2, wait)
		}
		g.wait(wait + 5300)
		if g.m.workers["a"] != nil {
			t.Errorf("silent for ten beats after its wait of %d ms, it is still known", wait)
		}
	}
}

// Anybody may say that a worker leaves. One that asks on does not.
func TestLedger_WordOfLeavingEndsWithTheNextHello(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	g.askAs("a", 1, 1000)
	g.ask(Beat{Worker: "a", Leaving: true}, nil)
	if l := g.granted(g.askAs("a", 1, 1000)); l != nil {
		t.Errorf("an overtaken hello is granted %+v", l.Work)
	}
	if g.granted(g.askAs("a", 2, 1000)) == nil {
		t.Error("it asks on, and gets nothing")
	}
	g.ask(Beat{Worker: "a", Leaving: true}, nil) // it does leave
	if _, l := g.poll("a"); l != nil {
		t.Errorf("granted %+v", l.Work)
	}
}

// While nobody knows how long a kind of work takes, who is at it keeps it as long as it beats; an idle worker gets a copy
// once the first deadline is over.
func TestLedger_LongWorkIsLeftToWhoBeats(t *testing.T) {
	g := trainRig(t, Config{FirstDeadlineMS: 3000}, func(s *RunSpec) { s.MetaBatch = 1; s.StallSeconds = 100 })
	g.run().micros = map[Kind]float64{}
	l := g.lease("a")
	beats := func(ms int64) {
		for range ms / 500 {
			g.wait(500)
			if ack := hear[Ack](g, Beat{Worker: "a", Leases: []uint64{l.ID}}, nil); len(ack.Drop) > 0 {
				t.Fatalf("at %d ms it is told to drop what it is at", g.now)
			}
		}
	}
	beats(2500)
	req, early := g.poll("b")
	if early != nil {
		t.Fatal("copied before the deadline")
	}
	beats(4000)
	copied := g.granted(req)
	if copied == nil || copied.Work != l.Work {
		t.Fatalf("b gets %+v, expected a copy", copied)
	}
	if v := g.send("a", l); v != Accepted {
		t.Errorf("a's is %s", v)
	}
}

// To beat is not to get on: a run whose only piece of work never ends is paused, and says who was at it.
func TestG5_LongWorkEndsInAPause(t *testing.T) {
	g := trainRig(t, Config{FirstDeadlineMS: 3000}, func(s *RunSpec) { s.MetaBatch = 1; s.StallSeconds = 20 })
	g.run().micros = map[Kind]float64{}
	l := g.lease("a")
	for g.now < 60_000 && g.state() == Active {
		g.wait(500)
		g.ask(Beat{Worker: "a", Leases: []uint64{l.ID}}, nil)
		g.settle()
	}
	if s := g.run().status.val; s.State != Paused || !strings.Contains(s.Reason, "step 0: a since") {
		t.Errorf("%+v", s)
	}
}

// Who is silent loses it, whatever is known.
func TestLedger_LongWorkOfTheSilentIsGivenAway(t *testing.T) {
	g := trainRig(t, Config{FirstDeadlineMS: 3000}, func(s *RunSpec) { s.MetaBatch = 1 })
	g.run().micros = map[Kind]float64{}
	l := g.lease("a")
	req, _ := g.poll("b")
	g.wait(1700)
	if next := g.granted(req); next == nil || next.Work != l.Work {
		t.Errorf("b gets %+v", next)
	}
}
