package metatrain

import (
	"bytes"
	"slices"
	"testing"
)

// shares gives what is on its way into the store, and forgets it.
func (g *rig) shares() (out []Share) {
	for _, e := range g.others {
		if s, ok := e.(Share); ok {
			out = append(out, s)
		}
	}
	g.others = nil
	return out
}

// sharing is a rig at its first training step whose parameters, of 12 bytes, go into the store.
func sharing(t *testing.T, alter func(*RunSpec)) (*rig, Share) {
	t.Helper()
	g := newRig(t, Config{ShareBytes: 12, ShardTasks: 1}, alter)
	g.submit()
	g.send("w", g.lease("w")) // theta_0
	s := g.shares()
	for g.run().phase.work.Kind != Train { // validation is at the same theta
		g.send("w", g.lease("w"))
	}
	if len(s) != 1 || len(g.shares()) != 0 {
		t.Fatalf("%d on their way into the store, expected theta", len(s))
	}
	return g, s[0]
}

func (g *rig) broadcasts() int {
	return len(slices.DeleteFunc(slices.Clone(g.others), func(e Effect) bool { _, ok := e.(Broadcast); return !ok }))
}

// Who can open addresses waits for one, is handed it, and who cannot has the bytes at any time; nothing is broadcast.
func TestLargeParametersAreReadFromTheStore(t *testing.T) {
	g, s := sharing(t, func(s *RunSpec) { s.Validation.Every = 1 })
	theta := g.run().phase.work.Theta
	if s.Key != ThetaObject(g.plan.id, theta) || Digest(s.Data) != theta || g.broadcasts() != 0 {
		t.Fatalf("put under %s, %d broadcasts", s.Key, g.broadcasts())
	}
	early := g.ask(Fetch{Theta: theta, Ref: true}, nil)
	if _, answered := g.replies[early]; answered {
		t.Error("answered before it is there")
	}
	direct := g.ask(Fetch{Theta: theta}, nil)
	if c := said[Chunk](g, direct); c.URL != "" || !bytes.Equal(g.replies[direct].Payload, s.Data) {
		t.Errorf("who asks for bytes is told %+v", c)
	}
	g.step(Done{ID: s.ID, Key: "http://there"})
	for _, req := range []uint64{early, g.ask(Fetch{Theta: theta, Ref: true}, nil)} {
		if c := said[Chunk](g, req); c.URL != "http://there" || c.Total != 12 || len(g.replies[req].Payload) != 0 {
			t.Errorf("told %+v", c)
		}
	}
	if d, ok := g.others[len(g.others)-1].(DropThetas); !ok || d.Run != g.plan.id || !slices.Equal(d.Keep, []string{theta}) {
		t.Errorf("found %+v, expected that only what is read stays", g.others)
	}
	g.others = nil
	for g.run().state.Step == 0 {
		g.send("w", g.lease("w"))
	}
	second := g.shares()
	g.step(Done{ID: second[0].ID, Key: "http://then"})
	g.shares()
	for g.run().phase.work.Kind == Validate { // at the same theta, before it is trained on
		g.send("w", g.lease("w"))
	}
	if again := g.shares(); len(again) != 0 {
		t.Error("what is there is put again")
	}
	if c := hear[Chunk](g, Fetch{Theta: theta, Ref: true}, nil); !c.Absent {
		t.Errorf("work that is over: %+v", c)
	}
	g.control("pause")
	g.settle()
	if d, ok := g.others[len(g.others)-1].(Publish); !ok {
		t.Fatalf("%+v", d)
	}
	if !slices.ContainsFunc(g.others, func(e Effect) bool { d, ok := e.(DropThetas); return ok && d.Run == g.plan.id && len(d.Keep) == 0 }) {
		t.Errorf("found %+v, expected that nothing stays of a run at rest", g.others)
	}
}

// A store that does not take parameters is left alone for a while: those who wait have the bytes, the others a broadcast.
func TestParametersThatTheStoreDoesNotTakeAreSent(t *testing.T) {
	g, s := sharing(t, nil)
	theta := g.run().phase.work.Theta
	early := g.ask(Fetch{Theta: theta, Ref: true}, nil)
	g.step(Done{ID: s.ID, Outcome: Failing})
	if c := said[Chunk](g, early); c.URL != "" || !bytes.Equal(g.replies[early].Payload, s.Data) || g.broadcasts() != 1 {
		t.Errorf("told %+v, %d broadcasts", c, g.broadcasts())
	}
	late := g.ask(Fetch{Theta: theta, Ref: true}, nil)
	if !bytes.Equal(g.replies[late].Payload, s.Data) {
		t.Error("asked later: no bytes")
	}
	g.others = nil
	g.until(Train, 1)
	if n := g.broadcasts(); n != 1 || len(g.shares()) != 0 {
		t.Errorf("%d broadcasts of the next, expected one", n)
	}
	g.now += shareAgain
	g.m.workers = map[string]*worker{}
	g.until(Train, 2)
	if len(g.shares()) != 1 {
		t.Error("the store is not tried again")
	}
}

// Whoever waits for an address is answered when the work is over.
func TestG5_FetchesThatWaitForAnAddressAreAnswered(t *testing.T) {
	g, s := sharing(t, nil)
	req := g.ask(Fetch{Theta: g.run().phase.work.Theta, Ref: true}, nil)
	g.control("pause")
	g.settle()
	if c := said[Chunk](g, req); !c.Absent {
		t.Errorf("told %+v", c)
	}
	g.step(Done{ID: s.ID, Key: "http://late"}) // of no use any more
}

func TestDropThetasPlan(t *testing.T) {
	keys := []string{"thetas/a/1", "thetas/a/2", "thetas/ab/1", "thetas/b/3", "runs/a/ckpt/1", "models/a"}
	for _, c := range []struct {
		drop DropThetas
		want []string
	}{
		{DropThetas{Run: "a", Keep: []string{"2"}}, []string{"thetas/a/1"}},
		{DropThetas{Run: "a"}, []string{"thetas/a/1", "thetas/a/2"}},
		{DropThetas{Keep: []string{"a"}}, []string{"thetas/ab/1", "thetas/b/3"}},
	} {
		if found := c.drop.Plan(keys); !slices.Equal(found, c.want) {
			t.Errorf("%+v: %v, expected %v", c.drop, found, c.want)
		}
	}
}
