package metatrain

import (
	"testing"
)

// spooled is a scene: the pointer is at step 1, two later states could not be put, the leader died, and the next one has
// the last of them in its spool.
func spooled(t *testing.T) (g *rig, kept PutObject) {
	t.Helper()
	g = newRig(t, Config{Spools: true}, func(s *RunSpec) { s.MetaBatch = 1 })
	g.submit()
	g.settle() // the spool is asked, and holds nothing
	g.until(Train, 1)
	g.steps(2)
	g.failPut("no route to host")
	kept = g.puts[0]
	if g.pointer().Step != 1 {
		t.Fatalf("the pointer is at %d", g.pointer().Step)
	}
	return g, kept
}

// unspool answers a load that asks for the spool, too.
func (g *rig) unspool(kept PutObject) {
	g.t.Helper()
	e := g.loads[0]
	if g.loads = g.loads[1:]; !e.Spooled {
		g.t.Fatal("the spool is not asked")
	}
	g.objects[kept.Key] = kept.Data // put first
	g.step(Done{ID: e.ID, Key: kept.Key, Data: kept.Data})
}

// A state kept in the spool is resumed from, and made durable by the pointer at once, as any other: nothing of it counts
// before.
func TestSpool_ResumesBeyondThePointer(t *testing.T) {
	g, kept := spooled(t)
	g.lead(Config{Spools: true}, 8)
	g.unspool(kept)
	if step := g.run().state.Step; step != 3 || g.pointer().Step != 1 {
		t.Fatalf("at step %d, the pointer at %d", step, g.pointer().Step)
	}
	g.settle()
	if p := g.pointer(); p.Step != 3 || p.Key != kept.Key {
		t.Errorf("the pointer is at %+v, expected %s", p, kept.Key)
	}
	g.finish()
	models, _ := g.plan.serial(DecisionsRecord{})
	if string(g.objects["models/base/1/model.safetensors"]) != string(models[0]) {
		t.Error("the model differs from a serial run's")
	}
}

// A run of which no state was durable yet resumes from the spool, too.
func TestSpool_ResumesWithoutAPointer(t *testing.T) {
	g := newRig(t, Config{Spools: true}, func(s *RunSpec) { s.MetaBatch = 1 })
	g.submit()
	g.settle()
	for g.run().phase.work.Kind != Train {
		g.send("w", g.lease("w"))
	}
	g.steps(1)
	kept := g.puts[0]
	g.lead(Config{Spools: true}, 8)
	g.unspool(kept)
	if g.settle(); g.run().state.Step != 1 || g.pointer().Key != kept.Key {
		t.Errorf("at step %d, the pointer at %+v", g.run().state.Step, g.pointer())
	}
}

// One made under other decisions is passed over for what is durable, which is no worse than it was.
func TestSpool_OtherDecisionsLoseNothing(t *testing.T) {
	g, kept := spooled(t)
	record := DecisionsRecord{Skips: []Skip{{Kind: Train, Step: 2, Task: 0, Reason: "bad"}}}
	g.rev++
	g.keys[decisionsKey(g.plan.id)] = KV{decisionsKey(g.plan.id), mustJSON(record), g.rev}
	g.lead(Config{Spools: true}, 8)
	g.unspool(kept)
	if len(g.loads) != 1 || g.loads[0].Spooled {
		t.Fatalf("loads %+v, expected one of what is durable", g.loads)
	}
	if g.load(); g.run().state.Step != 1 || g.run().state.Theta == nil {
		t.Errorf("at step %d, expected 1: %s", g.run().state.Step, g.run().note)
	}
}
