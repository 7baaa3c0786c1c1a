package coldstart

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// RegressionTable is the table of a family of regression tasks without series, as
// sinusoid: the error on the query, by method and number of inner steps.
type RegressionTable struct {
	Rows  []RegressionRow `json:"rows"`
	Notes []string        `json:"notes,omitempty"`
}

// RegressionRow is one method, over so many unseen tasks: the mean squared error
// over their queries, and the median over tasks beside it: a few hard tasks rule
// the mean.
type RegressionRow struct {
	// Method is mean (of the support's targets; 0 without any), pooled, scratch (the
	// network from random parameters, trained on the support), finetuned (the pooled
	// model, trained so), nearest (that of the training task it is most like, trained
	// so), or adapted.
	Method string `json:"method"`
	Shots  []int  `json:"shots"` // samples of a support, drawn from these; empty where the files say
	// Steps is the number of inner steps; for scratch, finetuned and nearest of
	// Adam; null where there are none.
	Steps  *int       `json:"steps"`
	MSE    float64    `json:"mse"`
	MSECI  [2]float64 `json:"mse_ci"` // 95 %: 1.96 standard errors over tasks
	Median float64    `json:"median"`
	Loss   *float64   `json:"loss"` // mean outer loss; null where there is none
	Tasks  int        `json:"tasks"`
}

// EvaluateRegression makes the table of a base model on the test tasks of a
// family of regression tasks.
func EvaluateRegression(b *Base, f taskshards.Family, o TaskOptions) (RegressionTable, error) {
	t, err := evaluateRegression(b, f, o)
	if err != nil {
		return t, fmt.Errorf("evaluate model: %w", err)
	}
	return t, nil
}

func evaluateRegression(b *Base, f taskshards.Family, o TaskOptions) (t RegressionTable, err error) {
	mid := centralOf(b.Learner)
	e, err := newExaminer(b, f, o, grader{
		floor: "mean",
		guess: func(t *taskshards.Task, y []float32) { meanTarget(t, mid, y) },
		grade: func(y []float32, q *learner.Batch[float32]) float64 { return squaredError(mid.pick(y), q.Y) },
		worst: diverged,
	})
	if err != nil {
		return t, err
	}
	all, err := e.examine()
	if err != nil {
		return t, err
	}
	for _, r := range all {
		row := RegressionRow{Method: r.name, Shots: o.Shots, Steps: r.steps, Loss: r.loss, Tasks: r.tasks, Median: rounded(median(r.grades))}
		row.MSE, row.MSECI = errorBars(r.grades, diverged)
		t.Rows = append(t.Rows, row)
	}
	t.Notes = e.notes("mean squared error of the query's targets")
	return t, nil
}

// meanTarget answers each sample of the query with the mean of the support's
// targets, 0 where there is none.
func meanTarget(t *taskshards.Task, mid central, y []float32) {
	clear(y)
	s, outputs := &t.Support, len(y)/t.Query.N
	if s.N == 0 {
		return
	}
	targets := mid.targets(outputs)
	for k := range outputs {
		var m mean
		for i := range s.N {
			m.add(float64(s.Y[i*targets+k/(outputs/targets)]))
		}
		for i := range t.Query.N {
			y[i*outputs+k] = float32(m.value())
		}
	}
}

// squaredError is the mean over all targets.
func squaredError(y, target []float32) float64 {
	var m mean
	for i := range y {
		d := float64(y[i]) - float64(target[i])
		m.add(float64(d * d))
	}
	return bounded(m.value())
}

// innerSteps are the numbers of inner steps that make rows of their own: one, the learner's way (below 0), where it solves
// for its head and takes none; none at all for pooled, which does not adapt.
func innerSteps(c learner.Config, steps []int) []int {
	switch c.Name {
	case "ridge", "protonet":
		return []int{-1}
	case "pooled":
		return []int{0}
	}
	return steps
}

// setText is what supports are drawn by, "-" where the files say.
func setText(shots []int) string {
	if len(shots) == 0 {
		return "-"
	}
	return fmt.Sprint(shots)
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

func lossText(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.4g", *v)
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

// Write prints the rows, aligned, and the notes.
func (t *RegressionTable) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "method\tshots\tsteps\tMSE\t95 %\tmedian\tloss\ttasks\t")
	for _, r := range t.Rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%.4g\t%.4g-%.4g\t%.4g\t%s\t%d\t\n",
			r.Method, setText(r.Shots), stepsText(r.Steps), r.MSE, r.MSECI[0], r.MSECI[1], r.Median, lossText(r.Loss), r.Tasks)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return writeNotes(w, t.Notes)
}
