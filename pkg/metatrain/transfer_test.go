package metatrain

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// announce offers a result without its bytes; the answer may come later.
func (g *rig) announce(worker string, l Lease) uint64 {
	g.t.Helper()
	res, _ := g.result(worker, l)
	return g.ask(res, nil)
}

// verdict of an announcement, "" while it waits.
func (g *rig) verdict(req uint64) Verdict {
	reply, ok := g.replies[req]
	if !ok {
		return ""
	}
	return reply.Msg.(ResultReply).Verdict
}

// bring sends a result in chunks of so many bytes, to its verdict.
func (g *rig) bring(worker string, l Lease, chunk int) ResultReply {
	g.t.Helper()
	res, payload := g.result(worker, l)
	for {
		r := hear[ResultReply](g, res, payload[res.Offset:min(len(payload), res.Offset+chunk)])
		if r.Verdict != More {
			return r
		}
		res.Offset = r.Offset
	}
}

func eight(s *RunSpec) { s.MetaBatch = 8 }

// leases gives each of the workers "a" to "h" the next shard.
func (g *rig) leases() (ls []Lease) {
	g.t.Helper()
	for _, who := range strings.Split("abcdefgh", "") {
		ls = append(ls, g.lease(who))
	}
	return ls
}

// G6: what is on its way counts as what is held does, and room goes to the lowest leaf, whoever asked first.
func TestG6_AnnouncementsWaitForRoomAndTheLowestGoesFirst(t *testing.T) {
	g := trainRig(t, Config{Window: 13}, eight) // a vector is 12 bytes: two may be held or on their way
	ls := g.leases()
	asked := map[int]uint64{}
	say := func(i int) { asked[i] = g.announce(string(rune('a'+i)), ls[i]) }
	expect := func(when string, want map[int]Verdict) {
		t.Helper()
		for i, v := range want {
			if found := g.verdict(asked[i]); found != v {
				t.Errorf("%s: shard %d is told %q, expected %q", when, i, found, v)
			}
		}
	}
	for _, i := range []int{5, 2, 7, 6, 3} {
		say(i)
	}
	expect("with room for two", map[int]Verdict{5: More, 2: More, 7: "", 6: "", 3: ""})
	say(0)
	expect("the lowest always has room", map[int]Verdict{0: More})
	for _, i := range []int{5, 2, 0} {
		if r := g.bring(string(rune('a'+i)), ls[i], 5); r.Verdict != Accepted {
			t.Fatalf("shard %d: %+v", i, r)
		}
	}
	expect("with 0, 2 and 5 held", map[int]Verdict{7: "", 6: "", 3: ""})
	say(1)
	g.bring("b", ls[1], 5) // joins 0, then lone: [0,2), 2 and 5 are held
	expect("3 is the lowest now", map[int]Verdict{3: More, 6: "", 7: ""})
	g.bring("d", ls[3], 5) // [0,4) and 5
	expect("none is the lowest", map[int]Verdict{6: "", 7: ""})
	say(4)
	g.bring("e", ls[4], 5) // [0,4) and [4,6) are held
	expect("6 is the lowest", map[int]Verdict{6: More, 7: ""})
	g.bring("g", ls[6], 12)
	expect("7 is the lowest", map[int]Verdict{7: More})
	g.bring("h", ls[7], 12)
	if g.run().state.Step != 1 {
		t.Errorf("at step %d", g.run().state.Step)
	}
}

// Of two that wait and neither of which is the lowest, the lower one goes first though it asked later.
func TestG6_RoomGoesToTheLowerLeaf(t *testing.T) {
	g := trainRig(t, Config{Window: 13}, eight)
	ls := g.leases()
	for _, i := range []int{7, 6} {
		g.announce(string(rune('a'+i)), ls[i])
	}
	late, early := g.announce("f", ls[5]), g.announce("e", ls[4])
	if g.verdict(late) != "" || g.verdict(early) != "" {
		t.Fatal("there was no room")
	}
	g.ask(Beat{Worker: "h", Leaving: true}, nil) // what it was sending comes no more
	if g.verdict(early) != More || g.verdict(late) != "" {
		t.Errorf("shard 4 is told %q, shard 5 %q", g.verdict(early), g.verdict(late))
	}
}

