package learner

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// maml adapts by K steps theta_{k+1} = theta_k - a_k*g_k, with g_k the gradient
// of the support loss at theta_k, and finds the gradient of
//
//	sum over k of w_k Lq(theta_k)
//
// without a tape, by the recursion backwards over the steps
//
//	lambda_K = w_K grad Lq(theta_K)
//	lambda_k = lambda_{k+1} - H_k (a_k*lambda_{k+1}) + w_k grad Lq(theta_k)
//
// where H_k is the Hessian of the support loss at theta_k. The gradient for the
// rates of step k is -lambda_{k+1}*g_k, summed over what shares a rate: a layer at
// a step, or in metasgd a parameter over all steps. fomaml drops the H term, and
// so do all for the first FirstOrderSteps outer steps; pooled is K = 0. A pass at
// theta_k is one with k steps behind it (nn.Tape.SetStep), the query's too.
// Tracked statistics are no parameters to it: see tracked.
//
// A vector of parameters need not fit in the first cache: each gradient is used up
// piece by piece as it is made (Take).
//
// Memory: K+2 copies of the parameters, with rates per layer 2K+2, with rates per
// parameter 2K+3, the gradient for the parameters included.
type maml[T kernel.Float] struct {
	base[T]
	steps   int
	rates   rates[T]
	support []step[T] // k = 0..K-1
	v       []T
	product []T // work space of learned rates
	losses  []T // Lq(theta_k), where w_k is not zero
	stats   tracked[T]
	use     use[T]

	// At the outer step at hand.
	second  bool // the Hessian counts
	weights []T  // w_0..w_K
}

// step is what is kept of inner step k: the tape and output gradient at theta_k,
// and next = theta_{k+1}.
type step[T kernel.Float] struct {
	tape    *nn.Tape[T]
	dy, rdy []T
	next    []T
	grad    []T // of learned rates
}

func newMAML[T kernel.Float](b base[T]) *maml[T] {
	c := b.config
	m := &maml[T]{base: b, steps: c.InnerSteps()}
	m.rates = newRates[T](c, m.steps, m.size, b.model.Groups())
	m.weights = fixedWeights[T](c, m.steps)
	m.losses, m.stats = make([]T, m.steps+1), newTracked[T](b.model)
	if m.steps > 0 {
		m.v = make([]T, m.size)
	}
	if m.rates.kind == ParameterRates {
		m.product = make([]T, m.size)
	}
	for k := range m.steps {
		s := step[T]{tape: b.query.Beside(16), next: make([]T, m.size)}
		s.tape.SetStep(k)
		if m.rates.learned() {
			s.grad = make([]T, m.size)
		}
		m.support = append(m.support, s)
	}
	return m
}

func (m *maml[T]) NumParams() int { return m.size + m.rates.len() }

func (m *maml[T]) Params() []nn.Param {
	if m.rates.learned() {
		return extend(m.model, "rates", m.rates.shape()...)
	}
	return m.model.Params()
}

func (m *maml[T]) Init(seed uint64, theta []float32) {
	m.model.Init(seed, theta[:m.size])
	m.rates.start(m.config, seed, theta[m.size:])
}

func (m *maml[T]) Gradient(theta []T, task *Task[T], grad []T) (T, error) {
	if err := m.checkTask(task, theta, grad, m.NumParams()); err != nil {
		return 0, err
	}
	m.prepare(task.Step)
	var loss T
	if task.Support.N == 0 {
		loss = m.unadapted(theta, task, grad)
	} else {
		loss = m.adapted(theta, task, grad)
	}
	return loss, finite(loss, grad)
}

// prepare sets what changes with the outer step.
func (m *maml[T]) prepare(step int64) {
	m.second = m.config.Name != "fomaml" && step >= m.config.FirstOrderSteps
	if m.config.MSLSteps > 0 {
		anneal(m.weights, step, m.config.MSLSteps)
	}
}

// unadapted is Gradient with nothing to adapt on: all theta_k are theta, with no
// step behind it.
func (m *maml[T]) unadapted(theta []T, task *Task[T], grad []T) T {
	w := kernel.TreeSum(m.weights)
	clear(grad[m.size:])
	m.query.SetStep(0)
	loss := m.queryGradient(theta[:m.size], &task.Query, grad[:m.size])
	m.stats.begin()
	m.stats.take(grad, 0)
	kernel.Scale(grad[:m.size], w, grad[:m.size])
	m.stats.put(grad, 1)
	return w * loss
}

