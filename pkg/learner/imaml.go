package learner

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// imaml (Rajeswaran, Finn, Kakade and Levine, 2019) keeps the adapted parameters
// near theta and steps towards the minimum of
//
//	G(phi) = L(phi) + lambda/2 |phi - theta|^2,  L the support loss
//
// by phi_0 = theta, phi_{k+1} = phi_k - rate (grad L(phi_k) + lambda (phi_k - theta)).
// At the minimum, whatever the way there, the gradient of the query loss for
// theta is the solution g of
//
//	(I + H/lambda) g = grad Lq(phi_K),  H the Hessian of L at phi_K
//
// (their equation 6), which a fixed number of conjugate-gradient iterations from
// zero finds, each with one exact product H p. It is exact in the limit of many
// steps and iterations; how far it is off is the caller's affair, as in the paper.
//
// Where L is not convex I + H/lambda may not be positive definite. Then the
// iteration stops at the first direction p of curvature p.(p + H p/lambda) <= 0
// with what it has, and where that is the first direction, with the right side
// itself, which is FOMAML's gradient. It stops as well when nothing is left to
// solve for.
//
// Layers with parameters per step have one set only: the gradient does not know
// the way. Tracked statistics are no parameters to it: see tracked. No step of the
// way is kept. Memory: 5 copies of the parameters, the gradient
// included, whatever K.
type imaml[T kernel.Float] struct {
	base[T]
	support  inner[T]
	stats    tracked[T]
	phi      []T
	p, hp, r []T // direction, its product, what is left
	more     []T // the query's gradient at theta
}

func newIMAML[T kernel.Float](b base[T]) *imaml[T] {
	m := &imaml[T]{base: b, support: b.newInner(), stats: newTracked[T](b.model)}
	m.phi, m.p, m.hp, m.r = make([]T, m.size), make([]T, m.size), make([]T, m.size), make([]T, m.size)
	m.more = m.hp
	return m
}

func (m *imaml[T]) NumParams() int { return m.size }

func (m *imaml[T]) Params() []nn.Param { return m.model.Params() }

func (m *imaml[T]) Init(seed uint64, theta []float32) { m.model.Init(seed, theta) }

func (m *imaml[T]) Gradient(theta []T, task *Task[T], grad []T) (T, error) {
	if err := m.checkTask(task, theta, grad, m.size); err != nil {
		return 0, err
	}
	steps := m.descend(theta, &task.Support, m.config.Steps)
	loss := m.queryGradient(m.phi, &task.Query, grad)
	m.stats.take(grad, 0)
	if err := finite(loss, grad); err != nil {
		return loss, err
	}
	if steps > 0 {
		if err := m.implicit(&task.Support, grad); err != nil {
			return 0, err
		}
	}
	if w := T(m.config.ZeroWeight); w != 0 {
		zero := m.queryGradient(theta, &task.Query, m.more)
		m.stats.drop(m.more, 0)
		kernel.Axpy(grad, grad, w, m.more)
		loss = kernel.FMA(w, zero, loss)
	}
	m.stats.put(grad, steps+1)
	return loss, finite(loss, grad)
}

// descend leaves phi after so many steps on s in m.phi, and returns how many it
// took: none without samples.
func (m *imaml[T]) descend(theta []T, s *Batch[T], steps int) int {
	copy(m.phi, theta)
	m.stats.begin()
	if s.N == 0 {
		return 0
	}
	rate, lambda := T(m.config.Rate), T(m.config.Lambda)
	for range steps {
		m.support.gradient(m.phi, 0, s, m.hp)
		m.stats.take(m.hp, 0)
		kernel.Axpy(m.p, m.phi, -1, theta)
		kernel.Axpy(m.hp, m.hp, lambda, m.p)
		kernel.Axpy(m.phi, m.phi, -rate, m.hp)
	}
	return steps
}

// implicit replaces x, the right side b, by the solution of (I + H/lambda) x = b:
//
//	x = 0, r = p = b;  per iteration
//	a = r.r / p.(p + H p/lambda);  x += a p;  r -= a (p + H p/lambda)
//	p = r + (r.r new / r.r old) p
func (m *imaml[T]) implicit(s *Batch[T], x []T) error {
	m.support.gradient(m.phi, 0, s, m.hp)
	copy(m.r, x)
	copy(m.p, m.r)
	rr := kernel.Dot(m.r, m.r)
	for i := 0; i < m.config.CGSteps && rr != 0; i++ {
		m.support.product(m.phi, s, m.p, m.hp)
		kernel.Axpy(m.hp, m.p, 1/T(m.config.Lambda), m.hp)
		c := [1]T{kernel.Dot(m.p, m.hp)}
		if !kernel.IsFinite(c[:]) {
			return fmt.Errorf("compute gradient: %w: curvature %d of the support loss is %v, expected a finite number", ErrDiverged, i, c[0])
		}
		if c[0] <= 0 {
			return nil
		}
		a := rr / c[0]
		if i == 0 { // x holds b, which is p
			kernel.Scale(x, a, x)
		} else {
			kernel.Axpy(x, x, a, m.p)
		}
		kernel.Axpy(m.r, m.r, -a, m.hp)
		before := rr
		rr = kernel.Dot(m.r, m.r)
		kernel.Axpy(m.p, m.r, rr/before, m.p)
	}
	return nil
}

func (m *imaml[T]) Adapt(theta []T, support *Batch[T], steps int) (*Predictor[T], error) {
	if len(theta) != m.size {
		return nil, fmt.Errorf("adapt: %d parameters, expected %d", len(theta), m.size)
	}
	if err := m.checkBatch("support", support); err != nil {
		return nil, fmt.Errorf("adapt: %w", err)
	}
	if steps < 0 {
		steps = m.config.Steps
	}
	m.descend(theta, support, steps)
	return m.newPredictor(append([]T(nil), m.phi...))
}
