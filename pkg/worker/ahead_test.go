package worker

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// drawing is an engine with tasks drawn ahead, by hand.
func drawing(t *testing.T, sets ...string) (*engine, *ahead) {
	t.Helper()
	e := tinyEngine(t, sets...)
	e.ahead = newAhead()
	return e, e.ahead
}

// stepJob is work of a step.
func (e *engine) stepJob(t *testing.T, kind metatrain.Kind, step int64, tasks int, node metatrain.Node) (*job, spanKey) {
	t.Helper()
	j := e.job(t, kind, tasks, node)
	j.lease.Work.Step = step
	k, _ := keyOf(e, j.lease.Work, tasks)
	return j, k
}

// However much was drawn in time, of whatever guess, in groups and one by one.
func TestG1_DrawingAheadChangesNoBits(t *testing.T) {
	for _, always := range []bool{true, false} {
		plain, e := grouped(t, always, "family.shots=[5]"), grouped(t, always, "family.shots=[5]")
		e.ahead = newAhead()
		for step := range int64(40) {
			kind, node, tasks := metatrain.Train, metatrain.Node{Level: 5, Index: int(step % 2)}, 64
			if step%7 == 3 {
				kind, node = metatrain.Validate, metatrain.Node{Level: 4, Index: 1}
			}
			want, _ := plain.stepJob(t, kind, step, tasks, node)
			got, k := e.stepJob(t, kind, step, tasks, node)
			want.lease.Skip, got.lease.Skip = []int{3, 40}, []int{3, 40}
			if kind == metatrain.Train {
				e.ahead.coming(k)
			}
			for range step * 11 % 50 {
				e.ahead.one()
			}
			before, inLine := e.drawn, e.inLine
			a, b := plain.partial(t, want), e.partial(t, got)
			if !slices.Equal(a.Vec, b.Vec) || !slices.Equal(a.Metrics, b.Metrics) || a.Tasks != b.Tasks {
				t.Fatalf("%s of step %d has other bits with %d of %d tasks drawn ahead", kind, step, e.drawn-before-(e.inLine-inLine), e.drawn-before)
			}
			if kind == metatrain.Train {
				e.ahead.finished(k)
			}
			for range step % 5 {
				e.ahead.one()
			}
		}
		if e.inLine == 0 || e.inLine == e.drawn {
			t.Errorf("%d of %d tasks were drawn in line, expected some", e.inLine, e.drawn)
		}
	}
}

// during is a family that does something else meanwhile, once.
type during struct {
	taskshards.Family
	do func()
}

func (d *during) Sample(split taskshards.Split, seed, step, task uint64, into *taskshards.Task) error {
	if do := d.do; do != nil {
		d.do = nil
		do()
	}
	return d.Family.Sample(split, seed, step, task, into)
}

// Nor does a task of another step, run or shard take its place, one included that was begun for a guess thrown away.
func TestG1_OnlyTheVeryTaskIsTaken(t *testing.T) {
	e, a := drawing(t)
	other := tinyEngine(t, "seed=7")
	other.ahead = a
	k := spanKey{engine: e, step: 5, hi: 8}
	a.coming(k)
	for a.one() {
	}
	var task taskshards.Task
	for name, taken := range map[string]bool{
		"another step":  a.take(e, 6, 2, &task),
		"another run":   a.take(other, 5, 2, &task),
		"another shard": a.take(e, 5, 8, &task),
	} {
		if taken {
			t.Errorf("%s: a task of step 5 was taken", name)
		}
	}
	if inLine := e.inLine; e.draw(taskshards.Validate, 5, 2, &task) != nil || e.inLine != inLine || !a.spans[0].ready[2] {
		t.Error("a training task was taken for one of validation")
	}
	if !a.take(e, 5, 2, &task) || a.take(e, 5, 2, &task) {
		t.Error("expected the task to be taken once")
	}
	a.finished(k)
	next := spanKey{engine: e, step: 9, hi: 8}
	e.family = &during{e.family, func() { a.coming(next) }} // in place of the guess, step 6
	a.one()
	if a.take(e, 9, 0, &task) {
		t.Error("a task of step 6 was taken for step 9")
	}
}