// adapted is Gradient by the recursion; lambda is grad's part of the model.
func (m *maml[T]) adapted(theta []T, task *Task[T], grad []T) T {
	learned, lambda := theta[m.size:], grad[:m.size]
	clear(grad[m.size:])
	m.stats.begin()
	at := theta[:m.size]
	for k := range m.support {
		next := m.support[k].next
		m.use = use[T]{why: useDescend, k: k, at: at, to: next, learned: learned}
		m.supportGradient(at, &task.Support, &m.support[k])
		at = next
	}
	m.losses[m.steps] = m.scoreAt(m.steps, at, task, useStart, lambda, learned)
	for k := m.steps - 1; k >= 0; k-- {
		at = m.thetaAt(theta, k)
		m.rates.gradient(grad[m.size:], lambda, m.support[k].grad, k, m.product)
		w := m.weights[k]
		if m.second {
			m.use = use[T]{why: useCurve, k: k, last: w == 0, to: lambda, learned: learned}
			m.curve(at, k, &task.Support)
		}
		if w != 0 {
			m.losses[k] = m.scoreAt(k, at, task, useEarly, lambda, learned)
		}
	}
	m.stats.put(lambda, m.steps+1)
	m.use = use[T]{} // theta is the caller's to let go
	return m.loss()
}

// loss is the sum of w_k Lq(theta_k) over k.
func (m *maml[T]) loss() T {
	var sum kernel.Chain[T]
	for k, w := range m.weights {
		if w != 0 {
			sum.Add(w, m.losses[k])
		}
	}
	return sum.Sum()
}

// scoreAt is queryGradient at theta_k, used up for lambda.
func (m *maml[T]) scoreAt(k int, at []T, task *Task[T], u purpose, lambda, learned []T) T {
	q, out := &task.Query, m.model.Out()
	m.use = use[T]{why: u, k: k, last: true, to: lambda, learned: learned}
	m.query.SetStep(k)
	y := m.query.Forward(at, q.X, q.N)
	m.dyQuery = room(m.dyQuery, q.N*out)
	loss := nn.Grad(m.outer, q.N, out, y, q.Y, q.W, m.dyQuery)
	m.query.BackwardTo(at, m.dyQuery, m)
	return loss
}

// thetaAt returns theta_k.
func (m *maml[T]) thetaAt(theta []T, k int) []T {
	if k == 0 {
		return theta[:m.size]
	}
	return m.support[k-1].next
}

// supportGradient hands the gradient of the inner loss at theta to Take.
func (m *maml[T]) supportGradient(theta []T, b *Batch[T], s *step[T]) {
	out := m.model.Out()
	y := s.tape.Forward(theta, b.X, b.N)
	s.dy = room(s.dy, b.N*out)
	nn.Grad(m.inner, b.N, out, y, b.Y, b.W, s.dy)
	s.tape.BackwardTo(theta, s.dy, m)
}

// curve hands H_k v to Take, H_k being at the parameters at, whose passes are on
// the tape of step k.
func (m *maml[T]) curve(at []T, k int, b *Batch[T]) {
	s, out := &m.support[k], m.model.Out()
	ry := s.tape.RForward(at, m.v)
	s.rdy = room(s.rdy, b.N*out)
	nn.RGrad(m.inner, b.N, out, s.tape.Outputs(), b.Y, b.W, ry, s.rdy)
	s.tape.RBackwardTo(at, m.v, s.rdy, m)
}

func (m *maml[T]) Adapt(theta []T, support *Batch[T], steps int) (*Predictor[T], error) {
	if len(theta) != m.NumParams() {
		return nil, fmt.Errorf("adapt: %d parameters, expected %d", len(theta), m.NumParams())
	}
	if err := m.checkBatch("support", support); err != nil {
		return nil, fmt.Errorf("adapt: %w", err)
	}
	if steps < 0 {
		steps = m.steps
	}
	if support.N == 0 {
		steps = 0
	}
	at := append([]T(nil), theta[:m.size]...)
	s := step[T]{tape: nn.NewTape[T](m.model, support.N)}
	if steps > 0 && m.v == nil {
		m.v = make([]T, m.size)
	}
	for k := range steps {
		s.tape.SetStep(k)
		m.use = use[T]{why: useAdapt, k: k, at: at, to: m.v, learned: theta[m.size:]}
		m.supportGradient(at, support, &s)
		copy(at, m.v)
	}
	p, err := m.newPredictor(at)
	if err == nil {
		p.tape.SetStep(steps)
	}
	return p, err
}
