package worker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// bare is a worker without its loops, which the test calls itself.
func (s *stage) bare() *worker {
	return &worker{
		cfg: Config{ID: "w", Log: slog.New(slog.DiscardHandler)}.withDefaults(), client: s.client,
		engines: newEngines(s.client, Kinds{s.families, BuiltinModels(), nil}),
		holding: map[uint64]*job{}, room: make(chan struct{}, 1), settled: make(chan struct{}, 1),
	}
}

// end closes what a test without a worker began.
func (s *stage) end() {
	s.client.Close()
	s.bus.Close()
}

// jobOf is a finished piece of work with a result of so many bytes.
func jobOf(bytes int) *job {
	ctx, drop := context.WithCancel(context.Background())
	return &job{lease: metatrain.Lease{ID: 1, Work: metatrain.Work{Run: "r", Kind: metatrain.Train, Step: 3}}, dropped: ctx.Done(), drop: drop, payload: make([]byte, bytes)}
}

func TestHeldResultsAreOfferedAgainInTime(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	w := s.bare()
	for _, c := range []struct {
		says int64
		want time.Duration
	}{{-7, 5 * time.Millisecond}, {0, 5 * time.Millisecond}, {40, 40 * time.Millisecond}, {1 << 40, 5 * time.Second}} {
		l.judge(func(metatrain.Result) metatrain.ResultReply {
			return metatrain.ResultReply{Verdict: metatrain.Hold, RetryMS: c.says}
		})
		j := jobOf(8)
		if settled, err := w.settle(t.Context(), j); settled || err != nil || j.retry != c.want {
			t.Errorf("told to wait %d ms: settled %v, again after %v (%v), expected after %v", c.says, settled, j.retry, err, c.want)
		}
	}
}

// A leader may name any place to go on from: the worker sends bytes that it has.
func TestG7_ChunksAreOfTheResult(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	total := 2*metatrain.MaxChunk + 5
	places := []int{-3, 1 << 40, total, metatrain.MaxChunk}
	l.judge(func(r metatrain.Result) metatrain.ResultReply {
		if r.Offset < 0 || r.Offset > total {
			t.Errorf("sent a chunk at %d of %d", r.Offset, total)
		}
		if len(places) == 0 {
			return metatrain.ResultReply{Verdict: metatrain.Accepted}
		}
		next := places[0]
		places = places[1:]
		return metatrain.ResultReply{Verdict: metatrain.More, Offset: next}
	})
	if settled, err := s.bare().settle(t.Context(), jobOf(total)); !settled || err != nil {
		t.Errorf("settled %v, %v", settled, err)
	}
}

// Chunks side by side have answers of their own: where one of them tells that the whole was taken, it was.
func TestVerdictOfChunksSideBySide(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	more := func(offset int) metatrain.ResultReply {
		return metatrain.ResultReply{Verdict: metatrain.More, Offset: offset}
	}
	accepted, stale := metatrain.ResultReply{Verdict: metatrain.Accepted}, metatrain.ResultReply{Verdict: metatrain.Stale}
	for name, c := range map[string]struct {
		answers []metatrain.ResultReply
		want    metatrain.ResultReply
	}{
		"furthest place":        {[]metatrain.ResultReply{more(10), more(30), more(20)}, more(30)},
		"a verdict over places": {[]metatrain.ResultReply{more(10), stale, more(20)}, stale},
		"taken over all":        {[]metatrain.ResultReply{stale, accepted, more(20)}, accepted},
	} {
		l.judge(func(r metatrain.Result) metatrain.ResultReply { return c.answers[r.Offset/metatrain.MaxChunk] })
		found, err := s.bare().volley(t.Context(), jobOf(3*metatrain.MaxChunk), metatrain.Result{})
		if found.Term = (metatrain.Term{}); err != nil || found != c.want {
			t.Errorf("%s: found %+v, %v", name, found, err)
		}
	}
}

// What nobody wants any more is offered no more, though the leader had said to wait.
func TestHeldResultsThatAreDroppedAreLetGo(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	l.judge(func(metatrain.Result) metatrain.ResultReply {
		return metatrain.ResultReply{Verdict: metatrain.Hold, RetryMS: 100}
	})
	l.grant(1, metatrain.Node{Level: 1})
	s.open()
	s.run(t)
	next(t, "result", l.results)
	l.dropAll(l.id(1))
	l.helloWith("after the drop", func(h metatrain.Hello) bool { return h.Seq > 2 && empty(h) })
	for len(l.results) > 0 {
		<-l.results
	}
	time.Sleep(250 * time.Millisecond)
	if n := len(l.results); n > 0 {
		t.Errorf("%d more offers came", n)
	}
}

// Failures are the task's own where two workers give one digest: it is of the whole text and of the task, and only the
// text that travels is cut.
func TestDigestsOfFailures(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	w := s.bare()
	failed := func(err error) metatrain.Failure {
		w.fail(t.Context(), jobOf(0), err, false)
		return next(t, "failure", l.fails)
	}
	long := strings.Repeat("x", 1<<20)
	all := []metatrain.Failure{
		failed(&TaskError{Task: 3, Err: errors.New("one")}), failed(&TaskError{Task: 3, Err: errors.New("another")}),
		failed(&TaskError{Task: 4, Err: errors.New("one")}), failed(errors.New(long)), failed(errors.New(long + "y")),
	}
	if again := failed(&TaskError{Task: 3, Err: errors.New("one")}); again.Digest != all[0].Digest || again.Text != "one" || again.Task != 3 {
		t.Errorf("the same failure twice: %+v and %+v", all[0], again)
	}
	digests := map[string]bool{}
	for _, f := range all {
		if digests[f.Digest] = true; len(f.Text) > maxText {
			t.Errorf("a text of %d bytes travels, expected at most %d", len(f.Text), maxText)
		}
	}
	if len(digests) != len(all) {
		t.Errorf("%d failures have %d digests", len(all), len(digests))
	}
}

// Two results that the leader has no room for are as many as a worker holds: it asks for no more work until one is settled.
func TestG6_AWorkerHoldsTwo(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	l.judge(func(metatrain.Result) metatrain.ResultReply {
		return metatrain.ResultReply{Verdict: metatrain.Hold, RetryMS: 5}
	})
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

func TestALeavingWorkerTakesNothing(t *testing.T) {
	w := newStage(t).bare()
	if begun := jobOf(0); !w.hold(begun) {
		t.Error("a lease is not held")
	}
	if n := w.handBack(); n != 1 {
		t.Errorf("%d handed back, expected 1", n)
	}
	if w.hold(jobOf(0)) || len(w.held()) != 0 {
		t.Error("a lease is held by a worker that leaves")
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
