package metatrain

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// atPublication is a rig whose run has nothing left to compute; its last checkpoint is durable.
func atPublication(t *testing.T, alter func(*RunSpec)) *rig {
	t.Helper()
	g := newRig(t, Config{}, alter)
	g.submit()
	for g.run().phase != nil {
		g.send("w", g.lease("w"))
		for g.run().phase != nil && len(g.puts)+len(g.commits) > 0 {
			if len(g.puts) > 0 {
				g.put()
			} else {
				g.commit()
			}
		}
	}
	return g
}

func (g *rig) versions() []VersionRecord {
	return read[VersionsRecord](g.keys[versionsKey("base")].Value).Versions
}

// Get makes a rig the store that its version is read from.
func (g *rig) Get(_ context.Context, key string) ([]byte, error) {
	if data, ok := g.objects[key]; ok {
		return data, nil
	}
	return nil, checkpoint.ErrNotFound
}

func TestPublish_VersionIsWholeAndTellsItsOrigin(t *testing.T) {
	g := atPublication(t, func(s *RunSpec) { s.Evaluation = EvaluationSpec{Table: true, Pooled: true} })
	g.settle()
	man, err := checkpoint.VerifyVersion(context.Background(), g, "base", 1)
	if err != nil {
		t.Fatal(err)
	}
	if man.Run != g.plan.id || man.SpecDigest != g.plan.spec.Digest() || man.Created == "" || man.Metrics["pooled_validation"] == 0 {
		t.Errorf("%+v", man)
	}
	models, table := g.plan.serial(DecisionsRecord{})
	for name, want := range map[string][]byte{checkpoint.ModelFile: models[0], checkpoint.PooledFile: models[1], EvaluationFile: table} {
		if string(g.objects["models/base/1/"+name]) != string(want) {
			t.Errorf("%s differs from a serial run's", name)
		}
	}
	if config := string(g.objects["models/base/1/config.json"]); !strings.Contains(config, `"rate": 0.5`) {
		t.Errorf("config without comparators: %s", config)
	}
	if s := hear[Answer](g, Question{Run: g.plan.id}, nil).Runs[0]; s.State != Finished || s.Version != 1 {
		t.Errorf("%+v", s)
	}
	if g.run().state.Bests != nil {
		t.Error("a finished run holds parameters")
	}
}

// A leader that takes over at any instant of a publication writes the same bytes under the same number.
func TestG3_PublicationByTwoLeaders(t *testing.T) {
	for cut := range 12 {
		g := atPublication(t, nil)
		for n := 0; n < cut && len(g.puts)+len(g.commits) > 0; n++ {
			if len(g.commits) > 0 {
				g.commit()
			} else {
				g.put()
			}
		}
		before := maps.Clone(g.objects)
		g.now += 50_000 // the second one's clock says another time
		g.lead(Config{}, 8)
		g.finish()
		for key, data := range before {
			if string(g.objects[key]) != string(data) {
				t.Errorf("cut %d: %s is written with other bytes", cut, key)
			}
		}
		if v := g.versions(); len(v) != 1 || !v[0].Published || g.state() != Finished {
			t.Errorf("cut %d: %+v, %s", cut, v, g.state())
		}
	}
}

// Paused and resumed while the allotment waits its turn, the run has no state at that moment.
func TestPublish_WaitsForTheStateAfterResume(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.until(Validate, g.plan.spec.Steps)
	g.settle()
	l := g.lease("w")
	g.control("pause")
	g.control("resume")
	g.send("w", l) // its publication comes after both
	for len(g.commits) > 0 {
		g.commit()
	}
	if len(g.versions()) != 0 {
		t.Error("allotted before the state is back")
	}
	g.finish()
	if len(g.versions()) != 1 || g.state() != Finished {
		t.Errorf("%+v, %s", g.versions(), g.state())
	}
}

func TestG4_CancelledRunGetsNoNumber(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.until(Validate, g.plan.spec.Steps)
	g.settle()
	l := g.lease("w")
	g.control("cancel")
	g.send("w", l)
	g.settle()
	if len(g.versions()) != 0 || g.state() != Cancelled {
		t.Errorf("%+v, %s", g.versions(), g.state())
	}
}

func TestG3_CancelledPublicationHasNoManifest(t *testing.T) {
	g := atPublication(t, nil)
	for len(g.versions()) == 0 {
		g.commit()
	}
	g.put() // one file
	g.control("cancel")
	for len(g.commits) > 0 {
		g.commit()
	}
	g.settle()
	keys := slices.Sorted(maps.Keys(g.objects))
	if slices.Contains(keys, "models/base/1/manifest.json") || g.versions()[0].Published {
		t.Errorf("objects %v, %+v", keys, g.versions())
	}
	// The number is used up; the next run gets the next one.
	g.plan.spec.Seed++
	g.plan.id = g.plan.spec.RunID(0)
	g.submit()
	g.finish()
	if v := g.versions(); len(v) != 2 || v[1].N != 2 || !v[1].Published {
		t.Errorf("%+v", v)
	}
}

