package learner

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// gauss solves a x = b for one right side by elimination with pivots.
func gauss(a [][]float64, b []float64) []float64 {
	n := len(b)
	for c := range n {
		p := c
		for i := c + 1; i < n; i++ {
			if math.Abs(a[i][c]) > math.Abs(a[p][c]) {
				p = i
			}
		}
		a[c], a[p], b[c], b[p] = a[p], a[c], b[p], b[c]
		for i := range n {
			if f := a[i][c] / a[c][c]; i != c {
				for j := c; j < n; j++ {
					a[i][j] -= f * a[c][j]
				}
				b[i] -= f * b[c]
			}
		}
	}
	for i := range b {
		b[i] /= a[i][i]
	}
	return b
}

// quadratic spells out the squared error of the linear model y = theta.(x, 1) on
// a batch, as theta^T H theta / 2 - q.theta and a constant.
func quadratic(s *Batch[float64], in int) (h [][]float64, q []float64) {
	q = make([]float64, in+1)
	for range q {
		h = append(h, make([]float64, in+1))
	}
	for i := range s.N {
		x := append(append([]float64(nil), s.X[i*in:][:in]...), 1)
		for j := range x {
			q[j] += 2 * s.W[i] * x[j] * s.Y[i]
			for k := range x {
				h[j][k] += 2 * s.W[i] * x[j] * x[k]
			}
		}
	}
	return h, q
}

// On a quadratic everything is known: the minimum of L + lambda/2 |phi - theta|^2
// is (H + lambda I)^-1 (q + lambda theta), and the gradient of the query loss there
// is lambda (H + lambda I)^-1 (H_q phi - q_q).
func TestIMAMLMatchesTheClosedFormOnAQuadratic(t *testing.T) {
	const in, lambda = 3, 0.5
	r := rand.New(rand.NewPCG(21, 1))
	c := Config{Name: "imaml", Steps: 1000, Rate: 0.1, Lambda: lambda, CGSteps: in + 1}
	for range 5 {
		l, task := setup[float64](t, r, c, linear, in, 1, 6)
		theta, grad := start(r, l), make([]float64, in+1)
		if _, err := l.Gradient(theta, &task, grad); err != nil {
			t.Fatal(err)
		}
		solve := func(b []float64) []float64 {
			h, _ := quadratic(&task.Support, in)
			for i := range h {
				h[i][i] += lambda
			}
			return gauss(h, b)
		}
		_, q := quadratic(&task.Support, in)
		for i := range q {
			q[i] += lambda * theta[i]
		}
		phi := solve(q)
		h, g := quadratic(&task.Query, in)
		for i := range g {
			g[i] *= -lambda
			for j := range phi {
				g[i] += lambda * h[i][j] * phi[j]
			}
		}
		want := solve(g)
		if d := distance(grad, want); d > 1e-9 {
			t.Errorf("relative error %.2g\n got %v\nwant %v", d, grad, want)
		}
		p, err := l.Adapt(theta, &task.Support, -1)
		if err != nil {
			t.Fatal(err)
		}
		if d := distance(p.Theta(), phi); d > 1e-9 {
			t.Errorf("adapted parameters lie %.2g from the minimum", d)
		}
	}
}

// With the inner loop at its minimum and as many iterations as parameters, the
// gradient is that of the whole, minimisation included.
func TestIMAMLMatchesFiniteDifferencesOfTheMinimiser(t *testing.T) {
	for _, c := range []Config{
		{Name: "imaml", Steps: 1000, Rate: 0.1, Lambda: 2, CGSteps: 60},
		{Name: "imaml", Steps: 1000, Rate: 0.1, Lambda: 1, CGSteps: 60, InnerLoss: "huber", OuterLoss: "huber", ZeroWeight: 0.5},
	} {
		for _, net := range []nn.Config{{Name: "mlp", Hidden: []int{3}, Activation: "tanh"}, linear} {
			t.Run(fmt.Sprintf("%v/%s", net.Hidden, c.InnerLoss), func(t *testing.T) {
				checkGradient(t, c, net, 2, 1, 5, outerLoss)
			})
		}
	}
}

// Where the first direction curves down the right side stands: FOMAML's gradient.
// Targets far off make the support loss curve down along many directions.
func TestIMAMLStopsAtNegativeCurvature(t *testing.T) {
	const lambda = 0.0625
	found := 0
	for seed := uint64(0); found < 5; seed++ {
		if seed == 1000 {
			t.Fatalf("only %d of %d cases curve down", found, seed)
		}
		r := rand.New(rand.NewPCG(3, seed))
		l, task := setup[float64](t, r, Config{Name: "imaml", Steps: 1, Rate: 1e-6, Lambda: lambda, CGSteps: 20}, tanhNet, 2, 1, 2)
		task.Support.Y[0], task.Support.Y[1] = 40, -40
		theta, m := start(r, l), l.(*imaml[float64])
		grad, first, hp := make([]float64, m.size), make([]float64, m.size), make([]float64, m.size)
		if _, err := l.Gradient(theta, &task, grad); err != nil {
			t.Fatal(err)
		}
		m.queryGradient(m.phi, &task.Query, first)
		m.support.gradient(m.phi, 1, &task.Support, hp)
		m.support.product(m.phi, &task.Support, first, hp)
		if kernel.Dot(first, first)+kernel.Dot(first, hp)/lambda > 0 {
			continue
		}
		found++
		if d := distance(grad, first); d != 0 {
			t.Errorf("gradient %v, expected the right side %v", grad, first)
		}
	}
}

// A right side of zero is solved by zero, with no division by it.
func TestIMAMLSolvesForNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	l, task := setup[float64](t, r, Config{Name: "imaml", CGSteps: 9}, linear, 2, 1, 4)
	clear(task.Query.W)
	grad := make([]float64, l.NumParams())
	if _, err := l.Gradient(start(r, l), &task, grad); err != nil {
		t.Fatal(err)
	}
	for i, g := range grad {
		if g != 0 {
			t.Errorf("element %d is %v", i, g)
		}
	}
}

// Each iteration counts: on a quadratic of order 4 three are not enough.
func TestIMAMLTakesEveryIteration(t *testing.T) {
	grads := make([][]float64, 5)
	for n := range grads {
		r := rand.New(rand.NewPCG(22, 1))
		l, task := setup[float64](t, r, Config{Name: "imaml", Steps: 50, Rate: 0.1, Lambda: 0.25, CGSteps: n + 1}, linear, 3, 1, 6)
		grads[n] = make([]float64, 4)
		if _, err := l.Gradient(start(r, l), &task, grads[n]); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 3 {
		if d := distance(grads[n], grads[3]); d < 1e-6 {
			t.Errorf("%d iterations are as good as 4: distance %g", n+1, d)
		}
	}
	if d := distance(grads[4], grads[3]); d > 1e-9 {
		t.Errorf("5 iterations differ from 4 on 4 parameters by %g", d)
	}
}
