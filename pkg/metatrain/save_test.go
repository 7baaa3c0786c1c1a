package metatrain

import (
	"bytes"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

func (g *rig) pointer() PointerRecord {
	return read[PointerRecord](g.keys[pointerKey(g.plan.id)].Value)
}

// steps works through so many training steps and leaves puts and transactions on their way.
func (g *rig) steps(n int64) {
	g.t.Helper()
	for to := g.run().state.Step + n; g.run().state.Step < to; {
		g.send("w", g.lease("w"))
	}
}

func TestG3_PointerMovesWhenTheObjectIsDurable(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.until(Train, 0)
	g.steps(1)
	if len(g.puts) != 1 || len(g.commits) != 0 {
		t.Fatalf("%d puts, %d transactions", len(g.puts), len(g.commits))
	}
	key := g.puts[0].Key
	g.put()
	if len(g.commits) != 1 || g.pointer().Key != "" {
		t.Fatal("no transaction after the object")
	}
	g.commit()
	if g.pointer().Key != key || g.pointer().Step != 1 {
		t.Errorf("pointer %+v", g.pointer())
	}
}

// While a save is on its way training goes on, one more waits, the newest, and neither changes.
func TestSave_BytesAreACopyAndOnlyTheNewestWaits(t *testing.T) {
	g := newRig(t, Config{}, func(s *RunSpec) { s.Checkpoint.Every, s.Steps = 2, 9 })
	g.submit()
	g.until(Train, 0)
	g.steps(7)
	if len(g.puts) != 1 {
		t.Fatalf("%d puts at once", len(g.puts))
	}
	g.put()
	g.commit()
	if len(g.puts) != 1 {
		t.Fatalf("%d puts", len(g.puts))
	}
	g.put()
	g.commit()
	if g.pointer().Step != 6 {
		t.Errorf("pointer at %d: the one of step 4 was worth nothing any more", g.pointer().Step)
	}
	for key, data := range g.objects {
		if _, _, _, err := checkpoint.ParseCheckpointKey(key); err == nil {
			if _, err := checkpoint.DecodeCheckpoint(key, data, Contract, g.plan.spec.Digest()); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestSave_FailingStoreCostsOnlyTheCheckpoint(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.until(Train, 0)
	g.steps(2)
	g.step(Done{ID: g.puts[0].ID, Outcome: Failing, Text: "disk full"})
	if g.puts = g.puts[1:]; len(g.puts) != 1 || g.run().note == "" {
		t.Fatalf("%d puts, note %q", len(g.puts), g.run().note)
	}
	g.settle()
	if g.pointer().Step != 2 || g.run().note != "" {
		t.Errorf("pointer at %d, note %q", g.pointer().Step, g.run().note)
	}
}

// After a cancel was recorded the pointer stays, whatever was on its way.
func TestG4_PointerStaysOnceCancelled(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.until(Train, 1)
	g.steps(2)
	g.control("cancel")
	g.commit()
	before := g.keys[pointerKey(g.plan.id)]
	g.settle()
	if after := g.keys[pointerKey(g.plan.id)]; after.ModRev != before.ModRev {
		t.Error("it moved")
	}
	if len(g.puts) != 0 || g.run().nextSave != nil {
		t.Error("another checkpoint is put")
	}
}

// With every checkpoint gone the run starts at theta_0, comes to the same bits, and its pointer does not go back.
func TestG3_LostCheckpointsCostTimeOnly(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.until(Train, 3)
	was := g.pointer()
	lost := g.objects[was.Key]
	for key := range g.objects {
		delete(g.objects, key)
	}
	g.lead(Config{}, 8)
	g.load()
	for g.run().state.Step < 3 {
		g.until(Train, g.run().state.Step+1)
		if g.pointer() != was {
			t.Fatalf("pointer %+v", g.pointer())
		}
	}
	if !bytes.Equal(g.objects[was.Key], lost) {
		t.Error("the checkpoint that the pointer names is not there again")
	}
}

// What is on its way from before a pause may still become durable; the run that went back does not.
func TestSave_FromBeforeAPause(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.until(Train, 0)
	g.steps(2)
	old := g.puts[0]
	g.puts = nil
	g.control("pause")
	g.commit()
	g.control("resume")
	g.commit()
	g.until(Train, 0)
	g.steps(2)
	g.puts = append([]PutObject{old}, g.puts...)
	g.settle()
	if g.pointer().Step != 2 {
		t.Errorf("pointer %+v", g.pointer())
	}
}

// Every transaction of a run compares all that is recorded of it.
func TestG4_TransactionsCompareTheWholeRun(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	seen := map[string]bool{}
	for g.run().active() {
		for len(g.puts) > 0 {
			g.put()
		}
		for len(g.commits) > 0 {
			txn := g.commits[0].Txn
			seen[txn.Puts[0].Key] = true
			expects := map[string]bool{}
			for _, x := range txn.Expect {
				expects[x.Key] = true
			}
			for _, key := range []string{statusKey(g.plan.id), pointerKey(g.plan.id), decisionsKey(g.plan.id)} {
				if !expects[key] {
					t.Errorf("a transaction on %s does not compare %s", txn.Puts[0].Key, key)
				}
			}
			g.commit()
		}
		if g.run().phase != nil {
			g.send("w", g.lease("w"))
		}
	}
	if !seen[pointerKey(g.plan.id)] || !seen[versionsKey("base")] {
		t.Errorf("saw only %v", seen)
	}
}

// A plan of retention that is carried out late, by a leader since deposed, takes nothing that matters by then.
func TestG4_LateRetentionTakesNothingNewer(t *testing.T) {
	key := func(step int64) string { return checkpoint.CheckpointKey("r", 0, step, Digest([]byte{byte(step)})) }
	var there []checkpoint.Object
	for _, step := range []int64{1, 2, 3, 5, 8, 9, 10} {
		there = append(there, checkpoint.Object{Key: key(step)})
	}
	keys, err := DropCheckpoints{Run: "r", Keep: 2, Pointer: key(3)}.Plan(there)
	if err != nil || len(keys) != 1 || keys[0] != key(1) {
		t.Errorf("plan %v, %v; expected step 1 alone", keys, err)
	}
}

// A leader that died between the pointer and the deletion leaves a checkpoint too many, which the next one finds.
func TestRetentionIsAskedForAgainByTheNextLeader(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.until(Train, 0)
	g.steps(1)
	g.put()
	g.commit()
	g.lead(Config{}, 8)
	g.load()
	for _, e := range g.others {
		if d, ok := e.(DropCheckpoints); ok && d.Pointer == g.pointer().Key && d.Keep == 2 {
			return
		}
	}
	t.Errorf("found effects %+v, expected a plan of retention", g.others)
}

func TestState_RoundTrip(t *testing.T) {
	spec := testSpec()
	full := State{
		Track: 1, Step: 3, BestScore: 0.5, BestStep: 2, Since: 1, Last: &Score{1, 3, 0.75}, Layout: `[{"name":"w","offset":0,"shape":[2]}]`,
		BestScores: []float64{0.25}, BestSteps: []int64{4}, Theta: []float32{1, -2}, Best: []float32{3, 4}, Bests: [][]float32{{5, 6}},
		Opt: &Optimizer{spec: spec.Optimizer, M: []float32{7, 8}, V: []float32{9, 10}},
	}
	ended := State{Track: 1, BestScores: []float64{1}, BestSteps: []int64{1}, Bests: [][]float32{{5, 6}}}
	for _, s := range []State{{}, full, ended} {
		c, err := encodeState(&spec, "d", DecisionsRecord{}, &s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeState(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := encodeState(&spec, "d", DecisionsRecord{}, &back)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := c.Encode()
		second, _, _ := again.Encode()
		if !bytes.Equal(first, second) || back.Step != s.Step || len(back.Bests) != len(s.Bests) {
			t.Errorf("%+v came back as %+v", s, back)
		}
	}
	c, _ := encodeState(&spec, "d", DecisionsRecord{}, &full)
	for i, tensor := range c.Tensors {
		short := c
		short.Tensors = append(append([]checkpoint.Tensor{}, c.Tensors[:i]...), c.Tensors[i+1:]...)
		if tensor.Name == "best" || tensor.Name == "theta" {
			continue // a state may have none; then moments or best alone do not fit
		}
		if _, err := decodeState(short); err == nil {
			t.Errorf("a checkpoint without %s is taken", tensor.Name)
		}
	}
}

func TestState_TieKeepsTheEarlierModel(t *testing.T) {
	s := State{Theta: []float32{1}}
	for _, v := range []float64{2, 2, 1, 1} {
		s.score(v)
		s.Theta[0]++
		s.Step++
	}
	if s.BestStep != 2 || s.Best[0] != 3 || s.Since != 1 {
		t.Errorf("%+v", s)
	}
}
