package metatrain

import (
	"strings"
	"testing"
)

// trainRig is at its first training step: four shards of one task.
func trainRig(t *testing.T, cfg Config, alter func(*RunSpec)) *rig {
	t.Helper()
	cfg.ShardTasks = 1
	g := newRig(t, cfg, alter)
	g.submit()
	g.until(Train, 0)
	g.m.workers = map[string]*worker{} // forget who made theta_0
	return g
}

func TestLedger_NeverTwoCopiesToOneWorker(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	a := g.lease("a")
	b := g.lease("a", a.ID)
	if a.Work.Node == b.Work.Node {
		t.Fatalf("both are %+v", a.Work.Node)
	}
	req, l := g.poll("a", a.ID, b.ID)
	if l != nil {
		t.Fatalf("a third lease: %+v", l)
	}
	said[LeaseReply](g, req) // at once: it holds what it may
}

func TestLedger_IdleComeBeforePrefetch(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 2 })
	a, b := g.lease("a"), g.lease("b")
	spare, l := g.poll("a", a.ID)
	if l != nil {
		t.Fatalf("nothing is left, got %+v", l)
	}
	idle, _ := g.poll("c")
	for range 4 { // b is silent
		g.wait(400)
		g.ask(Beat{Worker: "a", Leases: []uint64{a.ID}}, nil)
	}
	if l := g.granted(idle); l == nil || l.Work != b.Work || g.granted(spare) != nil {
		t.Errorf("idle c got %+v, a, who asked before it, %+v", l, g.granted(spare))
	}
}

// At the end of a step the last shard is left to a worker that will ask in a moment.
func TestLedger_LastShardIsNotFetchedAhead(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 2 })
	g.m.workers["b"] = &worker{id: "b", leases: map[uint64]*lease{}, seen: g.now}
	a := g.lease("a")
	spare, l := g.poll("a", a.ID)
	if l != nil {
		t.Fatalf("a fetched %+v ahead of idle b", l)
	}
	g.wait(600) // b is not heard of any more
	if g.granted(spare) == nil {
		t.Error("nobody else is there, and the shard waits")
	}
}

// Each begins a step with the shard it began the last one with, whoever asks first: it may have drawn its tasks already.
func TestLedger_WorkersKeepTheirShards(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 2 })
	a, b := g.lease("a"), g.lease("b")
	g.send("a", a)
	g.send("b", b)
	g.until(Train, 1)
	if again := g.lease("b"); again.Work.Step != 1 || again.Work.Node != b.Work.Node {
		t.Errorf("b got %+v after %+v", again.Work, b.Work)
	}
	if other := g.lease("c"); other.Work.Node != a.Work.Node {
		t.Errorf("c got %+v, expected what is left, %+v", other.Work, a.Work)
	}
}

func TestLedger_HelloThatLostItsLease(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	first := g.lease("a") // the answer is lost on the way
	again := g.lease("a")
	if first.Work != again.Work || first.ID == again.ID || g.m.leases[first.ID] != nil {
		t.Errorf("%+v then %+v", first, again)
	}
}

// A hello that was repeated or overtaken on the way must not take back what the latest one was given.
func TestLedger_OvertakenHelloChangesNothing(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	hello := Hello{Worker: "a", Protocol: Protocol, Contract: Contract, WaitMS: 1000, Seq: 2}
	l := g.granted(g.ask(hello, nil))
	for seq := range uint64(3) {
		hello.Seq = seq
		if seq > 0 && g.granted(g.ask(hello, nil)) != nil {
			t.Errorf("hello %d got a lease", seq)
		}
	}
	if g.m.leases[l.ID] == nil {
		t.Error("the lease is gone")
	}
	hello.Seq = 3
	if g.granted(g.ask(hello, nil)) == nil || g.m.leases[l.ID] != nil {
		t.Error("the next hello, which does not hold it, says that it was lost")
	}
}

func TestLedger_DeadWorkersShardGoesToAnother(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 1 })
	dead := g.lease("a")
	req, _ := g.poll("b")
	g.wait(1400)
	if g.granted(req) != nil {
		t.Fatal("taken away before three beats were missed")
	}
	g.wait(200)
	l := g.granted(req)
	if l == nil || l.Work != dead.Work {
		t.Fatalf("b got %+v", l)
	}
	g.wait(10_000)
	if g.m.workers["a"] != nil {
		t.Error("a is remembered for ever")
	}
}

// A worker that waited for long in its poll is not silent: its lease counts from the grant.
func TestLedger_LongPollIsNoSilence(t *testing.T) {
	g := newRig(t, Config{}, nil)
	req, _ := g.poll("a")
	g.wait(5000)
	g.submit()
	l := g.granted(req)
	if l == nil {
		t.Fatal("no lease")
	}
	g.wait(400)
	if ack := hear[Ack](g, Beat{Worker: "a", Leases: []uint64{l.ID}}, nil); len(ack.Drop) > 0 {
		t.Errorf("told to drop what was just granted: %v", ack.Drop)
	}
}