// With the goroutine that draws at work beside; for the race detector too.
func TestG1_DrawingBesideComputingChangesNoBits(t *testing.T) {
	plain := tinyEngine(t)
	e, a := drawing(t)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.run(ctx) }()
	for step := range int64(60) {
		node := metatrain.Node{Level: 5, Index: int(step % 2)}
		want, _ := plain.stepJob(t, metatrain.Train, step, 64, node)
		got, k := e.stepJob(t, metatrain.Train, step, 64, node)
		a.coming(k)
		if !slices.Equal(plain.partial(t, want).Vec, e.partial(t, got).Vec) {
			t.Fatalf("step %d has other bits", step)
		}
		a.finished(k)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A worker that has each step's shard, or takes turns with others, finds the tasks of its next lease drawn.
func TestTheNextLeaseIsGuessed(t *testing.T) {
	for _, stride := range []int64{1, 2, 5} {
		e, a := drawing(t)
		// A step of two leases of this worker: the first one is what comes again.
		for step := int64(0); step < 4*stride; step += stride {
			inLine := e.inLine
			for i := range 2 {
				j, k := e.stepJob(t, metatrain.Train, step, 32, metatrain.Node{Level: 3, Index: 2 + i})
				a.coming(k)
				if i > 0 {
					for a.one() {
					}
				}
				e.must(t, j)
				a.finished(k)
			}
			for a.one() {
			}
			if missed := e.inLine - inLine; step >= 2*stride && missed != 0 {
				t.Errorf("every %d steps: %d tasks of step %d were drawn in line, expected none", stride, missed, step)
			}
		}
	}
}

// The last step has no next one; a guess makes room for what is in hand.
func TestGuessesEndWithTheRun(t *testing.T) {
	e, a := drawing(t, "steps=4")
	_, k := e.stepJob(t, metatrain.Train, 3, 32, metatrain.Node{Level: 3})
	a.coming(k)
	if a.finished(k); a.one() {
		t.Error("tasks of a step beyond the last are drawn")
	}
	_, k = e.stepJob(t, metatrain.Train, 1, 32, metatrain.Node{Level: 3})
	a.coming(k)
	a.finished(k)
	for i := range 3 {
		_, k := e.stepJob(t, metatrain.Train, 1, 32, metatrain.Node{Level: 3, Index: 1 + i})
		a.coming(k)
	}
	if n := len(a.spans) + len(a.spare); n != maxHolding || slices.ContainsFunc(a.spans, func(s *span) bool { return s.guess }) {
		t.Errorf("%d spans, %+v, expected %d in hand", n, a.spans, maxHolding)
	}
}

func TestG6_TasksDrawnAheadAreBounded(t *testing.T) {
	e, a := drawing(t, "family.query=20000", "family.shots=[1]")
	kept := func() (bytes Bytes, tasks int) {
		for _, s := range append(slices.Clone(a.spans), a.spare...) {
			for i := range s.tasks {
				bytes += bytesOf(&s.tasks[i])
			}
			tasks += len(s.tasks)
		}
		return bytes, tasks
	}
	for step := range int64(4) {
		for i := range 2 {
			_, k := e.stepJob(t, metatrain.Train, step, 256, metatrain.Node{Level: 7, Index: i})
			a.coming(k)
			defer a.finished(k)
		}
		for a.one() {
		}
		if bytes, tasks := kept(); bytes > aheadBytes || tasks < 20 {
			t.Fatalf("step %d: %v in %d tasks, expected up to %v and 20 or more", step, bytes, tasks, aheadBytes)
		}
		for _, s := range slices.Clone(a.spans) {
			a.finished(s.spanKey)
		}
	}
	if need := e.drawnAhead(); need != aheadBytes {
		t.Errorf("tasks of %d bytes: estimate %v, expected %v", 20000*12, need, aheadBytes)
	}
	small := tinyEngine(t)
	if need := small.drawnAhead(); need <= 0 || need > 64<<10 {
		t.Errorf("tiny tasks: estimate %v", need)
	}
}

// What can't be drawn ahead is reported when it is computed, by the task it is.
func TestFaultsAheadAreReportedInLine(t *testing.T) {
	for name, fail := range map[string]func(*taskshards.Task) error{
		"an error": func(*taskshards.Task) error { return errors.New("no such file") },
		"a panic":  func(*taskshards.Task) error { panic("broken") },
	} {
		plain, _ := drawing(t, "family.shots=[5]")
		e, a := drawing(t, "family.shots=[5]")
		plain.ahead, plain.family, e.family = nil, faulty{plain.family, 2, fail}, faulty{e.family, 2, fail}
		j, k := e.stepJob(t, metatrain.Train, 1, 8, metatrain.Node{Level: 3})
		a.coming(k)
		for a.one() {
		}
		if got, want := e.do(j), plain.do(j); got == nil || got.Error() != want.Error() {
			t.Errorf("%s: got %v, in line %v", name, got, want)
		}
		j.lease.Skip = []int{2}
		if e.must(t, j); j.result.Tasks != 7 {
			t.Errorf("%s: %d tasks, expected 7", name, j.result.Tasks)
		}
	}
}

func TestDrawingAheadAllocatesNothingInTheSteadyState(t *testing.T) {
	e, a := drawing(t)
	var task taskshards.Task
	step := int64(0)
	run := func() {
		k := spanKey{engine: e, step: step, hi: 32}
		step++
		a.coming(k)
		for a.one() {
		}
		for i := range 32 {
			if err := e.draw(taskshards.Train, k.step, i, &task); err != nil {
				t.Fatal(err)
			}
		}
		a.finished(k)
		for a.one() {
		}
	}
	for range 20 { // buffers go round until each has held the largest task
		run()
	}
	if n := testing.AllocsPerRun(20, run); n != 0 {
		t.Errorf("%v allocations in the steady state", n)
	}
	if e.inLine != 0 {
		t.Errorf("%d tasks were drawn in line, expected none", e.inLine)
	}
}

// A lease whose theta is yet to come has its tasks drawn meanwhile.
func TestTasksAreDrawnWhileThetaIsOnItsWay(t *testing.T) {
	s := newStage(t)
	l := lead(t, s.bus, 5, s.spec)
	work := l.grant(1, metatrain.Node{Level: 1, Index: 2})
	l.mu.Lock()
	theta := l.data[work.Theta]
	delete(l.data, work.Theta)
	l.mu.Unlock()
	s.open()
	s.run(t)
	for range 2 {
		next(t, "task", s.gate.started)
	}
	if len(l.results) > 0 {
		t.Error("a result without a theta")
	}
	_ = s.bus.Publish("warmstart.theta", metatrain.EncodeFrame(metatrain.Theta{Digest: work.Theta, Total: len(theta)}, theta))
	if res := next(t, "result", l.results); res.Work != work || res.Tasks != 2 {
		t.Errorf("result %+v of work %+v", res, work)
	}
}
