package learner

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// anil is maml with rates of zero below the head (Raghu, Raghu, Bengio and
// Vinyals, 2020): only the head h adapts, the body is learned. The recursion is
// maml's over all parameters, of which this is what the zeros leave.
//
// The body b is the same at every theta_k, and so are the features phi of the
// support and psi of the query: one forward pass each. The inner gradients are
// those of a linear model on phi. With y_k = phi h_k, l the inner loss, and
// lambda the head's part alone,
//
//	v = a_k*lambda_{k+1},  r = phi v,  s = l''(y_k)*r
//	H_k v over the head:   phi^T s
//	H_k v over the body:   J_phi^T (s h_k^T + l'(y_k) v^T)
//
// The last is the Hessian's block of head and body, which fills what does not
// adapt; a direction without a body part has no other R-values. J_phi^T is linear
// and the same for all k, so that the sum over k of what is in brackets goes back
// through the body once, and so does the query's.
//
// Every pass has no step behind it (nn.Tape.SetStep): the body takes none. Tracked
// statistics are those of the query's pass. Memory:
// 3 copies of the parameters, the gradient included, and 2K+3 of the head.
type anil[T kernel.Float] struct {
	base[T]
	steps      int
	f, out     int // the head's inputs and outputs
	head       nn.Group
	rates      rates[T]
	weights    []T // w_0..w_K
	losses     []T
	stats      tracked[T]
	tape       *nn.Tape[T] // of the support; query's is base's
	support    []headStep[T]
	one        [1]T
	v, hv      []T // of the head
	hT         []T // a head's weights, transposed [out][f]
	rdy        []T
	sSum, qSum []T // gradients for phi and psi, summed over k
	body       []T // a second gradient for the parameters
}

// headStep is what is kept of inner step k: outputs and their gradient at h_k,
// and the gradient for h_k; next = h_{k+1}.
type headStep[T kernel.Float] struct{ y, dy, grad, next []T }

func newANIL[T kernel.Float](b base[T]) *anil[T] {
	c := b.config
	a := &anil[T]{base: b, steps: c.Steps, f: b.model.Features(), out: b.model.Out(), head: b.model.Head(), one: [1]T{1}}
	n := a.head.Hi - a.head.Lo
	a.rates = newRates[T](c, a.steps, n, []nn.Group{{Name: a.head.Name, Lo: 0, Hi: n}})
	a.weights, a.losses = fixedWeights[T](c, a.steps), make([]T, a.steps+1)
	a.tape, a.stats = nn.NewTape[T](b.model, 16), newTracked[T](b.model)
	a.v, a.hv, a.hT, a.body = make([]T, n), make([]T, n), make([]T, n), make([]T, a.size)
	for range a.steps {
		a.support = append(a.support, headStep[T]{grad: make([]T, n), next: make([]T, n)})
	}
	return a
}

func (a *anil[T]) NumParams() int { return a.size + a.rates.len() }

func (a *anil[T]) Params() []nn.Param {
	if a.rates.learned() {
		return extend(a.model, "rates", a.rates.shape()...)
	}
	return a.model.Params()
}

func (a *anil[T]) Init(seed uint64, theta []float32) {
	a.model.Init(seed, theta[:a.size])
	a.rates.start(a.config, seed, theta[a.size:])
}

func (a *anil[T]) Gradient(theta []T, task *Task[T], grad []T) (T, error) {
	if err := a.checkTask(task, theta, grad, a.NumParams()); err != nil {
		return 0, err
	}
	if a.config.MSLSteps > 0 {
		anneal(a.weights, task.Step, a.config.MSLSteps)
	}
	var loss T
	if task.Support.N == 0 {
		w := kernel.TreeSum(a.weights)
		clear(grad[a.size:])
		loss = w * a.queryGradient(theta[:a.size], &task.Query, grad[:a.size])
		a.stats.begin()
		a.stats.take(grad, 0)
		kernel.Scale(grad[:a.size], w, grad[:a.size])
		a.stats.put(grad, 1)
	} else {
		loss = a.adapted(theta, task, grad)
	}
	return loss, finite(loss, grad)
}

// adapted is Gradient by the recursion. lambda is the head's part of grad.
func (a *anil[T]) adapted(theta []T, task *Task[T], grad []T) T {
	at, learned, b := theta[:a.size], theta[a.size:], &task.Support
	lambda := grad[a.head.Lo:a.head.Hi]
	clear(grad[a.size:])
	a.tape.Forward(at, b.X, b.N)
	a.query.Forward(at, task.Query.X, task.Query.N)
	for k := range a.support {
		s := &a.support[k]
		s.y, s.dy = room(s.y, b.N*a.out), room(s.dy, b.N*a.out)
		a.headGradient(a.inner, a.tape.Features(), a.headAt(theta, k), b, s.y, s.dy, s.grad)
		a.rates.descend(s.next, a.headAt(theta, k), s.grad, learned, k, 0)
	}
	second := a.config.FirstOrderSteps <= task.Step
	a.sSum, a.qSum = room(a.sSum, b.N*a.f), room(a.qSum, task.Query.N*a.f)
	clear(a.sSum)
	clear(a.qSum)
	clear(lambda)
	a.score(theta, a.steps, task, lambda)
	for k := a.steps - 1; k >= 0; k-- {
		a.rates.gradient(grad[a.size:], lambda, a.support[k].grad, k, a.hv)
		if second {
			a.rates.scale(a.v, lambda, learned, k, 0)
			a.curve(a.headAt(theta, k), k, b)
			kernel.Axpy(lambda, lambda, -1, a.hv)
		}
		if a.weights[k] != 0 {
			a.score(theta, k, task, lambda)
		}
	}
	a.bodyGradient(at, second, grad)
	var sum kernel.Chain[T]
	for k, w := range a.weights {
		if w != 0 {
			sum.Add(w, a.losses[k])
		}
	}
	return sum.Sum()
}

