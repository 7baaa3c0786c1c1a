package worker

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// aheadBytes is how much memory a slot's tasks drawn ahead may take, those of two shards together.
const aheadBytes Bytes = 8 << 20

// ahead draws tasks before they are computed, in a goroutine of its own: of leases in hand, whose theta is on its way or
// which wait for the one at work, and, where there is none, of the lease most likely to come next. A task is a function
// of (seed, step, task) alone, so that bits do not change: a wrong guess is thrown away, and what is not there in time is
// drawn in line. Nobody waits for it.
type ahead struct {
	wake    chan struct{}
	scratch taskshards.Task // of the goroutine that draws

	mu    sync.Mutex
	spans []*span // in the order they will be needed; two at most
	spare []*span
	// first is the first shard of the latest step this worker had a part in, stride how many steps after the one before.
	first  spanKey
	stride int64
}

// spanKey names the tasks of one piece of training: lo to hi-1 of a step.
type spanKey struct {
	engine *engine
	step   int64
	lo, hi int
}

// span holds tasks drawn ahead.
type span struct {
	spanKey
	guess bool
	next  int // the first task that nobody has begun to draw
	tasks []taskshards.Task
	ready []bool // of tasks
	bytes Bytes  // of the largest task
}

func newAhead() *ahead { return &ahead{wake: make(chan struct{}, 1)} }

// keyOf names the tasks of a piece of training; false: it is other work, too seldom to be worth it.
func keyOf(e *engine, w metatrain.Work, tasks int) (spanKey, bool) {
	lo, hi := w.Node.Span(tasks)
	return spanKey{e, w.Step, lo, hi}, w.Kind == metatrain.Train
}

// coming says that a piece of work is in hand.
func (a *ahead) coming(k spanKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if k.engine != a.first.engine || k.step != a.first.step {
		a.stride = 1
		if k.engine == a.first.engine && k.step > a.first.step {
			a.stride = k.step - a.first.step
		}
		a.first = k
	}
	a.put(k, false)
}

// finished says that a piece of work is over, done or not. When no other is in hand, the next one is guessed: workers
// take turns or each their own shard, so that the next is most likely this step's first as many steps on as lay between
// the last two.
func (a *ahead) finished(k spanKey) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(slices.IndexFunc(a.spans, func(s *span) bool { return s.spanKey == k && !s.guess }))
	if a.first.engine == nil || slices.ContainsFunc(a.spans, func(s *span) bool { return !s.guess }) {
		return
	}
	next := a.first
	if next.step += a.stride; next.step < next.engine.spec.Steps {
		a.put(next, true)
	}
}

// put makes sure of a span, after those in hand and in place of another guess.
func (a *ahead) put(k spanKey, guess bool) {
	if i := slices.IndexFunc(a.spans, func(s *span) bool { return s.spanKey == k }); i >= 0 {
		a.spans[i].guess = a.spans[i].guess && guess
		return
	}
	a.drop(slices.IndexFunc(a.spans, func(s *span) bool { return s.guess }))
	if len(a.spans) == maxHolding {
		return // its tasks are drawn in line
	}
	if len(a.spare) == 0 {
		a.spare = append(a.spare, &span{})
	}
	last := len(a.spare) - 1
	s := a.spare[last]
	a.spare = a.spare[:last]
	if s.engine != k.engine {
		s.tasks, s.ready, s.bytes = nil, nil, 0
	}
	s.spanKey, s.guess, s.next = k, guess, k.lo
	clear(s.ready)
	a.spans = append(a.spans, s)
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// drop lets a span go, if there is one.
func (a *ahead) drop(i int) {
	if i >= 0 {
		a.spare = append(a.spare, a.spans[i])
		a.spans = slices.Delete(a.spans, i, i+1)
	}
}

// take exchanges into for the task, where that is drawn. False: the caller draws it.
func (a *ahead) take(e *engine, step int64, task int, into *taskshards.Task) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.spans {
		if s.engine != e || s.step != step || task < s.lo || task >= s.hi {
			continue
		}
		s.next = max(s.next, task+1)
		if i := task - s.lo; i < len(s.ready) && s.ready[i] {
			s.ready[i] = false
			*into, s.tasks[i] = s.tasks[i], *into
			return true
		}
	}
	return false
}

// run draws until ctx ends.
func (a *ahead) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if a.one() {
			runtime.Gosched() // on one core what computes comes first
			continue
		}
		select {
		case <-ctx.Done():
		case <-a.wake:
		}
	}
	return nil
}

// one draws the next task that is wanted, if any is.
func (a *ahead) one() bool {
	s, k, task := a.begin()
	if s == nil {
		return false
	}
	ok := k.engine.sampled(k, task, &a.scratch)
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := task - k.lo; ok && s.spanKey == k && slices.Contains(a.spans, s) && s.room(i, &a.scratch) {
		s.tasks[i], a.scratch = a.scratch, s.tasks[i]
		s.ready[i] = true
	}
	return true
}

// begin claims the next task to draw.
func (a *ahead) begin() (s *span, k spanKey, task int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.spans {
		if s.next < s.hi {
			s.next++
			return s, s.spanKey, s.next - 1
		}
	}
	return nil, k, 0
}

// room makes room for task i; false: the span is full, and the rest is drawn in line.
func (s *span) room(i int, t *taskshards.Task) bool {
	s.bytes = max(s.bytes, bytesOf(t))
	if most := int(aheadBytes / maxHolding / s.bytes); i >= most {
		s.next = s.hi
		if len(s.tasks) > most {
			clear(s.tasks[most:])
			s.tasks, s.ready = s.tasks[:most], s.ready[:most]
		}
		return false
	}
	for len(s.tasks) <= i {
		s.tasks, s.ready = append(s.tasks, taskshards.Task{}), append(s.ready, false)
	}
	return true
}

// drawnAhead is the most memory that the run's tasks drawn ahead take in a slot.
func (e *engine) drawnAhead() Bytes {
	return min(aheadBytes, maxHolding*Bytes(e.spec.MetaBatch*e.largest(func(t *taskshards.Task) int { return int(bytesOf(t)) })))
}

// bytesOf is the memory of a task's samples.
func bytesOf(t *taskshards.Task) Bytes {
	n := 64
	for _, b := range []*taskshards.Batch{&t.Support, &t.Query} {
		n += 4 * (len(b.X) + len(b.Y) + len(b.W))
	}
	return Bytes(n)
}

// sampled draws a task of a span. What fails, or panics, fails again in line, where it is reported.
func (e *engine) sampled(k spanKey, task int, into *taskshards.Task) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return e.family.Sample(taskshards.Train, e.spec.Seed, uint64(k.step), uint64(task), into) == nil
}

// draw draws a task, or takes it where it has been drawn ahead, which training tasks are.
func (e *engine) draw(split taskshards.Split, step int64, task int, into *taskshards.Task) error {
	if split == taskshards.Train {
		e.drawn++
		if e.ahead != nil && e.ahead.take(e, step, task, into) {
			return nil
		}
		e.inLine++
	}
	return e.family.Sample(split, e.spec.Seed, uint64(step), uint64(task), into)
}
