package metatrain

import (
	"math"
	"strings"
	"testing"
)

// G2: a result counts once, for the work at hand and no other.
func TestG2_ResultCountsForItsWorkAlone(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	l := g.lease("a")
	good, payload := g.result("a", l)
	for name, alter := range map[string]func(*Work){
		"run":       func(w *Work) { w.Run = "other" },
		"spec":      func(w *Work) { w.Spec = "other" },
		"kind":      func(w *Work) { w.Kind = Validate },
		"track":     func(w *Work) { w.Track = 1 },
		"step":      func(w *Work) { w.Step = 1 },
		"theta":     func(w *Work) { w.Theta = Digest(nil) },
		"decisions": func(w *Work) { w.Decisions = Digest(nil) },
		"level":     func(w *Work) { w.Node.Level = 1 },
		"index":     func(w *Work) { w.Node.Index = 4 },
		"negative":  func(w *Work) { w.Node.Index = -1 },
	} {
		other := good
		alter(&other.Work)
		other.Lease = 0
		if r := hear[ResultReply](g, other, payload); r.Verdict != Stale {
			t.Errorf("another %s: %s", name, r.Verdict)
		}
	}
	if g.m.leases[l.ID] == nil || g.run().phase.done != 0 {
		t.Fatal("what was refused changed something")
	}
	// Whoever sends it, and whatever it was leased under: its bits are the same.
	good.Worker, good.Lease = "a worker of an older leader", 12345
	if r := hear[ResultReply](g, good, payload); r.Verdict != Accepted {
		t.Errorf("%+v", r)
	}
	if r := hear[ResultReply](g, good, payload); r.Verdict != Duplicate {
		t.Errorf("again: %+v", r)
	}
	if g.m.leases[l.ID] != nil {
		t.Error("the lease outlives its result")
	}
}

func TestG7_MalformedResultIsRefusedAndGoesToAnother(t *testing.T) {
	floats := func(v ...float32) []byte { return EncodeFloats(v) }
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for name, c := range map[string]struct {
		payload []byte
		alter   func(*Result)
		want    string
	}{
		"NaN":      {floats(1, nan, 3), nil, "value 1 is NaN"},
		"Inf":      {floats(1, 2, inf), nil, "value 2 is -Inf"},
		"short":    {floats(1, 2), nil, "vector of 8 bytes, expected 12"},
		"long":     {floats(1, 2, 3, 4), nil, "vector of 16 bytes, expected 12"},
		"digest":   {floats(1, 2, 3), func(r *Result) { r.SHA256 = Digest(nil) }, "payload with SHA-256"},
		"tasks":    {floats(1, 2, 3), func(r *Result) { r.Tasks = 2 }, "result of 2 tasks, expected 1"},
		"none":     {nil, func(r *Result) { r.Tasks = 0 }, "result of 0 tasks, expected 1"},
		"metrics":  {floats(1, 2, 3), func(r *Result) { r.Metrics = []float64{1, 2} }, "2 metrics, expected 1"},
		"nothing":  {floats(1, 2, 3), func(r *Result) { r.Metrics = nil }, "0 metrics, expected 1"},
		"infinite": {floats(1, 2, 3), func(r *Result) { r.Metrics[0] = math.Inf(1) }, "metric 0 is +Inf"},
	} {
		t.Run(name, func(t *testing.T) {
			g := trainRig(t, Config{}, nil)
			l := g.lease("a")
			res, _ := g.result("a", l)
			res.SHA256, res.Total = Digest(c.payload), len(c.payload)
			if c.alter != nil {
				c.alter(&res)
			}
			for range 3 { // repeats count once
				if r := hear[ResultReply](g, res, c.payload); r.Verdict != Refused || !strings.Contains(r.Reason, c.want) {
					t.Fatalf("%+v, expected %q", r, c.want)
				}
			}
			if sh := &g.run().phase.shards[0]; sh.tries != 1 {
				t.Errorf("%d tries", sh.tries)
			}
			if next := g.lease("a"); next.Work == l.Work {
				t.Error("granted to it again")
			}
			if v := g.send("b", g.lease("b")); v != Accepted {
				t.Errorf("the good one is %s", v)
			}
		})
	}
}

