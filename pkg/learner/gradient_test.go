package learner

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

var (
	reluNet = nn.Config{Name: "mlp", Hidden: []int{6, 5}, Activation: "relu"}
	tanhNet = nn.Config{Name: "mlp", Hidden: []int{5}, Activation: "tanh", Skip: true}
	skipNet = nn.Config{Name: "mlp", Hidden: []int{5, 4}, Activation: "relu", Skip: true}
	linear  = nn.Config{Name: "mlp"}
)

// tolerance is the relative error, in the Euclidean norm, between a gradient
// and central finite differences.
const tolerance = 1e-6

func numbers[T kernel.Float](r *rand.Rand, n int, scale float64) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(scale * r.NormFloat64())
	}
	return x
}

// samples draws a batch with weights of 1/n, unequal.
func samples[T kernel.Float](r *rand.Rand, n, in, out int) Batch[T] {
	w := make([]T, n)
	for i := range w {
		w[i] = T((0.5 + r.Float64()) / float64(n))
	}
	return Batch[T]{n, numbers[T](r, n*in, 1), numbers[T](r, n*out, 1), w}
}

// start returns parameters to check at: the learner's own start, shaken.
func start[T kernel.Float](r *rand.Rand, l Learner[T]) []T {
	init := make([]float32, l.NumParams())
	l.Init(r.Uint64(), init)
	theta := make([]T, len(init))
	for i, v := range init {
		theta[i] = T(float64(v) * (1 + 0.5*r.NormFloat64()))
		if v == 0 {
			theta[i] = T(0.3 * r.NormFloat64())
		}
	}
	return theta
}

// differences returns central finite differences of f at theta, or false where
// a kink lies within reach: there the second difference does not vanish.
func differences(f func(theta []float64) float64, theta []float64) ([]float64, bool) {
	const h = 1e-5
	at, g := append([]float64(nil), theta...), make([]float64, len(theta))
	mid := f(at)
	for i, x := range theta {
		at[i] = x + h
		up := f(at)
		at[i] = x - h
		down := f(at)
		at[i] = x
		g[i] = (up - down) / (2 * h)
		if math.Abs(up-2*mid+down)/h > 2e-4*(1+math.Abs(mid)) {
			return nil, false
		}
	}
	return g, true
}

// distance is |got - want| / |want|.
func distance(got, want []float64) float64 {
	var d, w float64
	for i := range want {
		d += (got[i] - want[i]) * (got[i] - want[i])
		w += want[i] * want[i]
	}
	return math.Sqrt(d / w)
}

// checkGradient compares the gradient with finite differences of f on tasks
// drawn until three lie away from kinks.
func checkGradient(t *testing.T, c Config, net nn.Config, in, out, shots int, f func(l Learner[float64], theta []float64, task *Task[float64]) func([]float64) float64) {
	t.Helper()
	checkGradientAt(t, 0, c, net, in, out, shots, f)
}

// checkGradientAt is checkGradient at an outer step.
func checkGradientAt(t *testing.T, step int64, c Config, net nn.Config, in, out, shots int, f func(l Learner[float64], theta []float64, task *Task[float64]) func([]float64) float64) {
	t.Helper()
	m, err := nn.Build(net, nn.Flat(in, out))
	if err != nil {
		t.Fatal(err)
	}
	l, err := New[float64](c, m)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(uint64(shots), uint64(c.Steps)))
	good := 0
	for try := 0; good < 3; try++ {
		if try == 200 {
			t.Fatalf("%+v: only %d of 200 points lie away from kinks", c, good)
		}
		task := Task[float64]{Support: samples[float64](r, shots, in, out), Query: samples[float64](r, 6, in, out), Step: step}
		theta, grad := start(r, l), make([]float64, l.NumParams())
		if _, err := l.Gradient(theta, &task, grad); err != nil {
			t.Fatal(err)
		}
		want, ok := differences(f(l, theta, &task), theta)
		if !ok {
			continue
		}
		good++
		if d := distance(grad, want); d > tolerance {
			t.Errorf("%+v on %+v, %d shots: relative error %.2g\n got %.6g\nwant %.6g", c, net, shots, d, grad, want)
			return
		}
	}
}

// outerLoss is the function a learner's gradient is of.
func outerLoss(l Learner[float64], _ []float64, task *Task[float64]) func([]float64) float64 {
	grad := make([]float64, l.NumParams())
	return func(theta []float64) float64 {
		loss, err := l.Gradient(theta, task, grad)
		if err != nil {
			panic(err)
		}
		return loss
	}
}

func TestMAMLMatchesFiniteDifferences(t *testing.T) {
	for _, net := range []nn.Config{reluNet, tanhNet, skipNet, linear} {
		for _, k := range []int{1, 2, 3, 5} {
			weights := make([]float32, k)
			for i := range weights {
				weights[i] = float32(i+1) / float32(k)
			}
			for _, c := range []Config{
				{Name: "maml", Steps: k, Rate: 0.1},
				{Name: "maml", Steps: k, Rate: 0.1, LearnRates: true},
				{Name: "maml", Steps: k, Rate: 0.1, LearnRates: true, StepWeights: weights, ZeroWeight: 0.5, OuterLoss: "abs", Clip: 2},
				{Name: "maml", Steps: k, Rate: 0.1, InnerLoss: "huber", OuterLoss: "huber", ZeroWeight: 0.25},
			} {
				t.Run(fmt.Sprintf("%v/%v/K%d/rates=%v/%s", net.Activation, net.Hidden, k, c.LearnRates, c.OuterLoss), func(t *testing.T) {
					checkGradient(t, c, net, 2, 2, 5, outerLoss)
					checkGradient(t, c, net, 2, 1, 0, outerLoss)
				})
			}
		}
	}
}

