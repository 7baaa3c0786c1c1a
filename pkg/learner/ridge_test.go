package learner

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// stationary returns the largest derivative of ridge's objective at the adapted
// head, the objective being spelled out: at its minimum it is zero.
func stationary(t *testing.T, l Learner[float64], theta []float64, s *Batch[float64]) float64 {
	t.Helper()
	r := l.(*ridge[float64])
	p, err := l.Adapt(theta, s, -1)
	if err != nil {
		t.Fatal(err)
	}
	tape := nn.NewTape[float64](r.model, s.N)
	tape.Forward(theta[:r.size], s.X, s.N)
	mean := 0.0
	for _, w := range s.W {
		mean += w / float64(s.N)
	}
	w0, w := theta[r.head.Lo:r.head.Hi], p.Theta()[r.head.Lo:r.head.Hi]
	slope := make([]float64, len(w))
	for i := range w {
		slope[i] = 2 * math.Exp(rhoUnit*theta[r.size+i/r.out]) * (w[i] - w0[i])
	}
	for i := range s.N {
		phi := append(append([]float64(nil), tape.Features()[i*(r.f-1):][:r.f-1]...), 1)
		for o := range r.out {
			e := s.Y[i*r.out+o]
			for j, x := range phi {
				e -= x * w[j*r.out+o]
			}
			for j, x := range phi {
				slope[j*r.out+o] -= 2 * s.W[i] / mean * e * x
			}
		}
	}
	worst := 0.0
	for _, v := range slope {
		worst = max(worst, math.Abs(v))
	}
	return worst
}

func TestRidgeMinimisesItsObjective(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 1))
	for _, net := range []nn.Config{reluNet, skipNet, tanhNet, linear} {
		for _, shots := range []int{1, 5, 6, 7, 8, 50, 600} {
			for _, precision := range []float32{0.01, 1, 1000} {
				l, task := setup[float64](t, r, Config{Name: "ridge", Precision: precision}, net, 2, 2, shots)
				if d := stationary(t, l, start(r, l), &task.Support); d > 1e-8 {
					t.Errorf("%+v, %d shots, precision %v: derivative %g at the minimum", net, shots, precision, d)
				}
			}
		}
	}
}

// Weights are relative: a power of two leaves every bit, so that a task whose
// loss is scaled by its level adapts like any other.
func TestRidgeIgnoresTheScaleOfWeights(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 1))
	l, task := setup[float32](t, r, Config{Name: "ridge"}, skipNet, 2, 1, 9)
	theta := start(r, l)
	a, err := l.Adapt(theta, &task.Support, -1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range task.Support.W {
		task.Support.W[i] *= 1024
	}
	b, err := l.Adapt(theta, &task.Support, -1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.theta {
		if a.theta[i] != b.theta[i] {
			t.Fatalf("element %d: %v, with weights times 1024 %v", i, a.theta[i], b.theta[i])
		}
	}
	clear(task.Support.W)
	if c, err := l.Adapt(theta, &task.Support, -1); err != nil || c.theta[0] != theta[0] || c.theta[len(c.theta)-1] != theta[len(c.theta)-1] {
		t.Errorf("samples of no weight changed the model (%v)", err)
	}
	task.Support.W[2] = -1
	if _, err := l.Adapt(theta, &task.Support, -1); err == nil || !strings.Contains(err.Error(), "weight 2 is -1") {
		t.Errorf("a negative weight: %v", err)
	}
}

// Of two equal samples, or one of twice the weight, the same must come.
func TestRidgeCountsWeightsAsSamples(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 1))
	l, _ := setup[float64](t, r, Config{Name: "ridge"}, tanhNet, 2, 1, 0)
	theta := start(r, l)
	one := samples[float64](r, 3, 2, 1)
	one.W = []float64{1, 1, 1}
	twice := Batch[float64]{4, append(append([]float64(nil), one.X...), one.X[4:]...), append(append([]float64(nil), one.Y...), one.Y[2]), []float64{1, 1, 1, 1}}
	a, err := l.Adapt(theta, &twice, -1)
	if err != nil {
		t.Fatal(err)
	}
	one.W[2] = 2 // the mean is 4/3: precisions shrink by it to compare
	for i := range theta[l.(*ridge[float64]).size:] {
		theta[l.(*ridge[float64]).size+i] -= math.Log(4.0/3) / rhoUnit
	}
	b, err := l.Adapt(theta, &one, -1)
	if err != nil {
		t.Fatal(err)
	}
	if d := distance(a.theta, b.theta); d > 1e-12 {
		t.Errorf("a sample twice and one of weight two differ by %g", d)
	}
}

func TestCholeskySolves(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 1))
	for _, n := range []int{1, 2, 7, 64, 300} {
		a := numbers[float64](r, n*n, 1)
		c := cholesky[float64]{n: n, u: make([]float64, n*n)}
		aT := make([]float64, n*n)
		kernel.Transpose(aT, a, n, n)
		kernel.Gemm(kernel.FromZero, nil, n, n, n, a, n, 1, aT, n, c.u, n)
		for i := range n {
			c.u[i*n+i]++
		}
		m := append([]float64(nil), c.u...)
		x := numbers[float64](r, n*3, 1)
		b := make([]float64, n*3)
		kernel.Gemm(kernel.FromZero, nil, n, 3, n, m, n, 1, x, 3, b, 3)
		if err := c.factor(); err != nil {
			t.Fatal(err)
		}
		c.solve(b, 3)
		if d := distance(b, x); d > 1e-9 {
			t.Errorf("order %d: relative error %g", n, d)
		}
	}
	bad := cholesky[float64]{n: 2, u: []float64{1, 2, 2, 1}}
	if err := bad.factor(); err == nil || !strings.Contains(err.Error(), "pivot 1") {
		t.Errorf("an indefinite matrix: %v", err)
	}
}

// What lies far off counts as lying at the limit, on either side.
func TestRidgeCutsOutliers(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 1))
	l, task := setup[float64](t, r, Config{Name: "ridge", Outlier: 0.5, Precision: 1}, linear, 2, 1, 4)
	theta := make([]float64, l.NumParams()) // the base model says 0
	adapted := func(y ...float64) []float64 {
		copy(task.Support.Y, y)
		p, err := l.Adapt(theta, &task.Support, -1)
		if err != nil {
			t.Fatal(err)
		}
		return append([]float64(nil), p.Theta()...)
	}
	want := adapted(0.5, -0.5, 0.3, -0.2)
	if d := distance(adapted(100, -3, 0.3, -0.2), want); d > 1e-12 {
		t.Errorf("outliers move the solution by %g", d)
	}
	if d := distance(adapted(0.5, -0.5, 0.4, -0.2), want); d < 1e-3 {
		t.Errorf("a sample within the limit moves the solution by %g only", d)
	}
}