func TestG7_MalformedInitIsRefused(t *testing.T) {
	view := `{"name":"w","offset":0,"shape":[3]}`
	for layout, want := range map[string]string{
		`nonsense`: "layout", `[]`: "0 parameters", `[{"name":"w","offset":1,"shape":[2]}]`: "expected 0",
		`[{"name":"w","offset":0,"shape":[2]}]`: "vector of 3", `[{"name":"w","offset":0,"shape":[0]}]`: "shape",
		`[{"name":"w","offset":0,"shape":[1073741824,1073741824,1073741824,4]}]`:    "or more",
		`[{"name":"w","offset":0,"shape":[2]},{"name":"w","offset":2,"shape":[1]}]`: "w",
	} {
		g := newRig(t, Config{}, nil)
		g.submit()
		l := g.lease("a")
		res, payload := g.result("a", l)
		res.Layout = layout
		if r := hear[ResultReply](g, res, payload); r.Verdict != Refused || !strings.Contains(r.Reason, want) {
			t.Errorf("%s: %+v, expected %q", layout, r, want)
		}
		res.Layout, res.Worker = "["+view+"]", "b"
		if r := hear[ResultReply](g, res, payload); r.Verdict != Accepted {
			t.Errorf("%+v", r)
		}
	}
}

func TestG7_MalformedTableIsRefused(t *testing.T) {
	g := newRig(t, Config{}, func(s *RunSpec) { s.Evaluation.Table = true })
	g.submit()
	g.until(Evaluate, -1)
	for _, table := range []string{"", "[]", "7", "{"} {
		l := g.lease("x" + table)
		res := Result{Worker: "x" + table, Lease: l.ID, Work: l.Work, Tasks: 1, SHA256: Digest([]byte(table))}
		if r := hear[ResultReply](g, res, []byte(table)); r.Verdict != Refused {
			t.Errorf("table %q: %+v", table, r)
		}
	}
	g.finish()
	if g.state() != Finished {
		t.Errorf("the run is %s", g.state())
	}
}

// Sums can overflow where no summand does; such numbers reach neither the base model nor a JSON text.
func TestG7_OverflowEndsTheRunWithItsReason(t *testing.T) {
	for name, spoil := range map[string]func(*Result) []byte{
		"vector": func(r *Result) []byte { return EncodeFloats([]float32{0, math.MaxFloat32, 0}) },
	} {
		g := trainRig(t, Config{}, func(s *RunSpec) { s.Optimizer.Name = "sgd" })
		for range 4 {
			l := g.lease("a")
			res, _ := g.result("a", l)
			payload := spoil(&res)
			res.SHA256 = Digest(payload)
			if r := hear[ResultReply](g, res, payload); r.Verdict != Accepted {
				t.Fatalf("%+v", r)
			}
		}
		g.settle()
		if s := g.run().status.val; s.State != Failed || !strings.Contains(s.Reason, "lower optimizer.rate, or learner.rate") {
			t.Errorf("%s: %+v", name, s)
		}
		g.control("resume")
		g.settle()
		g.finish()
		if g.state() != Finished {
			t.Errorf("%s: resumed it is %s", name, g.state())
		}
	}
}

// A metric too large to be summed and divided on is refused like infinity.
func TestG7_MetricBeyondFloat32IsRefused(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	l := g.lease("a")
	res, payload := g.result("a", l)
	res.Metrics[0] = 1e300
	if r := hear[ResultReply](g, res, payload); r.Verdict != Refused {
		t.Errorf("%+v", r)
	}
}

