package learner

import "github.com/warmstart-ml/warmstart/internal/kernel"

// Work counts the floating-point operations of a task's gradient: two for each
// multiply-add of every product in the forward, backward, R-forward and R-backward
// passes, with F those of a sample's forward pass, G those less the first
// layer's, whose input has no gradient, and H the head's:
//
//	forward     F          R-forward   F + G
//	backward    F + G      R-backward  F + 3G
//	backward from the head's inputs    (F - H) + (G - H)
//
// The MAML family and reptile take all that apply over the support at each of K
// inner steps (first order, reptile: the first two, reptile over what each step
// sees of it), and the first two over the query for each weighted loss. imaml takes the first two at each step and once
// at the end, the R-passes at each of its iterations, as if none ended early. anil
// takes one pass of the body for support and query, and products of the head: two
// at a step, four more for its curvature, three for each query loss. protonet takes
// a pass of the body for the support, and two of the head. False: not counted for
// this learner, which is ridge, whose solution is no such pass.
func Work[T kernel.Float](l Learner[T], task *Task[T]) (flops float64, ok bool) {
	switch l := l.(type) {
	case *maml[T]:
		return l.work(task), true
	case *anil[T]:
		return l.work(task), true
	case *reptile[T]:
		return 2 * l.passes().gradient() * float64(l.config.seen(task.Support.N)+task.Query.N), true
	case *imaml[T]:
		return l.work(task), true
	case *protonet[T]:
		c, n := l.passes(), task.counts()
		return 2 * (n.support*(c.f+2*c.h+c.body()) + n.query*c.gradient()), true
	}
	return 0, false
}

// passes are the multiply-adds of a sample in passes of the model.
type passes struct{ f, g, h float64 }

func (b *base[T]) passes() passes {
	f, first := b.model.Work()
	return passes{f: f, g: f - first, h: float64(b.model.Features() * b.model.Out())}
}

// gradient is forward and backward, product R-forward and R-backward, body backward
// from the head's inputs.
func (p passes) gradient() float64 { return 2*p.f + p.g }
func (p passes) product() float64  { return 2*p.f + 4*p.g }
func (p passes) body() float64     { return p.f - p.h + max(p.g-p.h, 0) }

// counts are the sizes of a task.
type counts struct{ support, query float64 }

func (t *Task[T]) counts() counts { return counts{float64(t.Support.N), float64(t.Query.N)} }

// seen is how many samples reptile's inner steps see together, of a support of n.
func (c Config) seen(n int) (sum int) {
	if n == 0 {
		return 0
	}
	parts := c.parts(n)
	for k := range c.Steps {
		sum += share(n, parts, k%parts)
	}
	return sum
}

// steps is how many of k inner steps are taken.
func (n counts) steps(k int) float64 {
	if n.support == 0 {
		return 0
	}
	return float64(k)
}

// weighted is how many of the losses after 0 to K steps count.
func weighted[T kernel.Float](weights []T) (n float64) {
	for k, w := range weights {
		if w != 0 || k == len(weights)-1 {
			n++
		}
	}
	return n
}

func (m *maml[T]) work(task *Task[T]) float64 {
	m.prepare(task.Step)
	c, n := m.passes(), task.counts()
	if n.support == 0 {
		return 2 * c.gradient() * n.query
	}
	step := c.gradient()
	if m.second {
		step += c.product()
	}
	return 2 * (step*n.steps(m.steps)*n.support + c.gradient()*weighted(m.weights)*n.query)
}

func (a *anil[T]) work(task *Task[T]) float64 {
	c, n := a.passes(), task.counts()
	if n.support == 0 {
		return 2 * c.gradient() * n.query
	}
	if a.config.MSLSteps > 0 {
		anneal(a.weights, task.Step, a.config.MSLSteps)
	}
	support, step := c.f, 2*c.h
	if a.config.FirstOrderSteps <= task.Step {
		support, step = support+c.body(), step+4*c.h
	}
	return 2 * (n.support*(support+n.steps(a.steps)*step) + n.query*(c.f+c.body()+3*c.h*weighted(a.weights)))
}

func (m *imaml[T]) work(task *Task[T]) float64 {
	c, n := m.passes(), task.counts()
	queries := 1.0
	if m.config.ZeroWeight != 0 {
		queries++
	}
	flops := queries * n.query * c.gradient()
	if n.support > 0 {
		flops += n.support * (float64(m.config.Steps+1)*c.gradient() + float64(m.config.CGSteps)*c.product())
	}
	return 2 * flops
}
