package worker

import (
	"errors"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// Reproduce computes alone the work that stopped a run, of its shard only the task at fault, and returns how it failed: nil
// where it succeeds here.
func (k Kinds) Reproduce(f metatrain.Fault, data *taskshards.DataSet) error {
	e, err := newEngine(f.Spec, k, data)
	if err != nil {
		return err
	}
	j := &job{lease: f.Lease, theta: f.Theta, pooled: f.Pooled}
	if _, ok := splitOf(f); ok {
		j.lease.Work.Node = metatrain.Node{Index: f.Task}
	}
	return e.do(j)
}

// ErrNoTask: no one task is at fault.
var ErrNoTask = errors.New("the failure is no one task's")

// Inputs draws the task at fault as the learner saw it: support and query as arrays x [rows][inputs], y [rows][outputs]
// and w [rows], named as docs/arrays.md has them.
func (k Kinds) Inputs(f metatrain.Fault, data *taskshards.DataSet) ([]checkpoint.Tensor, error) {
	split, ok := splitOf(f)
	if !ok {
		return nil, ErrNoTask
	}
	e, err := newEngine(f.Spec, k, data)
	if err != nil {
		return nil, err
	}
	step := uint64(f.Lease.Work.Step)
	if split == taskshards.Validate {
		step = 0 // the same tasks at every step
	}
	if err := e.family.Sample(split, e.spec.Seed, step, uint64(f.Task), &e.task); err != nil {
		return nil, err
	}
	var ts []checkpoint.Tensor
	for _, set := range []struct {
		name string
		b    *taskshards.Batch
	}{{"support", &e.task.Support}, {"query", &e.task.Query}} {
		for _, a := range []struct {
			name string
			v    []float32
		}{{"_x", set.b.X}, {"_y", set.b.Y}, {"_w", set.b.W}} {
			shape := []int{set.b.N}
			if a.name != "_w" && set.b.N > 0 {
				shape = append(shape, len(a.v)/set.b.N)
			}
			ts = append(ts, checkpoint.Tensor{Name: set.name + a.name, Shape: shape, F32: a.v})
		}
	}
	return ts, nil
}

// splitOf is the split that the task at fault is of, where it is one task's fault.
func splitOf(f metatrain.Fault) (split taskshards.Split, ok bool) {
	if f.Task < 0 || f.Task >= f.Lease.Tasks {
		return 0, false
	}
	switch f.Lease.Work.Kind {
	case metatrain.Train:
		return taskshards.Train, true
	case metatrain.Validate:
		return taskshards.Validate, true
	}
	return 0, false
}
