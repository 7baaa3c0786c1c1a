package coldstart

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/nn"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// TaskOptions say how the table of a family without series is made. The zero
// value of a field is its default.
type TaskOptions struct {
	Seed  uint64 // of the tasks
	Tasks int    // test tasks 0 to Tasks-1; 600 where 0
	Steps []int  // numbers of inner steps; the learner's own where empty
	Shots []int  // stand in the rows

	// Members is how many members of the family the test tasks go round, task i being
	// of member i modulo Members: grades are means over a member's tasks, and
	// intervals over members. 0: each task is a member of its own.
	Members int

	// Comparators is the number of tasks that the rows beside the base model's are
	// made on, the first ones; 100 where 0, below 0 none.
	Comparators int

	// Untuned leaves out the rows that choose something on training tasks, of which
	// the family has none.
	Untuned bool
}

const (
	testTasks       = 600
	comparatorTasks = 100
	tuneTasks       = 12
)

func (o TaskOptions) withDefaults() TaskOptions {
	if o.Tasks == 0 {
		o.Tasks = testTasks
	}
	if o.Comparators == 0 {
		o.Comparators = comparatorTasks
	}
	if len(o.Steps) == 0 {
		o.Steps = []int{-1}
	}
	o.Comparators = min(o.Comparators, o.Tasks)
	return o
}

// examiner scores ways with the test tasks of a family.
type examiner struct {
	w      *workshop
	family taskshards.Family
	o      TaskOptions
	tuned  []string // what was chosen for the comparators
	task   taskshards.Task
	grader
}

// grader is what a table measures.
type grader struct {
	// floor names and makes the outputs, [n][outputs], of what needs no network.
	floor string
	guess func(t *taskshards.Task, y []float32)

	grade func(y []float32, q *learner.Batch[float32]) float64 // of a task's outputs, which it may change
	worst float64                                              // the grade of a model that left all bounds
}

func newExaminer(b *Base, f taskshards.Family, o TaskOptions, g grader) (*examiner, error) {
	o = o.withDefaults()
	if o.Tasks < 1 {
		return nil, fmt.Errorf("tasks: found %d, expected 1 or more", o.Tasks)
	}
	w, err := newWorkshop(b)
	return &examiner{w: w, family: f, o: o, grader: g}, err
}

// way is one row: fills outputs, [n][outputs], for a task's query, and says what
// model made them, nil for none.
type way struct {
	name   string
	steps  *int
	tasks  int
	answer func(t *taskshards.Task, y []float32) (*learner.Predictor[float32], error)
}

// outcome is how a way did, member by member.
type outcome struct {
	way
	grades []float64
	loss   *float64 // mean outer loss; nil where there is none
}

