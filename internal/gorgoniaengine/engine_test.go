package gorgoniaengine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/learner"
)

// ops are one small net each: two layers with the operation between.
var ops = map[string]func(g *Graph, z *Value) *Value{
	"relu":    func(g *Graph, z *Value) *Value { return g.Relu(z) },
	"tanh":    func(g *Graph, z *Value) *Value { return g.Tanh(z) },
	"sigmoid": func(g *Graph, z *Value) *Value { return g.Sigmoid(z) },
	"exp":     func(g *Graph, z *Value) *Value { return g.Exp(g.Scale(z, 0.3)) },
	"log":     func(g *Graph, z *Value) *Value { return g.Log(g.Shift(g.Times(z, z), 1)) },
	"power":   func(g *Graph, z *Value) *Value { return g.Power(g.Shift(g.Times(z, z), 0.5), -0.5) },
	"sub":     func(g *Graph, z *Value) *Value { return g.Sub(g.Times(z, z), z) },
	"mean": func(g *Graph, z *Value) *Value { // of a batch norm
		return g.Times(z, g.Spread(g.Scale(g.SumRows(z), 1/float64(z.Rows)), z.Rows))
	},
}

func opNet(op func(*Graph, *Value) *Value) Net {
	return Net{
		Tensors: []Tensor{{Name: "a", Rows: 3, Cols: 4}, {Name: "b", Rows: 1, Cols: 4}, {Name: "c", Rows: 4, Cols: 2}, {Name: "d", Rows: 1, Cols: 2}},
		In:      3, Out: 2,
		Forward: func(g *Graph, p []*Value, x *Value) *Value {
			z := g.Add(g.MatMul(x, p[0]), g.Spread(p[1], x.Rows))
			return g.Add(g.MatMul(op(g, z), p[2]), g.Spread(p[3], x.Rows))
		},
	}
}

// TestSecondOrderOfEachOperation: against finite differences of the outer loss.
func TestSecondOrderOfEachOperation(t *testing.T) {
	for name, op := range ops {
		for _, loss := range []string{"mse", "softmax"} {
			for _, steps := range []int{1, 2} {
				t.Run(fmt.Sprintf("%s/%s/%d", name, loss, steps), func(t *testing.T) {
					e, err := New[float64](opNet(op), MAML{Steps: steps, Rate: 0.05, Inner: loss, Outer: loss}, 5, 4)
					if err != nil {
						t.Fatal(err)
					}
					defer e.Close()
					checkDifferences(t, e, 3)
				})
			}
		}
	}
}

func checkDifferences(t *testing.T, e *Engine[float64], seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	n := e.net.NumParams()
	theta, grad, other := normal[float64](r, n), make([]float64, n), make([]float64, n)
	for i := range theta {
		theta[i] *= 0.5
	}
	task := learner.Task[float64]{Support: batch[float64](r, 5, e.net.In, e.net.Out), Query: batch[float64](r, 4, e.net.In, e.net.Out)}
	if _, err := e.Gradient(theta, &task, grad); err != nil {
		t.Fatal(err)
	}
	numeric := make([]float64, n)
	for i, x := range theta {
		const h = 1e-5
		theta[i] = x + h
		up, err := e.Gradient(theta, &task, other)
		if err != nil {
			t.Fatal(err)
		}
		theta[i] = x - h
		down, _ := e.Gradient(theta, &task, other)
		theta[i] = x
		numeric[i] = (up - down) / (2 * h)
	}
	if d := distance(grad, numeric); d > 1e-6 {
		t.Errorf("differs from finite differences by %.2g", d)
	}
}

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

func distance[T Float](x, y []T) float64 {
	var d, n float64
	for i := range y {
		d += float64(x[i]-y[i]) * float64(x[i]-y[i])
		n += float64(y[i]) * float64(y[i])
	}
	return math.Sqrt(d / n)
}