func TestLedger_BeatKeepsAndDrops(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 2 })
	g.run().micros = map[Kind]float64{Train: 1} // five seconds, the least there is
	l := g.lease("a")
	for range 9 {
		g.wait(500)
		if ack := hear[Ack](g, Beat{Worker: "a", Leases: []uint64{l.ID, 77}}, nil); len(ack.Drop) != 1 || ack.Drop[0] != 77 {
			t.Fatalf("drop %v", ack.Drop)
		}
	}
	for range 2 { // the deadline ends it, beats or not
		g.wait(500)
		g.ask(Beat{Worker: "a", Leases: []uint64{l.ID}}, nil)
	}
	if ack := hear[Ack](g, Beat{Worker: "a", Leases: []uint64{l.ID}}, nil); len(ack.Drop) != 1 {
		t.Error("the lease outlives its deadline")
	}
	if next := g.lease("b"); next.Work != l.Work || next.DeadlineMS != 2*l.DeadlineMS {
		t.Errorf("granted %+v, expected the same work for twice as long", next)
	}
	if ack := hear[Ack](g, Beat{Worker: "stranger", Leases: []uint64{5}}, nil); len(ack.Drop) != 1 {
		t.Errorf("an unknown worker keeps %v", ack)
	}
}

func TestLedger_GrantThatNeverArrived(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	a := g.lease("a")
	lost := g.lease("a", a.ID)
	for range 3 {
		g.wait(500)
		g.ask(Beat{Worker: "a", Leases: []uint64{a.ID}}, nil)
	}
	if g.m.leases[lost.ID] != nil || g.m.leases[a.ID] == nil {
		t.Error("what the worker does not speak of is lost, what it speaks of is kept")
	}
}

func TestLedger_LateShardIsCopiedOnce(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 1 })
	g.run().micros[Train] = 100_000 // 100 ms a task
	slow := g.lease("a")
	beat := func() { g.ask(Beat{Worker: "a", Leases: []uint64{slow.ID}}, nil) }
	req, _ := g.poll("b")
	g.wait(100)
	beat()
	if g.granted(req) != nil {
		t.Fatal("copied too early")
	}
	g.wait(100)
	beat()
	copied := g.granted(req)
	if copied == nil || copied.Work != slow.Work {
		t.Fatalf("no copy of the late shard: %v", copied)
	}
	if _, l := g.poll("c"); l != nil {
		t.Error("a second copy")
	}
	if v := g.send("b", *copied); v != Accepted {
		t.Errorf("the copy is %s", v)
	}
	if _, again := g.m.leases[slow.ID]; again {
		t.Error("the first one's lease outlives the result")
	}
}

func TestG7_UnfitWorkerIsToldWhy(t *testing.T) {
	g := trainRig(t, Config{}, nil)
	for want, h := range map[string]Hello{
		"protocol 9": {Worker: "a", Protocol: 9, Contract: Contract},
		"lane/0":     {Worker: "a", Protocol: Protocol, Contract: "lane/0"},
		"empty":      {Protocol: Protocol, Contract: Contract},
	} {
		if r := hear[LeaseReply](g, h, nil); !strings.Contains(r.Refused, want) || len(r.Leases) > 0 {
			t.Errorf("%+v: %+v", h, r)
		}
	}
}

func TestLedger_PollEndsInTime(t *testing.T) {
	g := newRig(t, Config{}, nil)
	req := g.ask(Hello{Worker: "a", Protocol: Protocol, Contract: Contract, WaitMS: 1000}, nil)
	g.wait(900)
	if _, early := g.replies[req]; early {
		t.Fatal("answered early")
	}
	g.wait(200)
	if len(said[LeaseReply](g, req).Leases) > 0 || g.m.polls.live > 0 {
		t.Error("the poll stays")
	}
}

// A failure that may pass is not tried again at once, and not for ever.
func TestLedger_TransientFailureRestsAndEnds(t *testing.T) {
	g := trainRig(t, Config{}, func(s *RunSpec) { s.MetaBatch = 1; s.StallSeconds = 1000 })
	for n := 0; g.state() == Active && n < 50; n++ {
		l := g.lease("a")
		g.ask(Failure{Worker: "a", Lease: l.ID, Work: l.Work, Task: -1, Text: "no memory", Transient: true}, nil)
		if req, l := g.poll("a"); l != nil {
			t.Fatalf("request %d leased again at once", req)
		}
		g.wait(5100)
		g.settle()
	}
	if s := g.run().status.val; s.State != Failed || !strings.Contains(s.Reason, "no memory") || g.now < 30_000 {
		t.Errorf("%+v after %d ms", s, g.now)
	}
}
