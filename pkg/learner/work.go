package learner

import "github.com/warmstart-ml/warmstart/internal/kernel"

// Work counts the floating-point operations of a task's gradient: two for each
// multiply-add of every product in the forward, backward, R-forward and R-backward
// passes, with F those of a sample's forward pass and G those less the first
// layer's, whose input has no gradient:
//
//	forward     F          R-forward   F + G
//	backward    F + G      R-backward  F + 3G
//
// Each of K inner steps is all four over the support (first order: the first two),
// each weighted query loss the first two over the query. False: not counted for
// this learner.
func Work[T kernel.Float](l Learner[T], task *Task[T]) (flops float64, ok bool) {
	m, ok := l.(*maml[T])
	if !ok {
		return 0, false
	}
	m.prepare(task.Step)
	f, first := m.model.Work()
	g := f - first
	gradient := 2 * (2*f + g)
	if task.Support.N == 0 {
		return gradient * float64(task.Query.N), true
	}
	step := gradient
	if m.second {
		step += 2 * (2*f + 4*g)
	}
	queries := 0
	for k, w := range m.weights {
		if w != 0 || k == m.steps {
			queries++
		}
	}
	return step*float64(m.steps*task.Support.N) + gradient*float64(queries*task.Query.N), true
}
