package gorgoniaengine

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

func normal[T Float](r *rand.Rand, n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(r.NormFloat64())
	}
	return x
}

func batch[T Float](r *rand.Rand, n, in, out int) learner.Batch[T] {
	w := make([]T, n)
	for i := range w {
		w[i] = T((0.5 + r.Float64()) / float64(n))
	}
	return learner.Batch[T]{N: n, X: normal[T](r, n*in), Y: normal[T](r, n*out), W: w}
}

// compare runs both engines on three tasks each.
func compare[T Float](t *testing.T, tolerance float64) {
	t.Helper()
	for _, c := range []nn.Config{
		{Name: "mlp", Hidden: []int{40, 40}, Activation: "relu"},
		{Name: "mlp", Hidden: []int{7}, Activation: "tanh"},
	} {
		for _, steps := range []int{1, 2} {
			m, err := nn.Build(c, nn.Flat(2, 3))
			if err != nil {
				t.Fatal(err)
			}
			l, err := learner.New[T](learner.Config{Name: "maml", Steps: steps, Rate: 0.0625}, m)
			if err != nil {
				t.Fatal(err)
			}
			e, err := New[T](c, 2, 3, steps, 0.0625, 10, 15)
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, uint64(steps)))
			init := make([]float32, m.NumParams())
			theta, got, want := make([]T, len(init)), make([]T, len(init)), make([]T, len(init))
			for range 3 { // one machine, used again
				m.Init(r.Uint64(), init)
				for i, v := range init {
					theta[i] = T(v)
				}
				task := learner.Task[T]{Support: batch[T](r, 10, 2, 3), Query: batch[T](r, 15, 2, 3)}
				a, err := l.Gradient(theta, &task, got)
				if err != nil {
					t.Fatal(err)
				}
				b, err := e.Gradient(theta, &task, want)
				if err != nil {
					t.Fatal(err)
				}
				if d := distance(got, want); d > tolerance || math.Abs(float64(a-b)) > tolerance*math.Abs(float64(b)) {
					t.Errorf("%+v K=%d: loss %v, gorgonia's %v; gradients differ by %.2g", c, steps, a, b, d)
				}
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func distance[T Float](x, y []T) float64 {
	var d, n float64
	for i := range y {
		d += float64(x[i]-y[i]) * float64(x[i]-y[i])
		n += float64(y[i]) * float64(y[i])
	}
	return math.Sqrt(d / n)
}

func TestMAMLAgreesWithGorgonia(t *testing.T) {
	t.Run("float64", func(t *testing.T) { compare[float64](t, 1e-10) })
	t.Run("float32", func(t *testing.T) { compare[float32](t, 1e-4) })
}

func TestG7_PanicsEndAtTheEdge(t *testing.T) {
	c := nn.Config{Name: "mlp", Hidden: []int{3}}
	var none Engine[float64]
	if _, err := none.Gradient(nil, nil, nil); err == nil || !strings.Contains(err.Error(), "run gorgonia graph: panic") {
		t.Errorf("a panic came out as %v", err)
	}
	if _, err := New[float64](c, 1, 1, 1, 0.1, -1, 5); err == nil || !strings.Contains(err.Error(), "-1 support") {
		t.Errorf("a support of -1: %v", err)
	}
	if _, err := New[float64](nn.Config{Name: "mlp", Hidden: []int{3}, Skip: true}, 1, 1, 1, 0.1, 5, 5); err == nil {
		t.Error("a skip was taken")
	}
	e, err := New[float64](c, 1, 1, 1, 0.1, 5, 5)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	task := learner.Task[float64]{Support: batch[float64](r, 5, 1, 1), Query: batch[float64](r, 6, 1, 1)}
	theta := make([]float64, 10)
	if _, err := e.Gradient(theta, &task, theta); err == nil || !strings.Contains(err.Error(), "query of 6 samples, expected 5") {
		t.Errorf("a query of another size: %v", err)
	}
	if _, err := e.Gradient(theta[1:], &task, theta); err == nil {
		t.Error("too few parameters were taken")
	}
}
