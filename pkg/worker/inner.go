package worker

import (
	"math"
	"slices"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// groupLevel is the level in the tree of a group of nn.Lanes tasks.
const groupLevel = 4

// groupBytes is how much memory a group may take before tasks are computed one by one without asking which is faster:
// beyond it a group's parameters fit in no cache.
const groupBytes = 64 << 20

// inner computes the meta-gradients of a track: in groups of tasks, or one by one, whichever is found to be faster on
// the first group that comes. Bits are the same.
type inner struct {
	learner learner.Learner[float32]
	group   *learner.Group // nil where there is none
	// least is how many tasks a group must have to be faster than one by one; 0 until measured.
	least  int
	tasks  [nn.Lanes]taskshards.Task
	views  [nn.Lanes]learner.Task[float32]
	lanes  [nn.Lanes]*learner.Task[float32]
	losses [nn.Lanes]float32
	drawn  [2]int // tasks lo to hi-1 of the work at hand are in views
	scored [][nn.Lanes]float32
	valid  *nn.LaneLoss
}

func newInner(l learner.Learner[float32]) *inner {
	in := &inner{learner: l, least: nn.Lanes + 1}
	if bytes := learner.GroupBytes(l); bytes > 0 && bytes <= groupBytes {
		if in.group = learner.NewGroup(l); in.group != nil {
			in.least = 0
		}
	}
	return in
}

// sample draws tasks lo.. of a step, but for those skipped, as many as lanes. It reports whether all could be drawn.
func (in *inner) sample(e *engine, split taskshards.Split, step int64, lanes []*learner.Task[float32], lo int, skip []int) (count int, ok bool) {
	in.drawn = [2]int{}
	for i := range lanes {
		if lanes[i] = nil; slices.Contains(skip, lo+i) {
			continue
		}
		if e.draw(split, step, lo+i, &in.tasks[i]) != nil {
			return 0, false
		}
		in.views[i] = viewOf(&in.tasks[i], step)
		lanes[i] = &in.views[i]
		count++
	}
	in.drawn = [2]int{lo, lo + len(lanes)}
	return count, true
}

// task draws one task, unless it has been.
func (in *inner) task(e *engine, step int64, task int) (*learner.Task[float32], error) {
	if task >= in.drawn[0] && task < in.drawn[1] {
		return &in.views[task-in.drawn[0]], nil
	}
	in.drawn = [2]int{}
	err := e.draw(taskshards.Train, step, task, &in.tasks[0])
	in.views[0] = viewOf(&in.tasks[0], step)
	return &in.views[0], err
}

// sum is the sum of tasks [lo, hi), an aligned group of at most nn.Lanes. False: it is for one by one to find it, or
// the fault.
func (in *inner) sum(e *engine, j *job, lo, hi int) (metatrain.Partial, bool) {
	if in.least > nn.Lanes || in.least > hi-lo || hi-lo == 1 {
		return metatrain.Partial{}, false
	}
	lanes, n := in.lanes[:hi-lo], in.learner.NumParams()
	count, ok := in.sample(e, taskshards.Train, j.lease.Work.Step, lanes, lo, j.lease.Skip)
	if !ok || count == 0 || count < in.least {
		return metatrain.Partial{}, false
	}
	theta, grad := j.theta[:n], e.vector()
	if !in.group.GradientSum(theta, lanes, in.losses[:], grad[:n]) {
		e.free = append(e.free, grad)
		return metatrain.Partial{}, false
	}
	if in.least == 0 {
		in.measure(theta, lanes, e)
	}
	clear(grad[n:]) // what only the base model's learner has stays as it is
	return metatrain.Partial{Vec: grad, Metrics: []float64{sumLosses(in.losses[:], lanes)}, Tasks: count}, true
}

// scores is the sum of the validation losses of tasks [lo, hi) after each of steps, as sum is that of gradients.
func (in *inner) scores(e *engine, j *job, steps []int, lo, hi int) (metatrain.Partial, bool) {
	if in.least > nn.Lanes || in.least > hi-lo || hi-lo == 1 || e.countsErrors {
		return metatrain.Partial{}, false
	}
	lanes := in.lanes[:hi-lo]
	count, ok := in.sample(e, taskshards.Validate, 0, lanes, lo, j.lease.Skip)
	if !ok || count == 0 || count < in.least {
		return metatrain.Partial{}, false
	}
	if in.valid == nil {
		in.valid, in.scored = nn.NewLaneLoss(e.valid, e.model.Out()), make([][nn.Lanes]float32, len(steps))
	}
	if !in.group.Scores(j.theta[:in.learner.NumParams()], lanes, steps, in.valid, in.scored) {
		return metatrain.Partial{}, false
	}
	metrics := make([]float64, len(steps))
	for i := range steps {
		for lane, loss := range in.scored[i][:hi-lo] {
			in.losses[lane] = float32(bounded(float64(loss)))
		}
		metrics[i] = sumLosses(in.losses[:], lanes)
	}
	return metatrain.Partial{Metrics: metrics, Tasks: count}, true
}

// sumLosses adds the losses of the tasks there are by the tree.
func sumLosses(losses []float32, tasks []*learner.Task[float32]) float64 {
	var sum [nn.Lanes]float64
	var there [nn.Lanes]bool
	for i, t := range tasks {
		sum[i], there[i] = float64(losses[i]), t != nil
	}
	for n := nn.Lanes / 2; n > 0; n /= 2 {
		for i := range n {
			left, right := there[2*i], there[2*i+1]
			switch a, b := sum[2*i], sum[2*i+1]; {
			case left && right:
				sum[i] = a + b
			case left:
				sum[i] = a
			default:
				sum[i] = b
			}
			there[i] = left || right
		}
	}
	return sum[0]
}

// Each form is tried for so long and so often, by turns, since what else the machine does comes and goes.
const (
	measuring = 2 * time.Millisecond
	leastTurn = 8
)

// measure sets least from the least times of a group, once warm, and of the first task in it.
func (in *inner) measure(theta []float32, lanes []*learner.Task[float32], e *engine) {
	first := lanes[slices.IndexFunc(lanes, func(t *learner.Task[float32]) bool { return t != nil })]
	grad := e.vector()
	defer func() { e.free = append(e.free, grad) }()
	n, losses := len(theta), in.losses
	one, all := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	var spent time.Duration
	for turn := -1; turn < leastTurn || spent < 2*measuring; turn++ {
		a := timed(func() { in.group.GradientSum(theta, lanes, losses[:], grad[:n]) })
		b := timed(func() {
			for range singles {
				_, _ = in.learner.Gradient(theta, first, grad[:n])
			}
		})
		if turn >= 0 { // the first one grows the work space
			one, all, spent = min(one, b/singles), min(all, a), spent+a+b
		}
	}
	in.least = max(2, min(int(all/max(one, 1))+1, nn.Lanes+1))
}

// singles is how many single tasks are timed together.
const singles = 4

func timed(f func()) time.Duration {
	began := time.Now()
	f()
	return time.Since(began)
}

// form names how full groups are computed.
func (in *inner) form() string {
	if in.least > nn.Lanes {
		return "single"
	}
	return "lanes"
}