func TestRidgeMatchesFiniteDifferences(t *testing.T) {
	for _, net := range []nn.Config{reluNet, tanhNet, skipNet, linear} {
		for _, shots := range []int{0, 1, 3, 5, 6, 7, 8, 12, 20} { // both forms, and where they meet
			for _, out := range []int{1, 3} {
				for _, c := range []Config{
					{Name: "ridge"},
					{Name: "ridge", Precision: 0.1, ZeroWeight: 0.5, OuterLoss: "abs", Clip: 2},
					{Name: "ridge", Precision: 0.1, Outlier: 0.7}, // about half of the residuals
				} {
					checkGradient(t, c, net, 2, out, shots, outerLoss)
				}
			}
		}
	}
}

func TestPooledMatchesFiniteDifferences(t *testing.T) {
	checkGradient(t, Config{Name: "pooled", OuterLoss: "huber"}, skipNet, 2, 2, 4, outerLoss)
}

// FOMAML's is the gradient of the query loss at the adapted parameters for those
// parameters: it is checked as the derivative of shifting theta after adapting.
func TestFOMAMLIsTheGradientAtTheAdaptedParameters(t *testing.T) {
	shifted := func(l Learner[float64], theta []float64, task *Task[float64]) func([]float64) float64 {
		return func(at []float64) float64 {
			p, err := l.Adapt(theta, &task.Support, -1)
			if err != nil {
				panic(err)
			}
			for i := range p.theta {
				p.theta[i] += at[i] - theta[i]
			}
			return p.Loss(&task.Query)
		}
	}
	for _, k := range []int{1, 2, 3, 5} {
		checkGradient(t, Config{Name: "fomaml", Steps: k, Rate: 0.1}, reluNet, 2, 2, 5, shifted)
	}
}

func TestAdaptIsWhatTheLossIsOf(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for _, c := range []Config{
		{Name: "maml", Steps: 3, LearnRates: true}, {Name: "fomaml"}, {Name: "ridge"}, {Name: "pooled"}, {Name: "anil", Steps: 3, LearnRates: true},
		{Name: "metasgd", Steps: 2}, {Name: "reptile", Steps: 3}, {Name: "imaml", Steps: 3},
	} {
		c.OuterLoss, c.Clip = "abs", 1
		l, task := setup[float32](t, r, c, skipNet, 2, 2, 5)
		theta, grad := start(r, l), make([]float32, l.NumParams())
		loss, err := l.Gradient(theta, &task, grad)
		if err != nil {
			t.Fatal(err)
		}
		p, err := l.Adapt(theta, &task.Support, -1)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Loss(&task.Query); got != loss {
			t.Errorf("%s: the adapted model's loss is %v, Gradient's %v", c.Name, got, loss)
		}
		y := make([]float32, 2*task.Query.N)
		p.Predict(task.Query.X, task.Query.N, y)
		for _, v := range y {
			if v > 1 || v < -1 {
				t.Errorf("%s: predicts %v under a clip of 1", c.Name, v)
			}
		}
	}
}

// setup builds a learner and one task with shots samples in its support.
func setup[T kernel.Float](t testing.TB, r *rand.Rand, c Config, net nn.Config, in, out, shots int) (Learner[T], Task[T]) {
	t.Helper()
	m, err := nn.Build(net, nn.Flat(in, out))
	if err != nil {
		t.Fatal(err)
	}
	l, err := New[T](c, m)
	if err != nil {
		t.Fatal(err)
	}
	return l, Task[T]{Support: samples[T](r, shots, in, out), Query: samples[T](r, 10, in, out)}
}

// A step left out of the loss would be left out of its differences too.
func TestLossWeighsEveryStep(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 8))
	for _, c := range []Config{
		{Name: "maml", Steps: 3, Rate: 0.1, ZeroWeight: 0.5, StepWeights: []float32{0.25, 0, 2}},
		{Name: "ridge", ZeroWeight: 0.5},
		{Name: "anil", Steps: 3, Rate: 0.1, ZeroWeight: 0.5, StepWeights: []float32{0.25, 0, 2}},
	} {
		l, task := setup[float64](t, r, c, skipNet, 2, 2, 5)
		theta, grad := start(r, l), make([]float64, l.NumParams())
		got, err := l.Gradient(theta, &task, grad)
		if err != nil {
			t.Fatal(err)
		}
		none := task.Support
		none.N = 0
		p, err := l.Adapt(theta, &none, -1)
		if err != nil {
			t.Fatal(err)
		}
		want := 0.5 * p.Loss(&task.Query)
		weights := c.StepWeights
		if weights == nil {
			weights = []float32{1}
		}
		for k, w := range weights {
			if p, err = l.Adapt(theta, &task.Support, k+1); err != nil {
				t.Fatal(err)
			}
			want += float64(w) * p.Loss(&task.Query)
		}
		if math.Abs(got-want) > 1e-12*want {
			t.Errorf("%s: loss %v, the sum over its steps %v", c.Name, got, want)
		}
	}
}
