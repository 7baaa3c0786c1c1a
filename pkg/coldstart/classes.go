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

// ClassTable is the table of a family of classes, as omniglot: the share of the
// query told right, by method and number of inner steps.
type ClassTable struct {
	Rows  []ClassRow `json:"rows"`
	Notes []string   `json:"notes,omitempty"`
}

// ClassRow is one method, over so many unseen tasks.
type ClassRow struct {
	// Method is nearest_sample (the class of the support sample that is nearest,
	// by the inputs), scratch (the network from random parameters), pooled, finetuned
	// (the pooled model, trained on), or adapted.
	Method string `json:"method"`
	Shots  []int  `json:"shots,omitempty"` // what a support is drawn by, where the family says
	// Steps is the number of inner steps; for scratch and finetuned of Adam; null
	// where there are none.
	Steps      *int       `json:"steps"`
	Accuracy   float64    `json:"accuracy"`    // percent
	AccuracyCI [2]float64 `json:"accuracy_ci"` // 95 %: 1.96 standard errors over tasks
	Loss       *float64   `json:"loss"`        // mean outer loss; null where there is none
	Tasks      int        `json:"tasks"`
}

// ClassOptions say how such a table is made. The zero value of a field is its
// default.
type ClassOptions struct {
	Seed  uint64 // of the tasks
	Tasks int    // test tasks 0 to Tasks-1; 600 where 0
	Steps []int  // numbers of inner steps; the learner's own where empty
	Shots []int  // stand in the rows

	// Comparators is the number of tasks that the rows beside the base model's are
	// made on, the first ones; 100 where 0, below 0 none.
	Comparators int

	// Untuned leaves out the rows that choose something on training tasks, of which
	// the family has none.
	Untuned bool
}

const (
	classTasks       = 600
	classComparators = 100
	classTuneTasks   = 12
)

func (o ClassOptions) withDefaults() ClassOptions {
	if o.Tasks == 0 {
		o.Tasks = classTasks
	}
	if o.Comparators == 0 {
		o.Comparators = classComparators
	}
	if len(o.Steps) == 0 {
		o.Steps = []int{-1}
	}
	o.Comparators = min(o.Comparators, o.Tasks)
	return o
}

// EvaluateClasses makes the table of a base model on the test tasks of a family
// of classes.
func EvaluateClasses(b *Base, f taskshards.Family, o ClassOptions) (ClassTable, error) {
	t, err := evaluateClasses(b, f, o.withDefaults())
	if err != nil {
		return t, fmt.Errorf("evaluate model: %w", err)
	}
	return t, nil
}

func evaluateClasses(b *Base, f taskshards.Family, o ClassOptions) (t ClassTable, err error) {
	if !f.Shape().Classes {
		return t, fmt.Errorf("family %s: found targets that are no classes", b.Family.Name)
	}
	if o.Tasks < 1 {
		return t, fmt.Errorf("tasks: found %d, expected 1 or more", o.Tasks)
	}
	w, err := newWorkshop(b)
	if err != nil {
		return t, err
	}
	e := examiner{w: w, family: f, o: o, classes: f.Shape().Out}
	ways, err := e.comparators()
	if err != nil {
		return t, err
	}
	for _, steps := range innerSteps(b.Learner, o.Steps) {
		ways = append(ways, e.adapted(steps))
	}
	for _, way := range ways {
		row, err := e.row(way)
		if err != nil {
			return t, fmt.Errorf("%s: %w", way.name, err)
		}
		t.Rows = append(t.Rows, row)
	}
	t.Notes = e.notes()
	return t, nil
}

// examiner scores ways to tell classes.
type examiner struct {
	w       *workshop
	family  taskshards.Family
	o       ClassOptions
	classes int
	tuned   []string // what was chosen for the comparators
	task    taskshards.Task
}

