package learner

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// line is y = w x + b with one support sample (x = 1, y = 3) of weight 1, whose
// gradient at w = 0, b = 1 is (2 r x, 2 r) with r = w + b - 3.
func line(t *testing.T, c Config) (Learner[float64], []float64, Task[float64]) {
	t.Helper()
	l, task := setup[float64](t, rand.New(rand.NewPCG(1, 1)), c, linear, 1, 1, 1)
	task.Support = Batch[float64]{1, []float64{1}, []float64{3}, []float64{1}}
	return l, []float64{0, 1}, task
}

// Algorithm 1 of the paper, by hand: two steps of SGD at 0.25. At (0, 1) r = -2,
// so that both move by 0.25*4 = 1 to (1, 2), where r = 0: the second stays. The
// gradient is (theta - theta_2)/0.25.
func TestReptileSGDByHand(t *testing.T) {
	l, theta, task := line(t, Config{Name: "reptile", InnerOptimizer: "sgd", Steps: 2, Rate: 0.25})
	grad := make([]float64, 2)
	loss, err := l.Gradient(theta, &task, grad)
	if err != nil {
		t.Fatal(err)
	}
	if grad[0] != -4 || grad[1] != -4 {
		t.Errorf("gradient %v, expected [-4 -4]", grad)
	}
	want := 0.0
	for i := range task.Query.N {
		e := task.Query.X[i] + 2 - task.Query.Y[i]
		want += task.Query.W[i] * e * e
	}
	if math.Abs(loss-want) > 1e-12*want {
		t.Errorf("loss %v, at the adapted (1, 2) it is %v", loss, want)
	}
}

// With SGD the gradient is the sum of the inner gradients on the way.
func TestReptileSGDSumsInnerGradients(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	l, task := setup[float64](t, r, Config{Name: "reptile", InnerOptimizer: "sgd", Steps: 4, Rate: 0.05}, tanhNet, 2, 2, 5)
	theta, grad := start(r, l), make([]float64, l.NumParams())
	if _, err := l.Gradient(theta, &task, grad); err != nil {
		t.Fatal(err)
	}
	m, _ := nn.Build(tanhNet, nn.Flat(2, 2))
	pooled, _ := New[float64](Config{Name: "pooled"}, m)
	at, g, sum := append([]float64(nil), theta...), make([]float64, len(theta)), make([]float64, len(theta))
	for range 4 {
		if _, err := pooled.Gradient(at, &Task[float64]{Query: task.Support}, g); err != nil {
			t.Fatal(err)
		}
		for i := range at {
			sum[i] += g[i]
			at[i] -= float64(float32(0.05)) * g[i]
		}
	}
	if d := distance(grad, sum); d > 1e-12 {
		t.Errorf("relative distance %g from the sum of inner gradients", d)
	}
}

// Adam by hand (Kingma and Ba, algorithm 1): with beta1 = 0, beta2 = 0.75 and the
// gradients 4 and then g_2, the steps are 1 and g_2/sqrt((0.75*4 + 0.25 g_2^2)/(1-0.75^2))
// times the rate.
func TestReptileAdamByHand(t *testing.T) {
	for _, beta1 := range []float64{0, 0.5} {
		l, theta, task := line(t, Config{Name: "reptile", Steps: 2, Rate: 0.25, Beta1: float32(beta1), Beta2: 0.75})
		grad := make([]float64, 2)
		for range 2 { // the second time from moments of zero again
			if _, err := l.Gradient(theta, &task, grad); err != nil {
				t.Fatal(err)
			}
		}
		// r = -2: g_1 = -4 for both; the first step is 0.25 up to (0.25, 1.25), r = -1.5, g_2 = -3.
		m := (beta1*(1-beta1)*-4 + (1-beta1)*-3) / (1 - beta1*beta1)
		v := (0.75*0.25*16 + 0.25*9) / (1 - 0.75*0.75)
		want := -1 + m/math.Sqrt(v)
		for i, g := range grad {
			if math.Abs(g-want) > 1e-7 { // the epsilon of 1e-8 is left out here
				t.Errorf("beta1 %v: gradient %d is %v, expected %v", beta1, i, g, want)
			}
		}
	}
}

// Five samples in batches of two are three parts, of samples 0 and 3, 1 and 4, and 2 alone, which take turns; a step on a
// part is one of plain SGD on it as a support of its own, of the same weight in all.
func TestReptileStepsTakeTurnsOfTheSupport(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	l, task := setup[float64](t, r, Config{Name: "reptile", InnerOptimizer: "sgd", InnerBatch: 2, Steps: 4, Rate: 0.05}, tanhNet, 2, 2, 5)
	theta, grad := start(r, l), make([]float64, l.NumParams())
	if _, err := l.Gradient(theta, &task, grad); err != nil {
		t.Fatal(err)
	}
	m, _ := nn.Build(tanhNet, nn.Flat(2, 2))
	pooled, _ := New[float64](Config{Name: "pooled"}, m)
	at, g, s := append([]float64(nil), theta...), make([]float64, len(theta)), task.Support
	for _, rows := range [][]int{{0, 3}, {1, 4}, {2}, {0, 3}} {
		part := Batch[float64]{N: len(rows)}
		for _, i := range rows {
			part.X, part.Y = append(part.X, s.X[2*i:2*i+2]...), append(part.Y, s.Y[2*i:2*i+2]...)
			part.W = append(part.W, s.W[i]*5/float64(len(rows)))
		}
		if _, err := pooled.Gradient(at, &Task[float64]{Query: part}, g); err != nil {
			t.Fatal(err)
		}
		for i := range at {
			at[i] -= float64(float32(0.05)) * g[i]
		}
	}
	way := make([]float64, len(theta))
	for i := range way {
		way[i] = (theta[i] - at[i]) / float64(float32(0.05))
	}
	if d := distance(grad, way); d > 1e-12 {
		t.Errorf("relative distance %g from steps on each part by hand", d)
	}
	p, err := l.Adapt(theta, &task.Support, 4)
	if err != nil {
		t.Fatal(err)
	}
	if d := distance(p.Theta(), at); d > 1e-12 {
		t.Errorf("adapting ends at a relative distance of %g from it", d)
	}
}

func TestReptileWithoutSupportGoesNowhere(t *testing.T) {
	l, theta, task := line(t, Config{Name: "reptile"})
	task.Support.N = 0
	grad := []float64{1, 1}
	if _, err := l.Gradient(theta, &task, grad); err != nil || grad[0] != 0 || grad[1] != 0 {
		t.Errorf("gradient %v (%v), expected zeros", grad, err)
	}
}
