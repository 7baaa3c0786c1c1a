package coldstart

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"

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
	// by the inputs), pooled, scratch (the network from random parameters, trained
	// on the support), finetuned (the pooled model, trained so), nearest (that of
	// the training task it is most like, trained so), or adapted.
	Method string `json:"method"`
	Shots  []int  `json:"shots,omitempty"` // what a support is drawn by, where the family says
	// Steps is the number of inner steps; for scratch, finetuned and nearest of
	// Adam; null where there are none.
	Steps      *int       `json:"steps"`
	Accuracy   float64    `json:"accuracy"`    // percent
	AccuracyCI [2]float64 `json:"accuracy_ci"` // 95 %: 1.96 standard errors over tasks
	Loss       *float64   `json:"loss"`        // mean outer loss; null where there is none
	Tasks      int        `json:"tasks"`
}

// EvaluateClasses makes the table of a base model on the test tasks of a family
// of classes.
func EvaluateClasses(b *Base, f taskshards.Family, o TaskOptions) (ClassTable, error) {
	t, err := evaluateClasses(b, f, o)
	if err != nil {
		return t, fmt.Errorf("evaluate model: %w", err)
	}
	return t, nil
}

func evaluateClasses(b *Base, f taskshards.Family, o TaskOptions) (t ClassTable, err error) {
	classes := f.Shape().Out
	if !f.Shape().Classes {
		return t, fmt.Errorf("family %s: found targets that are no classes", b.Family.Name)
	}
	e, err := newExaminer(b, f, o, grader{
		floor: "nearest_sample",
		guess: func(t *taskshards.Task, y []float32) { nearestSample(t, classes, y) },
		grade: func(y []float32, q *learner.Batch[float32]) float64 { return 100 * Accuracy(y, q.Y, q.N) },
	})
	if err != nil {
		return t, err
	}
	all, err := e.examine()
	if err != nil {
		return t, err
	}
	for _, r := range all {
		row := ClassRow{Method: r.name, Shots: o.Shots, Steps: r.steps, Loss: r.loss, Tasks: r.tasks}
		row.Accuracy, row.AccuracyCI = errorBars(r.grades, 100)
		t.Rows = append(t.Rows, row)
	}
	t.Notes = e.notes(fmt.Sprintf("accuracy in percent of the query, chance %.1f", 100/float64(classes)))
	return t, nil
}

// Accuracy is the share of n samples whose largest score, the first of equals, is
// that of their class; y and t are [n][classes].
func Accuracy(y, t []float32, n int) float64 {
	return float64(nn.Correct(n, len(y)/max(n, 1), y, t)) / float64(n)
}

// nearestSample scores the class of the nearest support sample 1, by the squared
// distance of the inputs, and the others 0; without a support all.
func nearestSample(t *taskshards.Task, classes int, y []float32) {
	clear(y)
	s, q := &t.Support, &t.Query
	if s.N == 0 {
		return
	}
	in := len(q.X) / q.N
	for i := range q.N {
		best, least := 0, math.Inf(1)
		for j := range s.N {
			d := 0.0
			for k := range in {
				r := float64(q.X[i*in+k]) - float64(s.X[j*in+k])
				d += float64(r * r)
			}
			if d < least {
				best, least = j, d
			}
		}
		y[i*classes+nn.Argmax(s.Y[best*classes:(best+1)*classes])] = 1
	}
}

// Write prints the rows, aligned, and the notes.
func (t *ClassTable) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "method\tshots\tsteps\taccuracy %\t95 %\tloss\ttasks\t")
	for _, r := range t.Rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%.2f\t%.2f-%.2f\t%s\t%d\t\n",
			r.Method, setText(r.Shots), stepsText(r.Steps), r.Accuracy, r.AccuracyCI[0], r.AccuracyCI[1], lossText(r.Loss), r.Tasks)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return writeNotes(w, t.Notes)
}
