package coldstart

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"text/tabwriter"

	"github.com/warmstart-ml/warmstart/pkg/nn"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// Accuracy is the share of n samples whose largest score, the first of equals, is
// that of their class; y and t are [n][classes].
func Accuracy(y, t []float32, n int) float64 {
	return float64(nn.Correct(n, len(y)/max(n, 1), y, t)) / float64(n)
}

// errorBars is the mean and the 95 % interval of it, 1.96 standard errors either
// way, within 0 to 100.
func errorBars(v []float64) (float64, [2]float64) {
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
	return rounded(m.value()), [2]float64{rounded(max(0, m.value()-wide)), rounded(min(100, m.value()+wide))}
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
		steps, loss := "-", "-"
		if r.Steps != nil {
			steps = strconv.Itoa(*r.Steps)
		}
		if r.Loss != nil {
			loss = strconv.FormatFloat(*r.Loss, 'f', 4, 64)
		}
		fmt.Fprintf(tw, "%s\t%v\t%s\t%.2f\t%.2f-%.2f\t%s\t%d\t\n", r.Method, r.Shots, steps, r.Accuracy, r.AccuracyCI[0], r.AccuracyCI[1], loss, r.Tasks)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	return writeNotes(w, t.Notes)
}
