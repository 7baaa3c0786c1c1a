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
	scale := func(x []T) { m.rates.scale(x, x, theta[m.size:], k, 0) }
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
		m.use = use[T]{why: useDescend, k: k, at: at, to: m.support[k].next, learned: theta[m.size:]}
		m.supportGradient(at, &task.Support, &m.support[k])
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
		for _, c := range []Config{{Name: "maml", LearnRates: true}, {Name: "metasgd"}} {
			r := rand.New(rand.NewPCG(6, uint64(k)))
			c.Steps, c.Rate = k, 0.1
			l, task := setup[float64](t, r, c, tanhNet, 2, 2, 5)
			theta := start(r, l)
			m := l.(*maml[float64])
			want, ok := differences(outerLoss(l, theta, &task), theta)
			if !ok {
				t.Fatal("a smooth model has a kink")
			}
			for _, p := range []placement{before, after, both, none} {
				d := distance(m.mutated(p, theta, &task), want[:m.size])
				if p == before && d > tolerance {
					t.Errorf("%s K=%d, %s: relative error %.2g, expected at most %g", c.Name, k, p, d, tolerance)
				}
				if p != before && d < 1000*tolerance {
					t.Errorf("%s K=%d, %s: relative error %.2g passes for right", c.Name, k, p, d)
				}
			}
		}
	}
}

// The weights of another outer step, or another set of a norm's parameters at one
// of the passes, are no small errors either.
func TestChecksCatchWrongWeightsAndSets(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 3))
	c := Config{Name: "mamlpp", Steps: 3, Rate: 0.1, MSLSteps: 4}
	l, task := setup[float64](t, r, c, normed("batch", true, 3), 2, 2, 5)
	m := l.(*maml[float64])
	theta, grad := startNormed(r, l), make([]float64, l.NumParams())
	want, _ := differences(outerLoss(l, theta, &task), theta)
	check := func(mutant string, wrong bool) {
		t.Helper()
		if _, err := l.Gradient(theta, &task, grad); err != nil {
			t.Fatal(err)
		}
		if d := distance(grad, want); wrong != (d > 1000*tolerance) {
			t.Errorf("%s: relative error %.2g", mutant, d)
		}
	}
	check("none", false)
	task.Step = 1
	check("weights of the next outer step", true)
	task.Step = 9
	check("the last step alone", true)
	task.Step = 0
	for k := range m.support {
		for _, wrong := range []int{k + 1, 3 - k} {
			m.support[k].tape.SetStep(wrong)
			check("support of another step's set", true)
		}
		m.support[k].tape.SetStep(k)
	}
	check("none, again", false)
}