// examine scores all ways, the base model's last.
func (e *examiner) examine() ([]outcome, error) {
	ways, err := e.comparators()
	if err != nil {
		return nil, err
	}
	for _, steps := range innerSteps(e.w.base.Learner, e.o.Steps) {
		ways = append(ways, e.adapted(steps))
	}
	var all []outcome
	for _, way := range ways {
		r, err := e.outcome(way)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", way.name, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// outcome scores a way on its tasks.
func (e *examiner) outcome(m way) (outcome, error) {
	r := outcome{way: m}
	var loss mean
	var y []float32
	for i := range m.tasks {
		if err := e.w.base.wanted(); err != nil {
			return r, err
		}
		if err := e.family.Sample(taskshards.Test, e.o.Seed, 0, uint64(i), &e.task); err != nil {
			return r, err
		}
		q := batchOf(&e.task.Query)
		n := q.N * e.w.base.Model.Out()
		y = slices.Grow(y[:0], n)[:n]
		p, err := m.answer(&e.task, y)
		switch {
		case errors.Is(err, learner.ErrDiverged):
			loss.add(diverged)
			r.grades = append(r.grades, e.worst)
			continue
		case err != nil:
			return r, fmt.Errorf("task %d: %w", i, err)
		case p != nil:
			loss.add(bounded(float64(p.Loss(&q))))
		}
		r.grades = append(r.grades, e.grade(y, &q))
	}
	if loss.n > 0 {
		v := rounded(loss.value())
		r.loss = &v
	}
	r.grades = byMember(r.grades, e.o.Members)
	return r, nil
}

// byMember is the mean grade of each of so many members that tasks go round.
func byMember(grades []float64, members int) []float64 {
	if members < 1 || len(grades) <= members {
		return grades
	}
	sums := make([]mean, members)
	for i, g := range grades {
		sums[i%members].add(g)
	}
	means := make([]float64, members)
	for i := range sums {
		means[i] = sums[i].value()
	}
	return means
}

// diverged is the error of a task that the inner steps led out of bounds: it
// rules the mean, and is still a number.
const diverged = math.MaxFloat32

func bounded(v float64) float64 {
	if !(v < diverged) { // NaN too
		return diverged
	}
	return v
}

// errorBars is the mean and the 95 % interval of it, 1.96 standard errors either
// way, within 0 to most.
func errorBars(v []float64, most float64) (float64, [2]float64) {
	var m mean
	for _, x := range v {
		m.add(x)
	}
	var square float64
	for _, x := range v {
		d := x - m.value()
		square += float64(d * d)
	}
	wide := 0.0
	if n := float64(m.n); n > 1 {
		wide = 1.96 * math.Sqrt(square/(n-1)/n)
	}
	return rounded(m.value()), [2]float64{rounded(max(0, m.value()-wide)), rounded(min(most, m.value()+wide))}
}

func (e *examiner) adapted(steps int) way {
	return way{"adapted", shownSteps(steps), e.o.Tasks, func(t *taskshards.Task, y []float32) (*learner.Predictor[float32], error) {
		s := batchOf(&t.Support)
		return predicted(&t.Query, y)(e.w.own.Adapt(e.w.base.Theta, &s, steps))
	}}
}

// predicted finishes a way by the model it made.
func predicted(q *taskshards.Batch, y []float32) func(*learner.Predictor[float32], error) (*learner.Predictor[float32], error) {
	return func(p *learner.Predictor[float32], err error) (*learner.Predictor[float32], error) {
		if err == nil {
			p.Predict(q.X, q.N, y)
		}
		return p, err
	}
}

// comparators are what one could do without the base model: those that the
// number of their tasks asks for.
func (e *examiner) comparators() ([]way, error) {
	if e.o.Comparators < 1 {
		return nil, nil
	}
	n, pooled := e.o.Comparators, e.w.base.Pooled
	ways := []way{{e.floor, nil, n, func(t *taskshards.Task, y []float32) (*learner.Predictor[float32], error) {
		e.guess(t, y)
		return nil, nil
	}}}
	if pooled != nil {
		ways = append(ways, way{"pooled", nil, n, func(t *taskshards.Task, y []float32) (*learner.Predictor[float32], error) {
			return predicted(&t.Query, y)(e.w.still(pooled))
		}})
	}
	if e.o.Untuned {
		return ways, nil
	}
	scratch, c, err := e.fitted("scratch", always(e.w.random))
	if err != nil {
		return nil, err
	}
	ways = append(ways, scratch)
	if pooled != nil {
		finetuned, _, err := e.fitted("finetuned", always(pooled))
		if err != nil {
			return nil, err
		}
		ways = append(ways, finetuned)
	}
	near, err := e.neighbours(c)
	if err != nil || len(near) == 0 {
		return ways, err
	}
	nearest, _, err := e.fitted("nearest", func(t *taskshards.Task, split taskshards.Split) []float32 {
		if p := closestTask(near, t, split); p != nil {
			return p.Theta()
		}
		return e.w.random
	})
	return append(ways, nearest), err
}

// begin is the parameters that training on a task of a split begins with.
type begin func(t *taskshards.Task, split taskshards.Split) []float32

func always(theta []float32) begin {
	return func(*taskshards.Task, taskshards.Split) []float32 { return theta }
}

// fitted is a network trained on the support by Adam, at the rate and for the
// steps that lose least on a few training tasks.
func (e *examiner) fitted(name string, start begin) (way, Choice, error) {
	c, err := e.choose(start)
	if err != nil {
		return way{}, c, fmt.Errorf("%s: %w", name, err)
	}
	e.tuned = append(e.tuned, fmt.Sprintf("%s takes %d steps of Adam at rate %g", name, c.Steps, c.Rate))
	return way{name, &c.Steps, e.o.Comparators, func(t *taskshards.Task, y []float32) (*learner.Predictor[float32], error) {
		theta := start(t, taskshards.Test)
		if t.Support.N == 0 { // nothing to fit
			return predicted(&t.Query, y)(e.w.still(theta))
		}
		return predicted(&t.Query, y)(e.w.fit(theta, batchOf(&t.Support), c))
	}}, c, nil
}

// choose tries rates and numbers of steps on training tasks.
func (e *examiner) choose(start begin) (Choice, error) {
	var best Choice
	least := math.Inf(1)
	stops := []int{1, 3, 10, 30, 100}
	for _, rate := range []float64{0.0003, 0.003, 0.03} {
		sums := make([]float64, len(stops))
		for i := range tuneTasks {
			if err := e.family.Sample(taskshards.Train, e.o.Seed, 0, uint64(i), &e.task); err != nil {
				return best, err
			}
			if err := e.try(start(&e.task, taskshards.Train), rate, stops, sums); err != nil {
				return best, err
			}
		}
		for k, sum := range sums {
			if sum < least {
				least, best = sum, Choice{Kind: network, Rate: rate, Steps: stops[k]}
			}
		}
	}
	if best.Steps == 0 {
		best = Choice{Kind: network, Rate: 0.0003, Steps: 1}
	}
	return best, nil
}

// try adds the loss of the task at hand after each number of steps. One that
// leaves all bounds loses infinitely much.
func (e *examiner) try(start []float32, rate float64, stops []int, sums []float64) error {
	s, q := batchOf(&e.task.Support), batchOf(&e.task.Query)
	if s.N == 0 {
		return nil // nothing to fit
	}
	at := 0
	err := e.w.descend(start, s, Choice{Kind: network, Rate: rate}, stops, func(_ int, theta []float32) error {
		p, err := e.w.still(theta)
		if err == nil {
			sums[at] += float64(p.Loss(&q))
		}
		at++
		return err
	})
	if errors.Is(err, learner.ErrDiverged) {
		for ; at < len(sums); at++ {
			sums[at] = math.Inf(1)
		}
		return nil
	}
	return err
}

func batchOf(b *taskshards.Batch) learner.Batch[float32] {
	return learner.Batch[float32]{N: b.N, X: b.X, Y: b.Y, W: b.W}
}

// notes say what a reader must know beside the figures.
func (e *examiner) notes(first string) []string {
	over := "tasks"
	if n := e.o.Members; n > 0 {
		over = fmt.Sprintf("the %d members that tasks are drawn from", n)
	}
	notes := []string{first + "; 95 % intervals are over " + over}
	if e.o.Untuned {
		notes = append(notes, "no training tasks at hand to choose their steps on: the rows scratch, finetuned and nearest are left out")
	}
	if len(e.tuned) > 0 {
		notes = append(notes, fmt.Sprintf("chosen on %d training tasks: %s", tuneTasks, strings.Join(e.tuned, "; ")))
	}
	if slices.ContainsFunc(e.w.base.Model.Groups(), func(g nn.Group) bool { return strings.HasPrefix(g.Name, "batchnorm") }) {
		notes = append(notes, "batch norm: where it does not use stored statistics, it uses those of the whole query (transductive)")
	}
	return notes
}
