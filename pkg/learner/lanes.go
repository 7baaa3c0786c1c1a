package learner

import (
	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// A Group computes the gradients of up to nn.Lanes tasks at once, each in a lane
// of the vector registers, and sums them. Its bits are those of Gradient for one
// task after the other, summed by the tree over tasks. It is the work space of one
// goroutine.
//
// Memory: nn.Lanes times that of the learner: see GroupBytes.
type Group struct {
	lanes laneLearner
	loss  [nn.Lanes]float32
}

// laneLearner is a learner over lanes.
type laneLearner interface {
	tasks() *laneTasks
	// compute fills tasks' sum, and loss, from tasks' data.
	compute(theta []float32, step int64, loss *[nn.Lanes]float32)
}

// NewGroup returns the group of l, or nil where l's learner or model has no form
// over lanes.
func NewGroup(l Learner[float32]) *Group {
	switch l := l.(type) {
	case *maml[float32]:
		if l.model.Lanes() {
			return &Group{lanes: newLaneMAML(l)}
		}
	case *anil[float32]:
		if l.model.Lanes() {
			return &Group{lanes: newLaneANIL(l)}
		}
	}
	return nil
}

// GroupBytes is about how many bytes a Group of l needs beside its activations:
// nn.Lanes times K+2 copies of the parameters, 2K+2 with learned rates, 2K+3 with
// one for each parameter. anil: one copy, and 2K+3 of the head.
func GroupBytes(l Learner[float32]) int {
	switch l := l.(type) {
	case *maml[float32]:
		return groupBytes(l.config, l.model)
	case *anil[float32]:
		return groupBytes(l.config, l.model)
	}
	return 0
}

func groupBytes(c Config, m *nn.Model) int {
	if c.Name == "anil" {
		h := m.Head()
		return 4 * nn.Lanes * (m.NumParams() + (2*c.Steps+3)*(h.Hi-h.Lo))
	}
	return 4 * nn.Lanes * m.NumParams() * (max(c.ownCopies(), 1) + 1)
}

// GradientSum overwrites sum (NumParams elements) with the sum of the gradients of
// tasks, an aligned group of at most nn.Lanes of the step's tasks, by the tree over
// them, and losses[i] with the outer loss of tasks[i]. A nil task is left out. It
// reports whether it could: not where the tasks differ in their numbers of samples
// or one is malformed, and not where a result is not finite. Then sum and losses
// are in no state to use, and Gradient, task by task, finds the sum or the fault.
// It allocates nothing once it has seen its largest tasks.
func (g *Group) GradientSum(theta []float32, tasks []*Task[float32], losses, sum []float32) bool {
	first := g.lanes.tasks().load(theta, tasks, sum)
	if first == nil {
		return false
	}
	g.lanes.compute(theta, first.Step, &g.loss)
	for i, t := range tasks {
		if losses[i] = 0; t != nil {
			losses[i] = g.loss[i]
		}
	}
	return kernel.IsFinite(losses[:len(tasks)]) && kernel.IsFinite(sum)
}

// laneBatch is a Batch of each task, interleaved.
type laneBatch struct {
	n       int
	x, y, w []float32
}

// put makes the batch that of tasks, which have n samples each. Lanes without a
// task repeat the first one there is.
func (b *laneBatch) put(tasks []*Task[float32], first *Task[float32], of func(*Task[float32]) *Batch[float32], in, targets int) {
	b.n = of(first).N
	b.x, b.y, b.w = laneRoom(b.x, b.n*in), laneRoom(b.y, b.n*targets), laneRoom(b.w, b.n)
	for lane := range nn.Lanes {
		t := first
		if lane < len(tasks) && tasks[lane] != nil {
			t = tasks[lane]
		}
		from := of(t)
		kernel.LanePut(b.x, lane, from.X[:b.n*in])
		kernel.LanePut(b.y, lane, from.Y[:b.n*targets])
		kernel.LanePut(b.w, lane, from.W[:b.n])
	}
}

func supportOf(t *Task[float32]) *Batch[float32] { return &t.Support }

func queryOf(t *Task[float32]) *Batch[float32] { return &t.Query }

// laneTasks are the tasks of a group, interleaved, and the sum of their gradients.
type laneTasks struct {
	of             *base[float32]
	params         int // of the learner
	support, query laneBatch
	mask           kernel.LaneMask
	sum            []float32
}

func (l *laneTasks) tasks() *laneTasks { return l }

// load interleaves tasks and returns the first, or nil where they are no group.
func (l *laneTasks) load(theta []float32, tasks []*Task[float32], sum []float32) (first *Task[float32]) {
	l.mask = kernel.LaneMask{}
	for lane, t := range tasks {
		if t == nil {
			continue
		}
		if first == nil {
			first = t
		}
		if lane >= nn.Lanes || l.of.checkTask(t, theta, sum, l.params) != nil ||
			t.Support.N != first.Support.N || t.Query.N != first.Query.N || t.Step != first.Step {
			return nil
		}
		l.mask.Set(lane, true)
	}
	if first == nil {
		return nil
	}
	l.sum = sum
	in, targets := l.of.model.In(), l.of.targets()
	l.support.put(tasks, first, supportOf, in, targets)
	l.query.put(tasks, first, queryOf, in, targets)
	return first
}

// laneRoom returns x with n elements, made anew, and half as long again, where it
// is too short.
func laneRoom(x []float32, n int) []float32 {
	if cap(x) < n*nn.Lanes {
		x = kernel.NewLanes(n + n/2)
	}
	return x[:n*nn.Lanes]
}
