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
// rate of a layer at step k is -lambda_{k+1}.g_k over that layer. fomaml drops
// the H term; pooled is K = 0. Memory: K+3 copies of the parameters, 2K+3 with
// learned rates, the gradient included.
type maml[T kernel.Float] struct {
	base[T]
	steps       int
	secondOrder bool
	groups      []nn.Group // layers, each with one rate per step
	weights     []T        // w_0..w_K
	support     []step[T]  // k = 0..K-1
	v, hv       []T
	losses      []T // Lq(theta_k), where w_k is not zero
}

// step is what is kept of inner step k: the tape and output gradient at theta_k,
// and next = theta_{k+1}.
type step[T kernel.Float] struct {
	tape       *nn.Tape[T]
	dy, rdy    []T
	grad, next []T
}

func newMAML[T kernel.Float](b base[T]) *maml[T] {
	c := b.config
	m := &maml[T]{base: b, steps: c.Steps, secondOrder: c.Name == "maml", groups: b.model.Groups()}
	if c.Name == "pooled" {
		m.steps = 0
	}
	m.weights = stepWeights[T](c, m.steps)
	m.losses = make([]T, m.steps+1)
	m.v, m.hv = make([]T, m.size), make([]T, m.size)
	for range m.steps {
		s := step[T]{tape: nn.NewTape[T](b.model, 16), grad: m.hv, next: make([]T, m.size)}
		if c.LearnRates {
			s.grad = make([]T, m.size)
		}
		m.support = append(m.support, s)
	}
	return m
}

// stepWeights returns w_0..w_K.
func stepWeights[T kernel.Float](c Config, steps int) []T {
	w := make([]T, steps+1)
	w[steps] = 1
	for i, v := range c.StepWeights {
		if steps > 0 {
			w[i+1] = T(v)
		}
	}
	if steps > 0 {
		w[0] = T(c.ZeroWeight)
	}
	return w
}

func (m *maml[T]) NumParams() int {
	if m.config.LearnRates {
		return m.size + m.steps*len(m.groups)
	}
	return m.size
}

func (m *maml[T]) Params() []nn.Param {
	if m.config.LearnRates {
		return extend(m.model, "rates", m.steps, len(m.groups))
	}
	return m.model.Params()
}

func (m *maml[T]) Init(seed uint64, theta []float32) {
	m.model.Init(seed, theta[:m.size])
	for i := range theta[m.size:] {
		theta[m.size+i] = m.config.Rate
	}
}

// rate returns the rate of layer g at step k.
func (m *maml[T]) rate(theta []T, k, g int) T {
	if !m.config.LearnRates {
		return T(m.config.Rate)
	}
	return theta[m.size+min(k, m.steps-1)*len(m.groups)+g]
}

func (m *maml[T]) Gradient(theta []T, task *Task[T], grad []T) (T, error) {
	if err := m.checkTask(task, theta, grad, m.NumParams()); err != nil {
		return 0, err
	}
	var loss T
	if task.Support.N == 0 {
		loss = m.unadapted(theta, task, grad)
	} else {
		loss = m.adapted(theta, task, grad)
	}
	return loss, finite(loss, grad)
}

// unadapted is Gradient with nothing to adapt on: all theta_k are theta.
func (m *maml[T]) unadapted(theta []T, task *Task[T], grad []T) T {
	w := kernel.TreeSum(m.weights)
	clear(grad[m.size:])
	loss := m.queryGradient(theta[:m.size], &task.Query, grad[:m.size])
	kernel.Scale(grad[:m.size], w, grad[:m.size])
	return w * loss
}

// adapted is Gradient by the recursion; lambda is grad's part of the model.
func (m *maml[T]) adapted(theta []T, task *Task[T], grad []T) T {
	at := theta[:m.size]
	for k := range m.support {
		s := &m.support[k]
		m.supportGradient(at, &task.Support, s)
		m.descend(s.next, at, theta, k, s.grad)
		at = s.next
	}
	lambda := grad[:m.size]
	m.losses[m.steps] = m.queryGradient(at, &task.Query, lambda)
	if w := m.weights[m.steps]; w != 1 {
		kernel.Scale(lambda, w, lambda)
	}
	for k := m.steps - 1; k >= 0; k-- {
		at = m.thetaAt(theta, k)
		s := &m.support[k]
		if m.config.LearnRates {
			m.rateGradient(lambda, s.grad, grad[m.size+k*len(m.groups):])
		}
		if m.secondOrder {
			m.curve(lambda, at, theta, k, &task.Support)
		}
		if w := m.weights[k]; w != 0 {
			m.losses[k] = m.queryGradient(at, &task.Query, m.hv)
			kernel.Axpy(lambda, lambda, w, m.hv)
		}
	}
	var sum kernel.Chain[T]
	for k, w := range m.weights {
		if w != 0 {
			sum.Add(w, m.losses[k])
		}
	}
	return sum.Sum()
}

// thetaAt returns theta_k.
func (m *maml[T]) thetaAt(theta []T, k int) []T {
	if k == 0 {
		return theta[:m.size]
	}
	return m.support[k-1].next
}

// supportGradient leaves the gradient of the inner loss at theta in s.grad.
func (m *maml[T]) supportGradient(theta []T, b *Batch[T], s *step[T]) {
	out := m.model.Out()
	y := s.tape.Forward(theta, b.X, b.N)
	s.dy = room(s.dy, b.N*out)
	nn.Grad(m.inner, b.N, out, y, b.Y, b.W, s.dy)
	s.tape.Backward(theta, s.dy, s.grad)
}

// descend sets next to at - a_k*g, the rates being in theta.
func (m *maml[T]) descend(next, at, theta []T, k int, g []T) {
	if !m.config.LearnRates {
		kernel.Axpy(next, at, -T(m.config.Rate), g)
		return
	}
	for i, l := range m.groups {
		kernel.Axpy(next[l.Lo:l.Hi], at[l.Lo:l.Hi], -m.rate(theta, k, i), g[l.Lo:l.Hi])
	}
}

// curve subtracts H_k (a_k*lambda) from lambda, H_k being at the parameters at.
func (m *maml[T]) curve(lambda, at, theta []T, k int, b *Batch[T]) {
	for i, l := range m.groups {
		kernel.Scale(m.v[l.Lo:l.Hi], m.rate(theta, k, i), lambda[l.Lo:l.Hi])
	}
	s, out := &m.support[k], m.model.Out()
	ry := s.tape.RForward(at, m.v)
	s.rdy = room(s.rdy, b.N*out)
	nn.RGrad(m.inner, b.N, out, s.tape.Outputs(), b.Y, b.W, ry, s.rdy)
	s.tape.RBackward(at, m.v, s.rdy, m.hv)
	kernel.Axpy(lambda, lambda, -1, m.hv)
}

// rateGradient sets the gradient of each layer's rate to -lambda.g.
func (m *maml[T]) rateGradient(lambda, g, rates []T) {
	for i, l := range m.groups {
		rates[i] = -kernel.Dot(lambda[l.Lo:l.Hi], g[l.Lo:l.Hi])
	}
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
	at := append([]T(nil), theta[:m.size]...)
	if support.N > 0 {
		s := step[T]{tape: nn.NewTape[T](m.model, support.N), grad: m.hv}
		for k := range steps {
			m.supportGradient(at, support, &s)
			m.descend(at, at, theta, k, s.grad)
		}
	}
	return m.newPredictor(at)
}