// way is one row: scores [n][classes] of a task's query, and what model made
// them, nil for none.
type way struct {
	name   string
	steps  *int
	tasks  int
	scores func(t *taskshards.Task, y []float32) (*learner.Predictor[float32], error)
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
	n := e.o.Comparators
	ways := []way{{"nearest_sample", nil, n, func(t *taskshards.Task, y []float32) (*learner.Predictor[float32], error) {
		nearestSample(t, e.classes, y)
		return nil, nil
	}}}
	starts := []struct {
		name  string
		theta []float32
	}{{"scratch", e.w.random}}
	if pooled := e.w.base.Pooled; pooled != nil {
		ways = append(ways, way{"pooled", nil, n, func(t *taskshards.Task, y []float32) (*learner.Predictor[float32], error) {
			return predicted(&t.Query, y)(e.w.still(pooled))
		}})
		starts = append(starts, struct {
			name  string
			theta []float32
		}{"finetuned", pooled})
	}
	for _, s := range starts {
		if e.o.Untuned {
			break
		}
		fitted, err := e.fitted(s.name, s.theta)
		if err != nil {
			return nil, err
		}
		ways = append(ways, fitted)
	}
	return ways, nil
}

// fitted is a network trained on the support by Adam, at the rate and for the
// steps that lose least on a few training tasks.
func (e *examiner) fitted(name string, start []float32) (way, error) {
	c, err := e.choose(start)
	if err != nil {
		return way{}, fmt.Errorf("%s: %w", name, err)
	}
	e.tuned = append(e.tuned, fmt.Sprintf("%s takes %d steps of Adam at rate %g", name, c.Steps, c.Rate))
	return way{name, &c.Steps, e.o.Comparators, func(t *taskshards.Task, y []float32) (*learner.Predictor[float32], error) {
		return predicted(&t.Query, y)(e.w.fit(start, batchOf(&t.Support), c))
	}}, nil
}

// choose tries rates and numbers of steps on training tasks.
func (e *examiner) choose(start []float32) (Choice, error) {
	var best Choice
	least := math.Inf(1)
	stops := []int{1, 3, 10, 30, 100}
	for _, rate := range []float64{0.0003, 0.003, 0.03} {
		sums := make([]float64, len(stops))
		for i := range classTuneTasks {
			if err := e.family.Sample(taskshards.Train, e.o.Seed, 0, uint64(i), &e.task); err != nil {
				return best, err
			}
			if err := e.try(start, rate, stops, sums); err != nil {
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

// row scores a way on its tasks.
func (e *examiner) row(m way) (ClassRow, error) {
	var accuracy []float64
	var loss mean
	var y []float32
	for i := range m.tasks {
		if err := e.family.Sample(taskshards.Test, e.o.Seed, 0, uint64(i), &e.task); err != nil {
			return ClassRow{}, err
		}
		q := batchOf(&e.task.Query)
		y = slices.Grow(y[:0], q.N*e.classes)[:q.N*e.classes]
		p, err := m.scores(&e.task, y)
		switch {
		case errors.Is(err, learner.ErrDiverged):
			loss.add(diverged)
			accuracy = append(accuracy, 0)
			continue
		case err != nil:
			return ClassRow{}, fmt.Errorf("task %d: %w", i, err)
		case p != nil:
			loss.add(float64(min(p.Loss(&q), diverged)))
		}
		accuracy = append(accuracy, 100*Accuracy(y, q.Y, q.N))
	}
	row := ClassRow{Method: m.name, Shots: e.o.Shots, Steps: m.steps, Tasks: m.tasks}
	if loss.n > 0 {
		v := rounded(loss.value())
		row.Loss = &v
	}
	row.Accuracy, row.AccuracyCI = errorBars(accuracy)
	return row, nil
}

func batchOf(b *taskshards.Batch) learner.Batch[float32] {
	return learner.Batch[float32]{N: b.N, X: b.X, Y: b.Y, W: b.W}
}

func (e *examiner) notes() []string {
	notes := []string{fmt.Sprintf("accuracy in percent of the query, chance %.1f; 95 %% intervals are over tasks", 100/float64(e.classes))}
	if e.o.Untuned {
		notes = append(notes, "no training tasks at hand to choose their steps on: the rows scratch and finetuned are left out")
	}
	if len(e.tuned) > 0 {
		notes = append(notes, fmt.Sprintf("chosen on %d training tasks: %s", classTuneTasks, strings.Join(e.tuned, "; ")))
	}
	if slices.ContainsFunc(e.w.base.Model.Groups(), func(g nn.Group) bool { return strings.HasPrefix(g.Name, "batchnorm") }) {
		notes = append(notes, "batch norm: where it does not use stored statistics, it uses those of the whole query (transductive)")
	}
	return notes
}
