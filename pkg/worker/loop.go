package worker

import (
	"context"
	"fmt"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// Loop is the inner loop of a spec run by hand: what a worker does for a lease, without a coordinator. It is the work
// space of one goroutine.
type Loop struct {
	e    *engine
	task taskshards.Task
}

// NewLoop builds what a spec describes, with its data where the family has any.
func NewLoop(spec metatrain.RunSpec, kinds Kinds, data *taskshards.DataSet) (*Loop, error) {
	e, err := newEngine(spec, kinds, data)
	if err != nil {
		return nil, err
	}
	return &Loop{e: e}, nil
}

// Start returns theta_0.
func (l *Loop) Start() []float32 {
	theta := make([]float32, l.e.params)
	l.e.tracks[0].Init(l.e.spec.Seed, theta)
	return theta
}

// Sum returns the sum of the meta-gradients of a node of a step's tree over so many tasks. Its vector is the caller's
// until it is given back.
func (l *Loop) Sum(theta []float32, step int64, node metatrain.Node, tasks int) (metatrain.Partial, error) {
	if len(theta) != l.e.params {
		return metatrain.Partial{}, fmt.Errorf("theta has %d parameters, expected %d", len(theta), l.e.params)
	}
	work := metatrain.Work{Kind: metatrain.Train, Step: step, Node: node}
	if a := l.e.ahead; a != nil {
		k, _ := keyOf(l.e, work, tasks)
		a.coming(k)
		defer a.finished(k)
	}
	return l.e.gradients(&job{theta: theta, lease: metatrain.Lease{Tasks: tasks, Work: work}})
}

// DrawAhead draws the tasks of the sums to come in a goroutine of its own until ctx ends, as a worker does.
func (l *Loop) DrawAhead(ctx context.Context) {
	l.e.ahead = newAhead()
	go func() { _ = l.e.ahead.run(ctx) }()
}

// Drawn counts the tasks that sums asked for, and those of them that had to be drawn in line.
func (l *Loop) Drawn() (tasks, inLine int64) { return l.e.drawn, l.e.inLine }

// Recycle gives back the vector of a sum.
func (l *Loop) Recycle(p metatrain.Partial) {
	if p.Vec != nil {
		l.e.free = append(l.e.free, p.Vec)
	}
}

// Draw draws a training task and forgets it.
func (l *Loop) Draw(step int64, task int) error {
	return l.e.family.Sample(taskshards.Train, l.e.spec.Seed, uint64(step), uint64(task), &l.task)
}

// Work counts the floating-point operations of a task's gradient by the rule of learner.Work.
func (l *Loop) Work(step int64, task int) (flops float64, ok bool) {
	if l.Draw(step, task) != nil {
		return 0, false
	}
	view := viewOf(&l.task, step)
	return learner.Work(l.e.tracks[0], &view)
}

// Form says how full groups of tasks are computed: lanes, sixteen at once, or single. It is known after the first Sum
// of sixteen tasks.
func (l *Loop) Form() string { return l.e.inners[0].form() }

// Params is the number of parameters, the learner's own included.
func (l *Loop) Params() int { return l.e.params }
