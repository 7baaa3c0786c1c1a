package learner

import (
	"fmt"
	"math"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// reptile (Nichol, Achiam and Schulman, 2018, algorithm 1) takes K steps of an
// inner optimizer on the support and calls the way back a gradient:
//
//	grad = (theta - theta_K) / rate
//
// which for SGD is the sum of the K inner gradients, and for Adam that of its K
// normalised steps. It is the gradient of no loss. An outer step of SGD at the
// rate e*rate moves theta by the paper's e*(theta_K - theta); Adam outside takes
// it like any other gradient.
//
// With InnerBatch each step sees a part of the support, the parts taking turns:
// what the gradients of unlike samples agree on is what Reptile learns (section
// 5). The authors shuffle the samples before; here their order says which part
// they are in. Adam starts each task with moments of zero, so that a task's gradient
// depends on nothing but theta and the task; the authors' code keeps the second
// moments from task to task. The query serves the reported loss alone, and a task without a support
// has a gradient of zero. Tracked statistics are no part of the way: see tracked.
// Memory: 4 copies of the parameters, the gradient included; SGD 3.
type reptile[T kernel.Float] struct {
	base[T]
	support inner[T]
	part    Batch[T]
	step    optimizer[T]
	stats   tracked[T]
	at, g   []T
}

func newReptile[T kernel.Float](b base[T]) *reptile[T] {
	return &reptile[T]{base: b, support: b.newInner(), step: newOptimizer[T](b.config, b.size),
		stats: newTracked[T](b.model), at: make([]T, b.size), g: make([]T, b.size)}
}

func (r *reptile[T]) NumParams() int { return r.size }

func (r *reptile[T]) Params() []nn.Param { return r.model.Params() }

func (r *reptile[T]) Init(seed uint64, theta []float32) { r.model.Init(seed, theta) }

func (r *reptile[T]) Gradient(theta []T, task *Task[T], grad []T) (T, error) {
	if err := r.checkTask(task, theta, grad, r.size); err != nil {
		return 0, err
	}
	steps := r.descend(theta, &task.Support, r.config.Steps)
	r.query.SetStep(steps)
	loss := r.queryGradient(r.at, &task.Query, r.g)
	r.stats.take(r.g, 0)
	rate := T(r.config.Rate)
	for i, x := range theta {
		grad[i] = (x - r.at[i]) / rate
	}
	r.stats.put(grad, steps+1)
	return loss, finite(loss, grad)
}

// descend leaves theta after so many inner steps on s in r.at, and returns how
// many it took: none without samples.
func (r *reptile[T]) descend(theta []T, s *Batch[T], steps int) int {
	copy(r.at, theta)
	r.stats.begin()
	if s.N == 0 {
		return 0
	}
	r.step.reset()
	for k := range steps {
		r.support.gradient(r.at, k, r.seen(s, k), r.g)
		r.stats.take(r.g, 0)
		r.step.step(r.at, r.g)
	}
	return steps
}

// seen is what step k sees of s: all of it, or of the fewest parts of at most
// InnerBatch samples part k modulo their number, to which every so manieth sample
// belongs. Weights are scaled by the inverse of the part's share of the samples.
func (r *reptile[T]) seen(s *Batch[T], k int) *Batch[T] {
	parts := r.config.parts(s.N)
	if parts == 1 {
		return s
	}
	p, in, out := &r.part, len(s.X)/s.N, len(s.Y)/s.N
	k %= parts
	p.N = share(s.N, parts, k)
	p.X, p.Y, p.W = room(p.X, p.N*in), room(p.Y, p.N*out), room(p.W, p.N)
	scale := T(s.N) / T(p.N)
	for i := range p.N {
		from := k + i*parts
		copy(p.X[i*in:][:in], s.X[from*in:])
		copy(p.Y[i*out:][:out], s.Y[from*out:])
		p.W[i] = scale * s.W[from]
	}
	return p
}

// parts is how many parts the n samples of a support are seen in.
func (c Config) parts(n int) int {
	if c.InnerBatch == 0 || n <= c.InnerBatch {
		return 1
	}
	return (n + c.InnerBatch - 1) / c.InnerBatch
}

// share is how many of n samples are in part k of parts.
func share(n, parts, k int) int { return (n - k + parts - 1) / parts }

func (r *reptile[T]) Adapt(theta []T, support *Batch[T], steps int) (*Predictor[T], error) {
	if len(theta) != r.size {
		return nil, fmt.Errorf("adapt: %d parameters, expected %d", len(theta), r.size)
	}
	if err := r.checkBatch("support", support); err != nil {
		return nil, fmt.Errorf("adapt: %w", err)
	}
	if steps < 0 {
		steps = r.config.Steps
	}
	steps = r.descend(theta, support, steps)
	p, err := r.newPredictor(append([]T(nil), r.at...))
	if err == nil {
		p.tape.SetStep(steps)
	}
	return p, err
}

// optimizer is SGD, or Adam (Kingma and Ba, 2015, algorithm 1) with the moments
// of one task; m is not kept where beta1 is 0.
type optimizer[T kernel.Float] struct {
	sgd          bool
	rate         float64
	beta1, beta2 float64
	power1       float64 // beta1^t
	power2       float64
	m, v         []T
}

// adamEpsilon is added to the root of the second moment.
const adamEpsilon = 1e-8

func newOptimizer[T kernel.Float](c Config, size int) optimizer[T] {
	o := optimizer[T]{sgd: c.InnerOptimizer == "sgd", rate: float64(c.Rate), beta1: float64(c.Beta1), beta2: float64(c.Beta2)}
	if !o.sgd {
		o.v = make([]T, size)
		if o.beta1 > 0 {
			o.m = make([]T, size)
		}
	}
	return o
}

// reset begins a task.
func (o *optimizer[T]) reset() {
	o.power1, o.power2 = 1, 1
	clear(o.m)
	clear(o.v)
}

// step moves theta against g, each operation rounded once:
//
//	m = b1*m + (1-b1)*g;  v = b2*v + ((1-b2)*g)*g
//	theta -= ((rate/(1-b1^t))*m) / (sqrt(v)*(1/sqrt(1-b2^t)) + 1e-8)
func (o *optimizer[T]) step(theta, g []T) {
	if o.sgd {
		kernel.Axpy(theta, theta, -T(o.rate), g)
		return
	}
	o.power1, o.power2 = float64(o.power1*o.beta1), float64(o.power2*o.beta2)
	rate, root := T(o.rate/(1-o.power1)), T(1/math.Sqrt(1-o.power2))
	b1, b2 := T(o.beta1), T(o.beta2)
	for i, x := range g {
		v := T(b2*o.v[i]) + T(T((1-b2)*x)*x)
		o.v[i] = v
		if o.m != nil {
			x = T(b1*o.m[i]) + T((1-b1)*x)
			o.m[i] = x
		}
		theta[i] -= T(rate*x) / (T(T(math.Sqrt(float64(v)))*root) + adamEpsilon)
	}
}
