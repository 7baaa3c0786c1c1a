package metatrain

import (
	"strings"
	"testing"
)

// announceAs announces another result of a lease's work, under the number of a lease, or of none.
func (g *rig) announceAs(worker string, l Lease, lease uint64) uint64 {
	g.t.Helper()
	l.ID = lease
	res, _ := g.result(worker, l)
	res.SHA256 = Digest([]byte(worker))
	return g.ask(res, nil)
}

// Anybody may announce a result: where somebody holds the lease of the work, it waits; and where it came first, who gets
// the lease takes its place.
func TestG5_TransfersBelongToWhoHoldsTheLease(t *testing.T) {
	g := trainRig(t, Config{Window: 1}, nil)
	l := g.lease("a")
	forged := g.announceAs("x", l, l.ID)
	if v := g.verdict(forged); v != "" || len(g.run().phase.transfers) != 0 {
		t.Errorf("x, which holds no lease, is told %q, %d under way", v, len(g.run().phase.transfers))
	}
	if r := g.bring("a", l, 5); r.Verdict != Accepted {
		t.Errorf("a, which holds it, is told %+v", r)
	}
	if v := g.verdict(forged); v != Duplicate {
		t.Errorf("x is told %q in the end", v)
	}

	second := Lease{Work: l.Work, Tasks: l.Tasks}
	second.Work.Node.Index = 1
	early := g.announceAs("y", second, 77) // of an older leader's lease, maybe: nobody else is at it
	if v := g.verdict(early); v != More {
		t.Errorf("y, where nobody is at it, is told %q", v)
	}
	b := g.lease("b")
	if b.Work != second.Work {
		t.Fatalf("b gets %+v, expected shard 1", b.Work)
	}
	if r := g.bring("b", b, 5); r.Verdict != Accepted {
		t.Errorf("b is told %+v", r)
	}
}

// A transfer of who holds no lease is as good, while it takes no room that who holds one needs.
func TestG6_RoomIsThatOfWhoHoldsALease(t *testing.T) {
	g := trainRig(t, Config{Window: 13}, eight) // two may be held or on their way
	ls := g.leases()
	for i, who := range strings.Split("abcdefgh", "") {
		if i > 4 {
			g.ask(Beat{Worker: who, Leaving: true}, nil)
		}
	}
	for i := 5; i < 8; i++ {
		g.announceAs("x", ls[i], 0)
	}
	if n := len(g.run().phase.transfers); n != 2 {
		t.Fatalf("%d transfers under way, expected two", n)
	}
	if v := g.verdict(g.announce("c", ls[2])); v != More {
		t.Errorf("shard 2, whose lease is held, is told %q", v)
	}
	if v := g.send("d", ls[3]); v != Accepted {
		t.Errorf("a whole result under a lease is told %q", v)
	}
	if n := len(g.run().phase.transfers) + g.run().phase.tree.Held(); n != 2 {
		t.Errorf("%d held and under way, expected two", n)
	}
}

// One byte now and then, sent again, keeps no transfer; nor does one sent far ahead take memory.
func TestG5_StrayChunksKeepNoTransfer(t *testing.T) {
	g := newRig(t, Config{}, nil)
	g.submit()
	l := g.lease("a")
	g.ask(Beat{Worker: "a", Leaving: true}, nil)
	res, _ := g.result("x", l)
	res.Total, res.Lease = 200<<20, 0
	for range 3 {
		r := hear[ResultReply](g, res, []byte{1})
		if r.Verdict != More {
			t.Fatalf("told %+v", r)
		}
		g.wait(2000)
	}
	if n := len(g.run().phase.transfers); n != 0 {
		t.Errorf("%d transfers are waited for after six seconds of the same byte", n)
	}
	for _, at := range []int{0, 100 << 20, 199 << 20} {
		res.Offset = at
		hear[ResultReply](g, res, []byte{1})
	}
	if n := cap(g.run().phase.transfers[0].data); n > 64<<20 {
		t.Errorf("%d bytes of memory for two of a result", n)
	}
}

// An announcement in a worker's name, under none of its leases, does not take the place of its own that waits.
func TestG5_AnnouncementsThatWaitKeepTheirPlace(t *testing.T) {
	g := trainRig(t, Config{Window: 1}, eight)
	ls := g.leases()
	g.bring("h", ls[7], 12)
	own := g.announce("g", ls[6])
	g.announceAs("g", ls[6], 0)
	if v := g.verdict(own); v != "" {
		t.Errorf("it is told %q", v)
	}
}

// What nobody holds a lease of and anybody announced is no reason to leave a straggler's shard to it.
func TestG5_ForgedAnnouncementsDoNotHoldOffCopies(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 1 })
	g.run().micros[Train] = 100_000
	l := g.lease("a")
	g.announceAs("x", l, 0)
	g.now += 400
	if _, copied := g.poll("b"); copied == nil {
		t.Error("no copy of the late shard")
	}
}

// Of two that hold a lease of the same work, the second waits while the first one's comes.
func TestG2_CopiesUnderALeaseDoNotMix(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 1 })
	g.run().micros[Train] = 100_000
	first := g.lease("a")
	g.now += 400
	copied := g.lease("b")
	if first.Work != copied.Work {
		t.Fatalf("b gets %+v, expected a copy", copied.Work)
	}
	if v := g.verdict(g.announce("a", first)); v != More {
		t.Errorf("the first is told %q", v)
	}
	if v := g.verdict(g.announce("b", copied)); v != "" {
		t.Errorf("the second is told %q", v)
	}
	if r := g.bring("a", first, 4); r.Verdict != Accepted {
		t.Errorf("the first: %+v", r)
	}
}
