package worker

import (
	"slices"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// lastWord is the last a worker said of leaving.
func (l *leader) lastWord() (last metatrain.Beat) {
	for len(l.goodbye) > 0 {
		last = <-l.goodbye
	}
	return last
}

// A worker that is asked to go hands back what it has not begun at once, finishes the rest, offers it until it is taken,
// and leaves by name.
func TestLeavingFinishesWhatIsBegun(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	offers := 0
	l.judge(func(metatrain.Result) metatrain.ResultReply {
		if offers++; offers < 3 {
			return metatrain.ResultReply{Verdict: metatrain.Hold, RetryMS: 5}
		}
		return metatrain.ResultReply{Verdict: metatrain.Accepted}
	})
	l.grant(1, metatrain.Node{Level: 1, Index: 1})
	leave := make(chan struct{})
	left := s.runUntil(t, leave, time.Minute)
	next(t, "task", s.gate.started)
	l.grant(2, metatrain.Node{Level: 1, Index: 2}) // fetched ahead
	for granted := false; !granted; time.Sleep(time.Millisecond) {
		l.mu.Lock()
		granted = len(l.grants) == 0
		l.mu.Unlock()
	}
	close(leave)
	if b := next(t, "word that it leaves", l.goodbye); !slices.Equal(b.Leases, []uint64{l.id(1)}) {
		t.Errorf("it keeps leases %v, expected the one that is begun, %d", b.Leases, l.id(1))
	}
	s.open()
	if err := next(t, "end", left); err != nil {
		t.Fatal(err)
	}
	if n := len(l.results); n != 3 {
		t.Errorf("%d offers came, expected 3: until it was taken", n)
	}
	for len(l.results) > 0 {
		if res := <-l.results; res.Lease != l.id(1) {
			t.Errorf("a result of lease %d came, which was handed back", res.Lease)
		}
	}
	if last := l.lastWord(); !last.Leaving || len(last.Leases) != 0 || last.Worker == "" {
		t.Errorf("its last word is %+v, expected it to leave by name, holding nothing", last)
	}
}

// What is not done when grace is over is handed back.
func TestG5_GraceEnds(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	l.holdAll(5)
	l.grant(1, metatrain.Node{Level: 1})
	s.open()
	leave := make(chan struct{})
	left := s.runUntil(t, leave, 100*time.Millisecond)
	next(t, "result", l.results)
	close(leave)
	if err := next(t, "end", left); err != nil {
		t.Fatal(err)
	}
	if b := next(t, "word that it leaves", l.goodbye); len(b.Leases) != 1 {
		t.Errorf("it keeps leases %v, expected the one under way", b.Leases)
	}
	if last := l.lastWord(); !last.Leaving || len(last.Leases) != 0 {
		t.Errorf("its last word is %+v, expected it to keep nothing", last)
	}
}

// Nor is a task waited for that goes on when grace is over: the process ends, by name.
func TestG5_GraceEndsThoughATaskGoesOn(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	l.grant(1, metatrain.Node{Level: 1})
	leave := make(chan struct{})
	left := s.runUntil(t, leave, 100*time.Millisecond)
	next(t, "task", s.gate.started)
	defer s.open()
	close(leave)
	began := time.Now()
	if err := next(t, "end", left); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it left after %v, expected to leave soon after its grace of 100 ms", took)
	}
	if last := l.lastWord(); !last.Leaving || len(last.Leases) != 0 {
		t.Errorf("its last word is %+v, expected it to keep nothing", last)
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
