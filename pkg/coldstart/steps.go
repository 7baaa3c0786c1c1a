package coldstart

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// StepTable is the table of a family without series, as sinusoid: the error of
// the adapted model by the number of inner steps.
type StepTable struct {
	Rows []StepRow `json:"rows"`
}

// StepRow is the mean squared error over the query sets of so many unseen tasks,
// and the median over tasks beside it: a few hard tasks rule the mean.
type StepRow struct {
	Method string  `json:"method"` // adapted
	Shots  []int   `json:"shots"`  // samples of a support, drawn from these
	Steps  *int    `json:"steps"`  // nil for a learner that takes no inner steps
	MSE    float64 `json:"mse"`
	Median float64 `json:"median"`
	Tasks  int     `json:"tasks"`
}

// EvaluateSteps scores the base model on test tasks 0 to tasks-1 of seed, after
// each number of inner steps; once where its learner takes none. f says what the tasks are; shots stands in the rows.
func EvaluateSteps(b *Base, f taskshards.Family, seed uint64, tasks int, shots, steps []int) (StepTable, error) {
	t, err := evaluateSteps(b, f, seed, tasks, shots, steps)
	if err != nil {
		return t, fmt.Errorf("evaluate model: %w", err)
	}
	return t, nil
}

func evaluateSteps(b *Base, f taskshards.Family, seed uint64, tasks int, shots, steps []int) (t StepTable, err error) {
	if tasks < 1 {
		return t, fmt.Errorf("tasks: found %d, expected 1 or more", tasks)
	}
	l, err := learner.New[float32](b.Learner, b.Model)
	if err != nil {
		return t, err
	}
	steps = innerSteps(b.Learner, steps)
	byStep := make([][]float64, len(steps))
	var task taskshards.Task
	for i := range tasks {
		if err := f.Sample(taskshards.Test, seed, 0, uint64(i), &task); err != nil {
			return t, err
		}
		for k, n := range steps {
			e, err := squaredError(b, l, &task, n)
			if errors.Is(err, learner.ErrDiverged) || err == nil && !(e < diverged) {
				e, err = diverged, nil
			}
			if err != nil {
				return t, fmt.Errorf("task %d: %w", i, err)
			}
			byStep[k] = append(byStep[k], e)
		}
	}
	for k, n := range steps {
		var m mean
		for _, e := range byStep[k] {
			m.add(e)
		}
		t.Rows = append(t.Rows, StepRow{Method: "adapted", Shots: shots, Steps: shownSteps(n), MSE: rounded(m.value()), Median: rounded(median(byStep[k])), Tasks: tasks})
	}
	return t, nil
}

// innerSteps are the numbers of inner steps that make rows of their own: one, the learner's way (below 0), where it solves
// for its head and takes none.
func innerSteps(c learner.Config, steps []int) []int {
	if c.Name == "ridge" || c.Name == "protonet" {
		return []int{-1}
	}
	return steps
}

// shownSteps is how a number of inner steps stands in a row: not at all where the learner chose it.
func shownSteps(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}

func stepsText(n *int) string {
	if n == nil {
		return "-"
	}
	return strconv.Itoa(*n)
}

// diverged is the error of a task that the inner steps led out of bounds: it rules the mean, and is still a number.
const diverged = math.MaxFloat32

// squaredError is the mean over the query of one task, after n steps.
func squaredError(b *Base, l learner.Learner[float32], t *taskshards.Task, n int) (float64, error) {
	s, q := &t.Support, &t.Query
	p, err := l.Adapt(b.Theta, &learner.Batch[float32]{N: s.N, X: s.X, Y: s.Y, W: s.W}, n)
	if err != nil {
		return 0, err
	}
	y := make([]float32, q.N*b.Model.Out())
	p.Predict(q.X, q.N, y)
	y = centralOf(b.Learner).pick(y)
	var m mean
	for i := range y {
		d := float64(y[i]) - float64(q.Y[i])
		m.add(float64(d * d))
	}
	return m.value(), nil
}

// median is the mean of the two in the middle where their number is even.
func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	n := len(v)
	if n == 0 {
		return math.NaN()
	}
	return (v[(n-1)/2] + v[n/2]) / 2
}

// Write prints the rows, aligned.
func (t *StepTable) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "method\tshots\tinner steps\tMSE\tmedian\ttasks\t")
	for _, r := range t.Rows {
		fmt.Fprintf(tw, "%s\t%v\t%s\t%.3f\t%.3f\t%d\t\n", r.Method, r.Shots, stepsText(r.Steps), r.MSE, r.Median, r.Tasks)
	}
	return tw.Flush()
}
