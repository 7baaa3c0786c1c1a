package coldstart

import (
	"errors"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// The method nearest for tasks without series: of some training tasks, each with
// a network of its own, it takes the one whose network loses least on the new
// task's support, and trains that network on.

// Bounds of the training tasks looked at: so many, fewer where their networks
// would take more memory.
const (
	neighbourTasks = 64
	neighbourBytes = 64 << 20
)

// neighbourTask is a training task: its samples, and the network made of them.
type neighbourTask struct {
	samples learner.Batch[float32]
	network *learner.Predictor[float32]
}

// neighbours makes networks of training tasks as scratch does, by choice c, of
// support and query together. Those after the tasks that tune, so that these do
// not find themselves. None for omniglot: each of its tasks numbers its classes
// anew, so that what one calls class 0 says nothing of another's.
func (e *examiner) neighbours(c Choice) ([]neighbourTask, error) {
	if _, numbered := e.family.(*taskshards.Omniglot); numbered {
		return nil, nil
	}
	var near []neighbourTask
	for i := range min(neighbourTasks, neighbourBytes/(4*len(e.w.random))) {
		if err := e.family.Sample(taskshards.Train, e.o.Seed, 0, uint64(tuneTasks+i), &e.task); err != nil {
			return nil, err
		}
		s := joined(&e.task)
		p, err := e.w.fit(e.w.random, s, c)
		if errors.Is(err, learner.ErrDiverged) {
			continue
		}
		if err != nil {
			return nil, err
		}
		near = append(near, neighbourTask{s, p})
	}
	return near, nil
}

// joined is a task's support and query as one batch, weights scaled to the same
// sum.
func joined(t *taskshards.Task) learner.Batch[float32] {
	s, q := &t.Support, &t.Query
	b := learner.Batch[float32]{N: s.N + q.N, X: slices.Concat(s.X, q.X), Y: slices.Concat(s.Y, q.Y)}
	for _, part := range []*taskshards.Batch{s, q} {
		share := float32(part.N) / float32(b.N)
		for _, w := range part.W {
			b.W = append(b.W, w*share)
		}
	}
	return b
}

// closestTask is the network that loses least on the support, the first of
// equals; nil without a support. While training tasks are scored, one that holds
// a sample of the task may be the same member, and does not count.
func closestTask(near []neighbourTask, t *taskshards.Task, split taskshards.Split) (best *learner.Predictor[float32]) {
	s := batchOf(&t.Support)
	if s.N == 0 {
		return nil
	}
	least := 0.0
	for _, n := range near {
		if split == taskshards.Train && overlap(&n.samples, &s) {
			continue
		}
		if loss := bounded(float64(n.network.Loss(&s))); best == nil || loss < least {
			best, least = n.network, loss
		}
	}
	return best
}

// overlap reports whether two batches, the second not empty, have a sample in
// common.
func overlap(a, b *learner.Batch[float32]) bool {
	in, out := len(b.X)/b.N, len(b.Y)/b.N
	for i := range a.N {
		for j := range b.N {
			if slices.Equal(a.X[i*in:(i+1)*in], b.X[j*in:(j+1)*in]) && slices.Equal(a.Y[i*out:(i+1)*out], b.Y[j*out:(j+1)*out]) {
				return true
			}
		}
	}
	return false
}
