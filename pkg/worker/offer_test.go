package worker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

func TestHeldResultsAreOfferedAgainInTime(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	w := s.bare()
	for _, c := range []struct {
		says int64
		want time.Duration
	}{{-7, 5 * time.Millisecond}, {0, 5 * time.Millisecond}, {40, 40 * time.Millisecond}, {1 << 40, 5 * time.Second}} {
		l.holdAll(c.says)
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
	l.holdAll(100)
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