// headAt returns h_k.
func (a *anil[T]) headAt(theta []T, k int) []T {
	if k == 0 {
		return theta[a.head.Lo:a.head.Hi]
	}
	return a.support[k-1].next
}

// headGradient returns the loss of the head h on features phi of b, and fills the
// outputs y, their gradient dy and that for h.
func (a *anil[T]) headGradient(l nn.Loss, phi, h []T, b *Batch[T], y, dy, grad []T) T {
	n, f, out := b.N, a.f, a.out
	kernel.Gemm(kernel.FromBias, h[f*out:], n, out, f, phi, f, 1, h, out, y, out)
	loss := nn.Grad(l, n, out, y, b.Y, b.W, dy)
	a.headSums(n, phi, dy, grad)
	return loss
}

// headSums sets grad to phi^T dy, and its bias to the sum of dy.
func (a *anil[T]) headSums(n int, phi, dy, grad []T) {
	f, out := a.f, a.out
	kernel.Gemm(kernel.FromZero, nil, f, out, n, phi, 1, f, dy, out, grad, out)
	kernel.Gemm(kernel.FromZero, nil, 1, out, n, a.one[:], 0, 0, dy, out, grad[f*out:], out)
}

// score adds w_k times the query loss's gradient at h_k: for the head to lambda,
// for the features to qSum.
func (a *anil[T]) score(theta []T, k int, task *Task[T], lambda []T) {
	q, h := &task.Query, a.headAt(theta, k)
	a.dyQuery, a.rdy = room(a.dyQuery, q.N*a.out), room(a.rdy, q.N*a.out)
	a.losses[k] = a.headGradient(a.outer, a.query.Features(), h, q, a.rdy, a.dyQuery, a.hv)
	kernel.Axpy(lambda, lambda, a.weights[k], a.hv)
	kernel.Scale(a.dyQuery, a.weights[k], a.dyQuery)
	a.back(q.N, a.dyQuery, h, a.qSum)
}

// curve sets hv to the head's part of H_k v, and adds what goes back through the
// body to sSum.
func (a *anil[T]) curve(h []T, k int, b *Batch[T]) {
	s, n, f, out := &a.support[k], b.N, a.f, a.out
	a.dyQuery, a.rdy = room(a.dyQuery, n*out), room(a.rdy, n*out)
	ry := a.dyQuery
	kernel.Gemm(kernel.FromBias, a.v[f*out:], n, out, f, a.tape.Features(), f, 1, a.v, out, ry, out)
	nn.RGrad(a.inner, n, out, s.y, b.Y, b.W, ry, a.rdy)
	a.headSums(n, a.tape.Features(), a.rdy, a.hv)
	a.back(n, a.rdy, h, a.sSum)
	a.back(n, s.dy, a.v, a.sSum)
}

// back adds dy h^T to dphi [n][f].
func (a *anil[T]) back(n int, dy, h, dphi []T) {
	kernel.Transpose(a.hT, h[:a.f*a.out], a.f, a.out)
	kernel.Gemm(kernel.FromC, nil, n, a.f, a.out, dy, a.out, 1, a.hT, a.f, dphi, a.f)
}

// bodyGradient fills grad below the head: what went back through the query's
// features less what went back through the support's.
func (a *anil[T]) bodyGradient(at []T, second bool, grad []T) {
	a.query.BackwardFeatures(at, a.qSum, a.body)
	copy(grad[:a.head.Lo], a.body)
	if second {
		a.tape.BackwardFeatures(at, a.sSum, a.body)
		a.stats.drop(a.body, 0)
		kernel.Axpy(grad[:a.head.Lo], grad[:a.head.Lo], -1, a.body[:a.head.Lo])
	}
}

func (a *anil[T]) Adapt(theta []T, support *Batch[T], steps int) (*Predictor[T], error) {
	if len(theta) != a.NumParams() {
		return nil, fmt.Errorf("adapt: %d parameters, expected %d", len(theta), a.NumParams())
	}
	if err := a.checkBatch("support", support); err != nil {
		return nil, fmt.Errorf("adapt: %w", err)
	}
	if steps < 0 {
		steps = a.steps
	}
	at := append([]T(nil), theta[:a.size]...)
	if h := at[a.head.Lo:a.head.Hi]; support.N > 0 {
		tape, n := nn.NewTape[T](a.model, support.N), support.N*a.out
		y, dy := make([]T, n), make([]T, n)
		tape.Forward(at, support.X, support.N)
		for k := range steps {
			a.headGradient(a.inner, tape.Features(), h, support, y, dy, a.hv)
			a.rates.descend(a.v, h, a.hv, theta[a.size:], k, 0)
			copy(h, a.v)
		}
	}
	return a.newPredictor(at)
}