// Whatever the chunks, and whichever are lost or repeated on the way, what counts is the bytes sent.
func TestG2_TransfersGiveTheBytesSent(t *testing.T) {
	var want []float32
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 3))
		g := trainRig(t, Config{Window: 1}, nil)
		for range 4 {
			l := g.lease("a")
			res, payload := g.result("a", l)
			verdict := More
			for verdict == More { // chunks in any order, overlapping, of any length
				if res.Offset = rng.IntN(len(payload) + 1); rng.IntN(3) == 0 {
					res.Offset = 0
				}
				part := payload[res.Offset:min(len(payload), res.Offset+rng.IntN(6))]
				if !res.inParts(part) {
					continue
				}
				r := hear[ResultReply](g, res, part)
				if verdict = r.Verdict; verdict == More && rng.IntN(3) == 0 {
					res.Offset = r.Offset
					verdict = hear[ResultReply](g, res, payload[res.Offset:min(len(payload), res.Offset+1+rng.IntN(6))]).Verdict
				}
			}
			if verdict != Accepted {
				t.Fatalf("seed %d: %s", seed, verdict)
			}
		}
		if want == nil {
			want = g.run().state.Theta
		}
		if Digest(EncodeFloats(g.run().state.Theta)) != Digest(EncodeFloats(want)) || g.run().state.Step != 1 {
			t.Fatalf("seed %d: other parameters after step %d", seed, g.run().state.Step)
		}
	}
}

// What is wrong is refused with the announcement, before a byte of it comes; nonsense costs no memory.
func TestG7_MalformedAnnouncementsAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		alter func(*Result)
		want  string
	}{
		"short":    {func(r *Result) { r.Total = 8 }, "8 bytes announced, expected 12 to 12"},
		"long":     {func(r *Result) { r.Total = math.MaxInt }, "expected 12 to 12"},
		"negative": {func(r *Result) { r.Total, r.Offset = -1, 1 }, "expected 12 to 12"},
		"tasks":    {func(r *Result) { r.Tasks = 2 }, "result of 2 tasks, expected 1"},
		"metrics":  {func(r *Result) { r.Metrics = nil }, "0 metrics, expected 1"},
	} {
		g := trainRig(t, Config{}, nil)
		l := g.lease("a")
		res, _ := g.result("a", l)
		c.alter(&res)
		if r := hear[ResultReply](g, res, nil); r.Verdict != Refused || !strings.Contains(r.Reason, c.want) {
			t.Errorf("%s: %+v, expected %q", name, r, c.want)
		}
		if len(g.run().phase.transfers) != 0 {
			t.Errorf("%s: it was begun", name)
		}
	}
	g := newRig(t, Config{}, nil)
	g.submit()
	res, _ := g.result("a", g.lease("a"))
	res.Total = maxWhole + 1
	if r := hear[ResultReply](g, res, nil); r.Verdict != Refused {
		t.Errorf("theta_0 of %d bytes: %+v", res.Total, r)
	}
}

// Chunks that lie beyond what was announced are passed over; a digest that is not that of the bytes is found at the end.
func TestG7_HostileChunks(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	l := g.lease("a")
	res, payload := g.result("a", l)
	for _, offset := range []int{-1, math.MinInt, 13, math.MaxInt, 1 << 40, 1} {
		res.Offset = offset
		if r := hear[ResultReply](g, res, payload); r.Verdict != More || r.Offset != 0 {
			t.Errorf("offset %d: %+v", offset, r)
		}
	}
	res.Offset = 0
	hear[ResultReply](g, res, payload[:8])
	res.Offset = 8
	if r := hear[ResultReply](g, res, []byte{1, 2, 3, 4}); r.Verdict != Refused || !strings.Contains(r.Reason, "payload with SHA-256") {
		t.Errorf("other bytes: %+v", r)
	}
	if v := g.send("b", g.lease("b")); v != Accepted {
		t.Errorf("the good one is %s", v)
	}
}

