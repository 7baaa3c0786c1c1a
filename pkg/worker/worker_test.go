package worker

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

func empty(h metatrain.Hello) bool { return len(h.Holding) == 0 }

func TestALeaseBecomesAResult(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	work := l.grant(1, metatrain.Node{Level: 1, Index: 2})
	s.open()
	s.run(t)
	res := next(t, "result", l.results)
	if res.Work != work || res.Lease != l.id(1) || res.Tasks != 2 || res.Total != 4*19 || len(res.Metrics) != 1 {
		t.Errorf("result %+v of work %+v", res, work)
	}
	first := l.helloWith("", empty)
	if first.Seq == 0 || first.Worker != res.Worker || first.Contract != metatrain.Contract {
		t.Errorf("hello %+v", first)
	}
	if later := l.helloWith("after the result", func(h metatrain.Hello) bool { return h.Seq > 2 && len(h.Holding) == 0 }); later.Worker != first.Worker {
		t.Errorf("another life answers: %s, before %s", later.Worker, first.Worker)
	}
}

func TestDroppedLeasesAreLetGo(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	l.grant(1, metatrain.Node{Level: 1})
	s.run(t)
	next(t, "task", s.gate.started)
	l.dropAll(l.id(1), 3<<32+1) // the latter is another term's: not this leader's to drop
	time.Sleep(100 * time.Millisecond)
	s.open()
	l.helloWith("without the dropped lease", func(h metatrain.Hello) bool { return h.Seq > 1 && empty(h) })
	select {
	case res := <-l.results:
		t.Errorf("dropped work was offered: %+v", res)
	case <-time.After(50 * time.Millisecond):
	}
}

// A result that waits for room must not keep back the one that makes room.
func TestG6_HeldResultsStandAside(t *testing.T) {
	for name, waiting := range map[string]metatrain.Verdict{"held": metatrain.Hold, "not answered yet": ""} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			l := lead(t, s.bus, 5, s.spec)
			lowest := false
			l.judge(func(r metatrain.Result) metatrain.ResultReply {
				if lowest = lowest || r.Work.Node.Index == 0; !lowest {
					return metatrain.ResultReply{Verdict: waiting, RetryMS: 5}
				}
				return metatrain.ResultReply{Verdict: metatrain.Accepted}
			})
			l.grant(1, metatrain.Node{Level: 1, Index: 3})
			s.run(t)
			next(t, "task", s.gate.started)
			s.open()
			next(t, "result", l.results)
			l.grant(2, metatrain.Node{Level: 1, Index: 0})
			l.helloWith("with both settled", func(h metatrain.Hello) bool { return h.Seq > 2 && empty(h) })
			found := map[int]bool{}
			for len(l.results) > 0 {
				found[(<-l.results).Work.Node.Index] = true
			}
			if !found[0] || waiting == metatrain.Hold && !found[3] {
				t.Errorf("then came results of %v, expected 0, and a held 3 again", found)
			}
		})
	}
}

func TestANewLeaderTakesOverWorkInHand(t *testing.T) {
	s := newStage(t)
	old := lead(t, s.bus, 5, s.spec)
	node := metatrain.Node{Level: 1, Index: 1}
	work := old.grant(1, node)
	s.run(t)
	next(t, "task", s.gate.started)
	old.stop()
	l := lead(t, s.bus, 9, s.spec)
	if again := l.grant(1, node); again != work {
		t.Fatalf("work %+v, before %+v", again, work)
	}
	l.dropAll(old.id(1)) // a new leader does not know the old lease
	l.helloWith("with the new lease", func(h metatrain.Hello) bool { return slices.Contains(h.Holding, l.id(1)) })
	s.open()
	if res := next(t, "result", l.results); res.Lease != l.id(1) || res.Work != work {
		t.Errorf("result %+v", res)
	}
	l.helloWith("after it", func(h metatrain.Hello) bool { return h.Seq > 2 && empty(h) })
	if n := len(l.results); n != 0 {
		t.Errorf("%d more results came, expected none: work in hand is not begun again", n)
	}
}

func TestFailuresBeginAnotherLife(t *testing.T) {
	for name, spoil := range map[string]func(s *stage){
		"refused result": nil,
		"panic in a task": func(s *stage) {
			kind := s.families["sinusoid"]
			kind.Build = func(json.RawMessage, *taskshards.DataSet) (taskshards.Family, error) {
				return faulty{s.gate, 0, func(*taskshards.Task) error { panic("broken") }}, nil
			}
			s.families["sinusoid"] = kind
		},
		"panic in a family": func(s *stage) {
			kind := s.families["sinusoid"]
			kind.Build = func(json.RawMessage, *taskshards.DataSet) (taskshards.Family, error) { panic("broken") }
			s.families["sinusoid"] = kind
		},
		"unknown family": func(s *stage) { delete(s.families, "sinusoid") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			l := lead(t, s.bus, 5, s.spec)
			if spoil == nil {
				l.judge(func(metatrain.Result) metatrain.ResultReply {
					return metatrain.ResultReply{Verdict: metatrain.Refused, Reason: "no"}
				})
			} else {
				spoil(s)
			}
			l.grant(1, metatrain.Node{Level: 1})
			s.open()
			s.run(t)
			first := next(t, "hello", l.hellos)
			second := l.helloWith("of another life", func(h metatrain.Hello) bool { return h.Worker != first.Worker })
			if second.Seq != 1 || !empty(second) {
				t.Errorf("another life begins with %+v", second)
			}
			if spoil == nil {
				return
			}
			l.grant(2, metatrain.Node{Level: 1})
			a, b := next(t, "failure", l.fails), next(t, "second failure", l.fails)
			if a.Digest != b.Digest || a.Digest == "" || a.Transient || a.Worker == b.Worker {
				t.Errorf("failures %+v and %+v: expected equal digests from two lives", a, b)
			}
		})
	}
}