// G6: beyond the window results wait at their workers, but for the lowest shard, which lets the tree go on.
func TestG6_WindowHoldsAndLowestHasRoom(t *testing.T) {
	g := trainRig(t, Config{Window: 1}, func(s *RunSpec) { s.MetaBatch = 8 })
	var ls []Lease
	for _, who := range strings.Split("abcdefgh", "") {
		ls = append(ls, g.lease(who))
	}
	want := map[int]Verdict{4: Accepted, 6: Hold, 2: Hold, 0: Accepted, 3: Hold, 1: Accepted}
	for _, i := range []int{4, 6, 2, 0, 3, 1} {
		if v := g.send("x", ls[i]); v != want[i] {
			t.Errorf("shard %d is %s, expected %s", i, v, want[i])
		}
	}
	for _, i := range []int{2, 3, 5, 6, 7} {
		g.send("x", ls[i])
	}
	if g.run().state.Step != 1 {
		t.Errorf("at step %d", g.run().state.Step)
	}
}

// A result held for want of room keeps its lease past its deadline: nobody computes it again.
func TestG6_HeldResultKeepsItsLease(t *testing.T) {
	g := trainRig(t, Config{Window: 1, FirstDeadlineMS: 2000}, func(s *RunSpec) { s.MetaBatch = 4 })
	g.run().micros = map[Kind]float64{}
	ls := []Lease{g.lease("a"), g.lease("b"), g.lease("c")}
	g.send("b", ls[1])
	for range 8 {
		g.wait(500)
		g.ask(Beat{Worker: "a", Leases: []uint64{ls[0].ID}}, nil)
		if l := g.m.leases[ls[0].ID]; l != nil {
			l.deadline = g.now + 2000
		}
		if v := g.send("c", ls[2]); v != Hold {
			t.Fatalf("verdict %s", v)
		}
	}
	if g.m.leases[ls[2].ID] == nil {
		t.Error("its lease is gone")
	}
}

// Workers full of held results ask for nothing; if the lowest shard has nobody, one result is given up for it.
func TestG5_HeldResultsGiveWayToLowestShard(t *testing.T) {
	g := trainRig(t, Config{Window: 1}, func(s *RunSpec) { s.MetaBatch = 4 })
	dead := g.lease("a")
	first := g.lease("b")
	second := g.lease("b", first.ID)
	g.send("b", first)
	third := g.lease("b", second.ID)
	if v := g.send("b", second); v != Hold {
		t.Fatalf("verdict %s", v)
	}
	for range 4 {
		g.wait(400)
		g.ask(Beat{Worker: "b", Leases: []uint64{second.ID, third.ID}}, nil)
	}
	if v := g.send("b", second); v != Stale {
		t.Fatalf("verdict %s while the lowest shard has nobody", v)
	}
	if l := g.lease("b", third.ID); l.Work != dead.Work {
		t.Errorf("b got %+v", l.Work)
	}
}

// What a message holds stays its sender's: it may be sent again.
func TestG2_MessageIsNotWrittenTo(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	l := g.lease("a")
	res, payload := g.result("a", l)
	metric, sum := res.Metrics[0], Digest(payload)
	hear[ResultReply](g, res, payload)
	g.until(Train, 1)
	if res.Metrics[0] != metric || Digest(payload) != sum {
		t.Error("the result changed")
	}
}

func FuzzLayout(f *testing.F) {
	f.Add(`[{"name":"w","offset":0,"shape":[2,1]},{"name":"b","offset":2,"shape":[1]}]`, []byte{0, 0, 128, 63, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, layout string, data []byte) {
		theta, err := DecodeFloats(data, len(data)/4)
		if err != nil || checkLayout(layout, theta) != nil {
			return
		}
		views, _ := DecodeLayout(layout)
		n := 0
		for _, v := range views {
			n += v.Len()
		}
		if n != len(theta) {
			t.Errorf("layout %q of %d values taken for %d", layout, n, len(theta))
		}
	})
}
