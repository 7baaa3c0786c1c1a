package gorgoniaengine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// models is what both engines are compared on.
var models = []struct {
	name  string
	c     nn.Config
	shape nn.Shape
	loss  string
}{
	{"mlp", nn.Config{Name: "mlp", Hidden: []int{40, 40}}, nn.Flat(2, 3), "mse"},
	{"tanh", nn.Config{Name: "mlp", Hidden: []int{7}, Activation: "tanh", Skip: true}, nn.Flat(2, 3), "mse"},
	{"sigmoid", nn.Config{Name: "mlp", Hidden: []int{5, 5}, Activation: "sigmoid", Norm: "batch"}, nn.Flat(3, 2), "softmax"},
	{"conv4", nn.Config{Name: "conv4", Filters: 3}, nn.Shape{In: []int{5, 4, 1}, Out: 3}, "softmax"},
	{"conv4 without norm", nn.Config{Name: "conv4", Filters: 4, Norm: "none", Activation: "tanh"}, nn.Shape{In: []int{4, 4, 2}, Out: 2}, "mse"},
	{"tcn", nn.Config{Name: "tcn", Channels: 3, Levels: 2}, nn.Shape{In: []int{6, 2}, Extra: 2, Out: 1}, "mse"},
	{"conv2d", nn.Config{Name: "layers", Layers: []nn.LayerSpec{
		{Kind: "conv2d", Filters: 3, Kernel: nn.Dims{3, 2}, Stride: nn.Dims{2, 1}, Padding: nn.Dims{1, 0}}, {Kind: "flatten"},
	}}, nn.Shape{In: []int{6, 5, 2}, Out: 2}, "softmax"},
	{"residual", nn.Config{Name: "layers", Layers: []nn.LayerSpec{
		{Kind: "residual", Layers: []nn.LayerSpec{{Kind: "conv2d", Filters: 4, Kernel: nn.Dims{3}, Stride: nn.Dims{2}, Padding: nn.Dims{1}}, {Kind: "tanh"}}},
		{Kind: "flatten"}, {Kind: "dense", Units: 4}, {Kind: "relu"},
	}}, nn.Shape{In: []int{3, 4, 2}, Out: 2}, "softmax"},
	{"avgpool", nn.Config{Name: "layers", Layers: []nn.LayerSpec{
		{Kind: "avgpool", Kernel: nn.Dims{2}, Padding: nn.Dims{1}}, {Kind: "flatten"}, {Kind: "dense", Units: 4}, {Kind: "tanh"},
	}}, nn.Shape{In: []int{4, 3, 2}, Out: 2}, "softmax"},
}

// TestLaneAgreesWithGorgonia: the same second-order gradient from two engines that
// share no arithmetic, to rounding, in float64 and float32, for K = 1, 2, 5.
func TestLaneAgreesWithGorgonia(t *testing.T) {
	for _, c := range models {
		for _, steps := range []int{1, 2, 5} {
			t.Run(fmt.Sprintf("%s/K=%d", c.name, steps), func(t *testing.T) {
				t.Run("float64", func(t *testing.T) { compare[float64](t, c.c, c.shape, c.loss, steps, 1e-9) })
				t.Run("float32", func(t *testing.T) { compare[float32](t, c.c, c.shape, c.loss, steps, 2e-3) })
			})
		}
	}
}

// compare runs both engines on two tasks.
func compare[T Float](t *testing.T, c nn.Config, shape nn.Shape, loss string, steps int, tolerance float64) {
	t.Helper()
	m, err := nn.Build(c, shape)
	if err != nil {
		t.Fatal(err)
	}
	l, err := learner.New[T](learner.Config{Name: "maml", Steps: steps, Rate: 0.0625, InnerLoss: loss, OuterLoss: loss}, m)
	if err != nil {
		t.Fatal(err)
	}
	net, err := Of(m)
	if err != nil {
		t.Fatal(err)
	}
	e, err := New[T](net, MAML{Steps: steps, Rate: 0.0625, Inner: loss, Outer: loss}, 6, 7)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	r := rand.New(rand.NewPCG(1, uint64(steps)))
	start := make([]float32, m.NumParams())
	theta, got, want := make([]T, len(start)), make([]T, len(start)), make([]T, len(start))
	for range 2 { // one machine, used again
		m.Init(r.Uint64(), start)
		for i, v := range start {
			theta[i] = T(v)
		}
		task := learner.Task[T]{Support: batch[T](r, 6, net.In, net.Out), Query: batch[T](r, 7, net.In, net.Out)}
		a, err := l.Gradient(theta, &task, got)
		if err != nil {
			t.Fatal(err)
		}
		b, err := e.Gradient(theta, &task, want)
		if err != nil {
			t.Fatal(err)
		}
		if d := distance(got, want); d > tolerance || math.Abs(float64(a-b)) > tolerance*math.Abs(float64(b)) {
			t.Errorf("loss %v, gorgonia's %v; gradients differ by %.2g", a, b, d)
		}
	}
}

func TestG7_PanicsEndAtTheEdge(t *testing.T) {
	m, _ := nn.Build(nn.Config{Name: "mlp", Hidden: []int{3}}, nn.Flat(1, 1))
	net, err := Of(m)
	if err != nil {
		t.Fatal(err)
	}
	var none program[float64]
	if err := none.run(nil, nil, nil); err == nil || !strings.Contains(err.Error(), "run gorgonia graph: ") {
		t.Errorf("a panic came out as %v", err)
	}
	one := MAML{Steps: 1, Rate: 0.1, Inner: "mse", Outer: "mse"}
	if _, err := New[float64](net, one, -1, 5); err == nil || !strings.Contains(err.Error(), "-1 support") {
		t.Errorf("a support of -1: %v", err)
	}
	bad := net
	bad.Forward = func(g *Graph, p []*Value, x *Value) *Value { return g.MatMul(x, p[2]) }
	if _, err := New[float64](bad, one, 5, 5); err == nil || !strings.Contains(err.Error(), "[5][1] and [3][1] do not fit") {
		t.Errorf("shapes that do not fit: %v", err)
	}
	if _, err := New[float64](net, MAML{Inner: "mse", Outer: "hinge"}, 5, 5); err == nil || !strings.Contains(err.Error(), `"hinge"`) {
		t.Errorf("an unknown loss: %v", err)
	}
	pool, err := nn.Build(nn.Config{Name: "conv4", Filters: 2, Pool: "max"}, nn.Shape{In: []int{16, 16, 1}, Out: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Of(pool); err == nil || !strings.Contains(err.Error(), "maxpool") {
		t.Errorf("a max pool: %v", err)
	}
	e, err := New[float64](net, one, 5, 5)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	task := learner.Task[float64]{Support: batch[float64](r, 5, 1, 1), Query: batch[float64](r, 6, 1, 1)}
	theta := make([]float64, 10)
	if _, err := e.Gradient(theta, &task, theta); err == nil || !strings.Contains(err.Error(), "query: 6 samples, expected 5") {
		t.Errorf("a query of another size: %v", err)
	}
	if _, err := e.Gradient(theta[1:], &task, theta); err == nil {
		t.Error("too few parameters were taken")
	}
}