// A sender that falls silent gives its room back: at once where its lease ends, else after a while.
func TestG5_TransfersOfTheSilentAreGivenUp(t *testing.T) {
	g := trainRig(t, Config{Window: 1}, nil)
	a, b := g.lease("a"), g.lease("b")
	if v := g.verdict(g.announce("b", b)); v != More {
		t.Fatalf("verdict %s", v)
	}
	g.wait(1700) // three beats missed
	if n := len(g.run().phase.transfers); n != 0 {
		t.Errorf("%d transfers under way, expected none", n)
	}
	res, payload := g.result("x", a)
	res.Lease = 77 // of an older leader's
	hear[ResultReply](g, res, payload[:4])
	if g.wait(4000); len(g.run().phase.transfers) != 1 {
		t.Error("given up too soon")
	}
	if g.wait(1500); len(g.run().phase.transfers) != 0 {
		t.Error("it is waited for still")
	}
	res.Offset = 4 // it was not dead
	if r := hear[ResultReply](g, res, payload[4:]); r.Verdict != More || r.Offset != 0 {
		t.Errorf("%+v, expected to begin again", r)
	}
}

// Announcements that wait: made again after a while, ended with their work, and given up where the lowest shard has nobody.
func TestG5_AnnouncementsThatWaitAreAnswered(t *testing.T) {
	begin := func() (*rig, []Lease) {
		g := trainRig(t, Config{Window: 1}, eight)
		ls := g.leases()
		g.bring("h", ls[7], 12)
		return g, ls
	}
	alive := func(g *rig, ls []Lease, but string) {
		for i, who := range strings.Split("abcdefg", "") {
			if who != but {
				g.ask(Beat{Worker: who, Leases: []uint64{ls[i].ID}}, nil)
			}
		}
	}
	g, ls := begin()
	req := g.announce("g", ls[6])
	g.wait(800)
	if v := g.verdict(req); v != "" {
		t.Errorf("after 0.8 s it is told %q", v)
	}
	alive(g, ls, "")
	g.wait(300)
	if v := g.verdict(req); v != Hold {
		t.Errorf("after 1.1 s it is told %q", v)
	}

	g, ls = begin()
	req = g.announce("g", ls[6])
	again := g.announce("g", ls[6])
	if v := g.verdict(req); v != Hold || g.verdict(again) != "" {
		t.Errorf("made again: the first is told %q, the second %q", v, g.verdict(again))
	}
	if v := g.send("x", ls[0]); v != Accepted {
		t.Fatal(v)
	}
	g.control("pause")
	g.settle()
	if v := g.verdict(again); v != Stale {
		t.Errorf("paused: it is told %q", v)
	}

	g, ls = begin()
	g.announce("g", ls[6])
	g.announce("f", ls[5])
	for range 3 {
		g.wait(300)
		alive(g, ls, "a")
	}
	higher, lower := g.announce("g", ls[6]), g.announce("f", ls[5])
	g.wait(500)
	alive(g, ls, "a")
	g.wait(200)
	if v := g.verdict(higher); v != Stale {
		t.Errorf("the lowest shard has nobody: the highest that waits is told %q (the other %q)", v, g.verdict(lower))
	}
}

// A copy's result does not come a second time while the first is on its way, and what it overtakes ends.
func TestG2_CopiesOnTheWay(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	l := g.lease("a")
	first := g.announce("a", l)
	other := l
	other.ID = 0
	copied := g.announce("b", other)
	if g.verdict(first) != More || g.verdict(copied) != "" {
		t.Fatalf("the first is told %q, the copy %q", g.verdict(first), g.verdict(copied))
	}
	if v := g.send("c", other); v != Accepted { // it came whole
		t.Fatalf("verdict %s", v)
	}
	if v := g.verdict(copied); v != Duplicate || len(g.run().phase.transfers) != 0 {
		t.Errorf("the copy is told %q, %d transfers under way", v, len(g.run().phase.transfers))
	}
	if r := g.bring("a", l, 4); r.Verdict != Duplicate {
		t.Errorf("the first: %+v", r)
	}
}

// While a result waits for room nobody is given a copy of its shard: it is done.
func TestAnnouncedShardsAreNotCopied(t *testing.T) {
	g := trainRig(t, Config{Window: 1}, nil)
	g.run().micros = map[Kind]float64{Train: 1000}
	ls := []Lease{g.lease("a"), g.lease("b"), g.lease("c"), g.lease("d")}
	g.bring("b", ls[1], 12)
	for i, who := range map[int]string{0: "a", 2: "c", 3: "d"} {
		g.announce(who, ls[i])
	}
	g.now += 300
	if _, l := g.poll("idle"); l != nil {
		t.Errorf("granted a copy of shard %d", l.Work.Node.Index)
	}
}