func TestThetaThatIsGoneIsTransient(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	work := metatrain.Work{Run: "r", Spec: s.spec.Digest(), Kind: metatrain.Train, Theta: strings.Repeat("a", 64)}
	l.mu.Lock()
	l.grants = append(l.grants, metatrain.LeaseReply{Leases: []metatrain.Lease{{ID: l.id(1), Work: work, Tasks: 8}}})
	l.mu.Unlock()
	s.run(t)
	f := next(t, "failure", l.fails)
	if !f.Transient || f.Lease != l.id(1) {
		t.Errorf("failure %+v, expected a transient one", f)
	}
	if h := l.helloWith("after it", func(h metatrain.Hello) bool { return h.Seq > 1 }); h.Worker != f.Worker || !empty(h) {
		t.Errorf("hello %+v, expected the same life, holding nothing", h)
	}
	s.open()
}

func TestRefusedWorkersEnd(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	l.mu.Lock()
	l.grants = append(l.grants, metatrain.LeaseReply{Refused: "another release"})
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := RunSlots(ctx, Config{}, 2, s.client, Kinds{s.families, BuiltinModels(), nil}); err == nil || !strings.Contains(err.Error(), "another release") {
		t.Errorf("got %v", err)
	}
}

// The end of ctx is no error, however it ends; each slot is a worker of its own.
func TestSlotsAreWorkersOfTheirOwn(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- RunSlots(ctx, Config{ID: "node7"}, 3, s.client, Kinds{s.families, BuiltinModels(), nil})
	}()
	ids := map[string]bool{}
	for len(ids) < 3 {
		h := next(t, "hello", l.hellos)
		ids[h.Worker] = true
		if !strings.HasPrefix(h.Worker, "node7") {
			t.Errorf("worker %q, expected it to begin with node7", h.Worker)
		}
	}
	cancel(errors.New("a reason"))
	if err := next(t, "end", done); err != nil {
		t.Errorf("got %v", err)
	}
}

// Two results that the leader has no room for are as many as a worker holds: it asks for no more work until one is settled.
func TestG6_AWorkerHoldsTwo(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	l.holdAll(5)
	for i := range 3 {
		l.grant(uint64(i+1), metatrain.Node{Level: 1, Index: i})
	}
	s.open()
	s.run(t)
	for found := map[int]bool{}; len(found) < 2; {
		found[next(t, "result", l.results).Work.Node.Index] = true
	}
	time.Sleep(100 * time.Millisecond)
	l.mu.Lock()
	left := len(l.grants)
	l.mu.Unlock()
	if left != 1 {
		t.Errorf("%d of 3 leases are left, expected 1", left)
	}
	for len(l.hellos) > 0 {
		if h := <-l.hellos; len(h.Holding) >= maxHolding {
			t.Errorf("it asks for work with %d leases in hand", len(h.Holding))
		}
	}
}

// A leader that does not know the lease of an older one does not end the work: its bits are as good.
func TestLeasesOfOlderLeadersAreNotDropped(t *testing.T) {
	s := newStage(t)
	old := lead(t, s.bus, 5, s.spec)
	work := old.grant(1, metatrain.Node{Level: 1})
	s.run(t)
	next(t, "task", s.gate.started)
	old.stop()
	l := lead(t, s.bus, 9, s.spec)
	l.mu.Lock()
	l.data = old.data // theta may still be on its way
	l.mu.Unlock()
	l.dropAll(old.id(1))
	l.helloWith("at the new leader", func(h metatrain.Hello) bool { return slices.Contains(h.Holding, old.id(1)) })
	time.Sleep(100 * time.Millisecond) // beats
	s.open()
	if res := next(t, "result", l.results); res.Work != work {
		t.Errorf("result %+v", res)
	}
}

// Beats are for silence alone: who asks and offers meanwhile says by that that it lives.
func TestBeatsComeAfterSilence(t *testing.T) {
	for name, want := range map[string]int64{"silent": 9, "speaking": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				defer s.end()
				var beats atomic.Int64
				s.bus.SetLose(func(subject string, _ []byte) bool {
					if subject == "warmstart.lead.0-5.beat" {
						beats.Add(1)
					}
					return false
				})
				lead(t, s.bus, 5, s.spec)
				synctest.Wait() // the client has asked whether it leads, by a beat of nobody
				beats.Store(0)
				w := s.bare()
				w.cfg.BeatEvery = 100 * time.Millisecond
				w.hold(jobOf(0))
				ctx, cancel := context.WithTimeout(t.Context(), 950*time.Millisecond)
				defer cancel()
				var speaker sync.WaitGroup
				speaker.Go(func() {
					for ; ctx.Err() == nil && want == 0; time.Sleep(10 * time.Millisecond) {
						w.spoke.Store(time.Now().UnixNano())
					}
				})
				_ = w.beat(ctx)
				speaker.Wait()
				if n := beats.Load(); n != want {
					t.Errorf("%d beats in %v, expected %d", n, 950*time.Millisecond, want)
				}
			})
		})
	}
}

func TestRestsBetweenLivesGrow(t *testing.T) {
	var rests []time.Duration
	wait := time.Duration(0)
	for range 7 {
		wait = nextRest(wait, time.Second)
		rests = append(rests, wait)
	}
	if want := []time.Duration{2e8, 4e8, 8e8, 16e8, 32e8, 5e9, 5e9}; !slices.Equal(rests, want) {
		t.Errorf("rests after short lives %v, expected %v", rests, want)
	}
	if wait = nextRest(wait, time.Minute); wait != firstRest {
		t.Errorf("rest after a long life %v, expected %v", wait, firstRest)
	}
}
