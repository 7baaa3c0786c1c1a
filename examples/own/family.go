package main

import (
	"encoding/json"
	"fmt"

	"github.com/warmstart-ml/warmstart/pkg/taskshards"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// TriangleOptions are the keys under `family:` of triangle waves. The tags are what --explain, the JSON schema and the
// check of a spec go by.
type TriangleOptions struct {
	Shots  []int   `json:"shots" default:"[10]" min:"1" max:"1000" unit:"samples" why:"support points of a task; several: drawn per task"`
	Query  int     `json:"query" default:"10" min:"1" max:"1000" unit:"samples" why:"points the adapted model is scored on"`
	Period float64 `json:"period" default:"8" min:"0.1" max:"100" unit:"x" why:"length of a wave; height and phase differ from task to task"`
}

// triangle describes the family to warmstart.
func triangle() worker.FamilyKind {
	return worker.FamilyKind{
		Options: func() any { return new(TriangleOptions) },
		Learner: "maml",
		Preset: `
model: {name: bottleneck}
learner: maml
outer: {loss: mse}
meta_batch: 25
validation: {every: 100, tasks: 100}
evaluation: {pooled: false, tasks: 200, steps: [0, 1, 5]}
`,
		Build: func(options json.RawMessage, _ *taskshards.DataSet) (taskshards.Family, error) {
			f := new(Triangle)
			if err := json.Unmarshal(options, &f.o); err != nil {
				return nil, fmt.Errorf("family triangle: options: %w", err)
			}
			return f, nil
		},
	}
}

// Triangle is the family: y is a triangle wave of x in [-4, 4), its height from U[0.5, 3], its phase from the whole period.
type Triangle struct{ o TriangleOptions }

// Shape is one input and one target.
func (f *Triangle) Shape() taskshards.Shape { return taskshards.Shape{In: []int{1}, Out: 1} }

// Sample draws a task. It is a function of its arguments: a keyed stream in place of math/rand, and no function of
// package math that differs by processor, so that every worker makes the same bits.
func (f *Triangle) Sample(split taskshards.Split, seed, step, task uint64, into *taskshards.Task) error {
	st := taskshards.NewStream(seed, "triangle/"+split.String(), step, task)
	height, phase := st.Uniform(0.5, 3), st.Float64()
	shots := f.o.Shots[st.Intn(len(f.o.Shots))]
	for _, part := range []struct {
		n int
		b *taskshards.Batch
	}{{shots, &into.Support}, {f.o.Query, &into.Query}} {
		part.b.Resize(part.n, 1, 1)
		for i := range part.n {
			x := float32(st.Uniform(-4, 4))
			part.b.X[i], part.b.Y[i], part.b.W[i] = x, float32(height*wave(float64(x)/f.o.Period+phase)), 1/float32(part.n)
		}
	}
	return nil
}

// wave goes from -1 to 1 and back as at goes from one whole number to the next.
func wave(at float64) float64 {
	at -= float64(int64(at))
	if at < 0 {
		at++
	}
	if at < 0.5 {
		return float64(4*at) - 1
	}
	return 3 - float64(4*at)
}
