package learner

import (
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// placement is where a recursion puts the rates; only before is right.
type placement string

const (
	before placement = "lambda - H (a*lambda)"
	after  placement = "lambda - a*(H lambda)"
	both   placement = "lambda - a*(H (a*lambda))"
	none   placement = "lambda, H dropped"
)

// recur turns lambda_{k+1} into lambda_k by one of the placements.
func (m *maml[T]) recur(p placement, lambda, at, theta []T, k int, b *Batch[T]) {
	scale := func(x []T) { m.rates.scale(x, x, theta[m.size:], k) }
	v := append([]T(nil), lambda...)
	if p == before || p == both {
		scale(v)
	}
	s, n := &m.support[k], b.N*m.model.Out()
	ry, rdy, hv := s.tape.RForward(at, v), make([]T, n), make([]T, m.size)
	nn.RGrad(m.inner, b.N, m.model.Out(), s.tape.Outputs(), b.Y, b.W, ry, rdy)
	s.tape.RBackward(at, v, rdy, hv)
	if p == after || p == both {
		scale(hv)
	}
	for i := range lambda {
		if p != none {
			lambda[i] -= hv[i]
		}
	}
}

// mutated is Gradient's part for the model's parameters under a placement.
func (m *maml[T]) mutated(p placement, theta []T, task *Task[T]) []T {
	at := theta[:m.size]
	for k := range m.support {
		m.supportGradient(at, &task.Support, &m.support[k])
		m.rates.descend(m.support[k].next, at, m.support[k].grad, theta[m.size:], k)
		at = m.support[k].next
	}
	lambda := make([]T, m.size)
	m.queryGradient(at, &task.Query, lambda)
	for k := m.steps - 1; k >= 0; k-- {
		m.recur(p, lambda, m.thetaAt(theta, k), theta, k, &task.Support)
	}
	return lambda
}

// A wrong second-order term still trains; the check must tell it from the right
// one. Every mutant's error is above the tolerance by orders.
func TestFiniteDifferencesCatchMisplacedRates(t *testing.T) {
	for _, k := range []int{1, 3} {
		r := rand.New(rand.NewPCG(6, uint64(k)))
		l, task := setup[float64](t, r, Config{Name: "maml", Steps: k, Rate: 0.1, LearnRates: true}, tanhNet, 2, 2, 5)
		theta := start(r, l)
		m := l.(*maml[float64])
		want, ok := differences(outerLoss(l, theta, &task), theta)
		if !ok {
			t.Fatal("a smooth model has a kink")
		}
		for _, p := range []placement{before, after, both, none} {
			d := distance(m.mutated(p, theta, &task), want[:m.size])
			if p == before && d > tolerance {
				t.Errorf("K=%d, %s: relative error %.2g, expected at most %g", k, p, d, tolerance)
			}
			if p != before && d < 1000*tolerance {
				t.Errorf("K=%d, %s: relative error %.2g passes for right", k, p, d)
			}
		}
	}
}
