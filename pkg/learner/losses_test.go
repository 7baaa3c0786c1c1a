package learner

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// Losses inside and outside in all sorts: K = 3, and the rates beside theta.
func TestMAMLThroughEveryLossMatchesFiniteDifferences(t *testing.T) {
	weights, quantiles := []float32{0.5, 2, 1}, []float32{0.1, 0.6, 0.9}
	for _, c := range []Config{
		{InnerLoss: "softmax", OuterLoss: "softmax"},
		{InnerLoss: "softmax", OuterLoss: "softmax", ClassWeights: weights, ZeroWeight: 0.5},
		{InnerLoss: "bce", OuterLoss: "bce", ClassWeights: weights},
		{InnerLoss: "mse", OuterLoss: "softmax"},
		{InnerLoss: "pinball", OuterLoss: "pinball", Quantiles: quantiles, HuberDelta: 0.8},
		{InnerLoss: "huber", OuterLoss: "huber", InnerDelta: 0.5, HuberDelta: 2},
	} {
		for i, net := range []nn.Config{tanhNet, skipNet, tanhNet, skipNet, tanhNet} {
			name := []string{"maml", "maml", "anil", "anil", "metasgd"}[i]
			t.Run(fmt.Sprintf("%s/%s/%s/%s", name, c.InnerLoss, c.OuterLoss, net.Activation), func(t *testing.T) {
				c.Name, c.Steps, c.Rate, c.LearnRates = name, 3, 0.2, true
				r, good := rand.New(rand.NewPCG(3, 3)), 0
				for try := 0; good < 3 && try < 200; try++ {
					l, task := setup[float64](t, r, c, net, 2, 3, 5)
					switch {
					case c.InnerDelta != 0:
						task.Support, task.Query = samples[float64](r, 5, 2, 3), samples[float64](r, 6, 2, 3)
					case c.Quantiles == nil:
						task.Support, task.Query = classes[float64](r, 3, 2, 2), classes[float64](r, 3, 3, 2)
					default:
						task.Support, task.Query = samples[float64](r, 5, 2, 1), samples[float64](r, 6, 2, 1)
					}
					theta, grad := start(r, l), make([]float64, l.NumParams())
					if _, err := l.Gradient(theta, &task, grad); err != nil {
						t.Fatal(err)
					}
					want, ok := differences(outerLoss(l, theta, &task), theta)
					if !ok {
						continue
					}
					good++
					if d := distance(grad, want); d > tolerance {
						t.Fatalf("relative error %.2g\n got %.6g\nwant %.6g", d, grad, want)
					}
				}
				if good < 3 {
					t.Errorf("only %d of 200 points lie away from kinks", good)
				}
			})
		}
	}
}

// Each huber turns linear at a delta of its own: inside the support's, outside the query's.
func TestDeltasAreApart(t *testing.T) {
	loss := func(inner, outer float32) (adapted, scored float64) {
		r := rand.New(rand.NewPCG(3, 3))
		l, task := setup[float64](t, r, Config{Name: "maml", InnerLoss: "huber", OuterLoss: "huber", InnerDelta: inner, HuberDelta: outer}, linear, 1, 1, 1)
		task.Support = Batch[float64]{1, []float64{1}, []float64{10}, []float64{1}}
		task.Query = task.Support
		p, err := l.Adapt([]float64{0, 0}, &task.Support, 1)
		if err != nil {
			t.Fatal(err)
		}
		return p.Theta()[1], p.Loss(&task.Query)
	}
	for _, c := range [][2]float32{{0.5, 2}, {2, 0.5}, {0, 3}} {
		inner, outer := float64(c[0]), float64(c[1])
		if inner == 0 {
			inner = outer
		}
		bias, scored := loss(c[0], c[1]) // a residual of 10: the slope is delta, and both parameters move by it
		moved := float64(float32(0.01)) * inner
		want := outer * (10 - 2*moved - outer/2)
		if d := bias - moved; d > 1e-7 || d < -1e-7 {
			t.Errorf("deltas %v: adapted by %v, expected %v", c, bias, moved)
		}
		if d := scored - want; d > 1e-6 || d < -1e-6 {
			t.Errorf("deltas %v: scored %v, expected %v", c, scored, want)
		}
	}
}

// What adapts by classes learns them: the check that signs and weights are used.
func TestMAMLLearnsClasses(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	c := Config{Name: "maml", Steps: 20, Rate: 1, InnerLoss: "softmax", OuterLoss: "softmax"}
	l, task := setup[float32](t, r, c, nn.Config{Name: "mlp", Hidden: []int{16}, Activation: "tanh"}, 2, 3, 9)
	clear(task.Support.Y)
	for i := range 9 {
		k := i % 3
		task.Support.X[2*i], task.Support.X[2*i+1] = float32(k-1), float32(k*k-k)+0.1*float32(i)
		task.Support.Y[3*i+k], task.Support.W[i] = 1, 1.0/9
	}
	theta := make([]float32, l.NumParams())
	l.Init(1, theta)
	p, err := l.Adapt(theta, &task.Support, -1)
	if err != nil {
		t.Fatal(err)
	}
	y := make([]float32, 27)
	p.Predict(task.Support.X, 9, y)
	if hits := nn.Correct(9, 3, y, task.Support.Y); hits < 9 {
		t.Errorf("%d of 9 samples of the support are right after 20 steps", hits)
	}
}

func TestG7_ConfigOfLossesNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		c    Config
		out  int
		want string
	}{
		{Config{Name: "maml", InnerLoss: "abs"}, 1, "inner_loss: abs has no curvature"},
		{Config{Name: "maml", OuterLoss: "pinball", Quantiles: []float32{0.1, 0.9}}, 2, "expected pinball in both or in neither"},
		{Config{Name: "maml", InnerLoss: "pinball", OuterLoss: "pinball"}, 2, "quantiles: none"},
		{Config{Name: "maml", InnerLoss: "pinball", OuterLoss: "pinball", Quantiles: []float32{0.1, 0.9}}, 3, "3 outputs, expected a multiple of its 2 quantiles"},
		{Config{Name: "ridge", InnerLoss: "pinball", OuterLoss: "pinball", Quantiles: []float32{0.1, 0.9}}, 2, "expected another for ridge"},
		{Config{Name: "maml", OuterLoss: "softmax", Clip: 4}, 2, "outer_loss: make loss softmax: clip 4"},
		{Config{Name: "maml", OuterLoss: "softmax", ClassWeights: []float32{1, 2, 3}}, 2, "class_weights: 3 for 2 outputs"},
	} {
		m, err := nn.Build(linear, nn.Flat(1, c.out))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New[float32](c.c, m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, expected %q", c.c, err, c.want)
		}
	}
	p := Config{Name: "maml", OuterLoss: "bce", ClassWeights: []float32{2}, Quantiles: []float32{0.5}}.Pooled()
	if len(p.ClassWeights) != 1 || len(p.Quantiles) != 1 {
		t.Error("the pooled comparator has another loss")
	}
}