// G5: a store that takes no version is asked again, said to be awaited, and ends the run with that reason.
func TestG5_PublicationThatCannotEndIsPaused(t *testing.T) {
	g := atPublication(t, nil)
	for len(g.puts) == 0 || strings.Contains(g.puts[0].Key, "ckpt") {
		if len(g.commits) > 0 {
			g.commit()
		} else {
			g.put()
		}
	}
	for g.now < 100_000 && len(g.puts) > 0 {
		g.wait(1000)
		g.step(Done{ID: g.puts[0].ID, Outcome: Failing, Text: "disk full"})
		g.puts = g.puts[1:]
		for len(g.commits) > 0 {
			g.commit()
		}
	}
	if s := g.run().status.val; s.State != Paused || !strings.Contains(s.Reason, "disk full") {
		t.Fatalf("%+v after %d ms", s, g.now)
	}
	g.control("resume")
	g.settle()
	g.finish()
	if g.state() != Finished || g.versions()[0].N != 1 || len(g.versions()) != 1 {
		t.Errorf("%s, %+v", g.state(), g.versions())
	}
}

func TestFetch_ServesWhatIsAtHand(t *testing.T) {
	g := newRig(t, Config{}, func(s *RunSpec) { s.Evaluation = EvaluationSpec{Table: true, Pooled: true} })
	g.submit()
	g.until(Evaluate, -1)
	p := g.run().phase
	for want, f := range map[string]Fetch{
		string(p.theta): {Theta: p.work.Theta}, string(p.theta[4:]): {Theta: p.work.Theta, Offset: 4}, string(p.pooled): {Theta: p.pooledDigest},
		string(g.run().specBytes): {Spec: g.plan.id}, "": {Theta: p.work.Theta, Offset: 1 << 40},
	} {
		req := g.ask(f, nil)
		if reply := g.replies[req]; string(reply.Payload) != want || reply.Msg.(Chunk).Absent {
			t.Errorf("%+v: %+v", f, reply)
		}
	}
	for _, f := range []Fetch{{Theta: Digest(nil)}, {Spec: "nobody"}, {}} {
		if !hear[Chunk](g, f, nil).Absent {
			t.Errorf("%+v is there", f)
		}
	}
}

func TestG5_StalledRunIsPausedAndSaysWhoItWaitedFor(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	g.wait(60_200)
	g.settle()
	if s := g.run().status.val; s.State != Paused || !strings.Contains(s.Reason, "init of step 0: a worker (none is known) since 60") {
		t.Errorf("%+v", s)
	}
	g.control("resume")
	g.settle()
	g.wait(50_000)
	l := g.lease("slow")
	for range 30 {
		g.wait(500)
		g.ask(Beat{Worker: "slow", Leases: []uint64{l.ID}}, nil)
	}
	if len(g.commits) != 1 {
		t.Fatalf("%d transactions; said once", len(g.commits))
	}
	g.settle()
	if s := g.run().status.val; !strings.Contains(s.Reason, "step 0: slow since") {
		t.Errorf("%+v", s)
	}
}

func TestStatus_NamesFewWaitsAndFitsAFrame(t *testing.T) {
	g := newRig(t, Config{ShardTasks: 1}, func(s *RunSpec) { s.MetaBatch = 64 })
	g.submit()
	g.until(Train, 0)
	for i := range 64 {
		g.lease(strings.Repeat("x", 190) + string(rune('0'+i)))
	}
	s := hear[Answer](g, Question{}, nil).Runs[0]
	if len(s.Waits) != maxWaits || s.Phase != Train || s.Workers != 65 {
		t.Errorf("%d waits, %+v", len(s.Waits), s)
	}
}

// A store that outlived its etcd holds versions nobody has on record: the run takes the next number that is free, and
// what is there stays as it is.
func TestG3_PublicationNeverWritesOver(t *testing.T) {
	g := atPublication(t, nil)
	g.objects["models/base/1/manifest.json"] = []byte("another version 1")
	g.objects["models/base/2/model.safetensors"] = []byte("another version 2")
	g.settle()
	if v := g.versions(); len(v) != 1 || v[0].N != 3 || !v[0].Published || g.state() != Finished {
		t.Fatalf("%+v, run %s", v, g.state())
	}
	if got := string(g.objects["models/base/1/manifest.json"]); got != "another version 1" {
		t.Errorf("version 1 was written over: %q", got)
	}
	if _, err := checkpoint.VerifyVersion(context.Background(), g, "base", 3); err != nil {
		t.Error(err)
	}
}
