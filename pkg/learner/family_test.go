package learner

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// family are the learners of maml's family beside maml and fomaml, for K steps.
func family(k int) []Config {
	weights := make([]float32, k)
	for i := range weights {
		weights[i] = float32(i+1) / float32(k)
	}
	return []Config{
		{Name: "anil", Steps: k, Rate: 0.1},
		{Name: "anil", Steps: k, Rate: 0.1, LearnRates: true, StepWeights: weights, ZeroWeight: 0.5, OuterLoss: "abs", Clip: 2},
		{Name: "anil", Steps: k, Rate: 0.1, Rates: ParameterRates, InnerLoss: "huber", OuterLoss: "huber"},
		{Name: "metasgd", Steps: k, Rate: 0.05, RateMax: 0.2},
		{Name: "metasgd", Steps: k, Rate: 0.1, StepWeights: weights, ZeroWeight: 0.5, InnerLoss: "huber"},
		{Name: "mamlpp", Steps: k, Rate: 0.1, MSLSteps: 10},
		{Name: "mamlpp", Steps: k, Rate: 0.1, MSLSteps: 10, Rates: ScalarRate, ZeroWeight: 0.25, OuterLoss: "huber"},
	}
}

func TestMAMLFamilyMatchesFiniteDifferences(t *testing.T) {
	for _, net := range []nn.Config{reluNet, tanhNet, skipNet, linear} {
		for _, k := range []int{1, 2, 3, 5} {
			for i, c := range family(k) {
				t.Run(fmt.Sprintf("%v/%v/K%d/%s%d", net.Activation, net.Hidden, k, c.Name, i), func(t *testing.T) {
					for _, at := range []int64{0, 4, 10} {
						checkGradientAt(t, at, c, net, 2, 2, 5, outerLoss)
						if c.MSLSteps == 0 {
							break
						}
					}
					checkGradient(t, c, net, 2, 1, 0, outerLoss)
				})
			}
		}
	}
}

// ANIL is the recursion over all parameters under a mask of rates, of which
// metasgd's rates per parameter are the general form.
func TestANILIsMAMLUnderAMask(t *testing.T) {
	for _, net := range []nn.Config{reluNet, tanhNet, skipNet, linear} {
		for _, k := range []int{1, 2, 3, 5} {
			for _, first := range []int64{0, 1} {
				r := rand.New(rand.NewPCG(uint64(k), 11))
				c := Config{Name: "anil", Steps: k, Rate: 0.125, ZeroWeight: 0.5, MSLSteps: 10, FirstOrderSteps: first}
				anil, task := setup[float64](t, r, c, net, 2, 2, 5)
				c.Name = "metasgd"
				masked, _ := setup[float64](t, r, c, net, 2, 2, 5)
				theta := start(r, anil)
				n := len(theta)
				wide := append(append([]float64(nil), theta...), make([]float64, n)...)
				h := masked.(*maml[float64]).model.Head()
				for i := h.Lo; i < h.Hi; i++ {
					wide[n+i] = 0.125
				}
				got, want := make([]float64, n), make([]float64, 2*n)
				a, err1 := anil.Gradient(theta, &task, got)
				b, err2 := masked.Gradient(wide, &task, want)
				if err1 != nil || err2 != nil || math.Abs(a-b) > 1e-12*math.Abs(b) {
					t.Fatalf("%v K=%d: loss %v (%v), masked %v (%v)", net.Hidden, k, a, err1, b, err2)
				}
				if d := distance(got, want[:n]); d > 1e-12 {
					t.Errorf("%v K=%d, first order up to %d: relative distance %.2g", net.Hidden, k, first, d)
				}
				p, err1 := anil.Adapt(theta, &task.Support, 7)
				q, err2 := masked.Adapt(wide, &task.Support, 7)
				if err1 != nil || err2 != nil || distance(p.Theta(), q.Theta()) > 1e-12 {
					t.Errorf("%v K=%d: adapted models differ (%v, %v)", net.Hidden, k, err1, err2)
				}
			}
		}
	}
}

// one is a task of one sample in the support and one in the query.
func one(x, t, xq, tq float64) Task[float64] {
	return Task[float64]{
		Support: Batch[float64]{1, []float64{x}, []float64{t}, []float64{1}},
		Query:   Batch[float64]{1, []float64{xq}, []float64{tq}, []float64{1}},
	}
}

func gradientOf(t *testing.T, c Config, net nn.Config, theta []float64, task Task[float64]) []float64 {
	t.Helper()
	l, _ := setup[float64](t, rand.New(rand.NewPCG(1, 1)), c, net, 1, 1, 1)
	grad := make([]float64, l.NumParams())
	if _, err := l.Gradient(theta, &task, grad); err != nil {
		t.Fatal(err)
	}
	return grad
}

func near(t *testing.T, what string, got []float64, want ...float64) {
	t.Helper()
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-6*(1+math.Abs(want[i])) {
			t.Errorf("%s: element %d is %.9g, by hand %.9g", what, i, got[i], want[i])
		}
	}
}

// By hand: y = w x + b, squared error, one sample (x, t). The residual contracts
// by c = 1 - 2a(x^2 + 1) a step, so theta_K = theta - 2a r (1 - c^K)/(1 - c) [x, 1]
// and, for the query's residual rq at theta_K,
//
//	grad = 2 rq ([xq, 1] - 2a (x xq + 1) (1 - c^K)/(1 - c) [x, 1])
//
// of which first order keeps 2 rq [xq, 1] (Finn et al., 2017, eq. 1 and 5.2).
func TestLinearModelByHand(t *testing.T) {
	const w, b, x, y, xq, yq, a = 0.5, -0.25, 1.5, 2.0, -0.5, 1.0, 0.125
	task := one(x, y, xq, yq)
	r := w*x + b - y
	c := 1 - 2*a*(x*x+1)
	for _, k := range []int{1, 2, 3, 5} {
		moved := 2 * a * (1 - math.Pow(c, float64(k))) / (1 - c)
		rq := (w-moved*r*x)*xq + (b - moved*r) - yq
		turn := moved * (x*xq + 1)
		second := []float64{2 * rq * (xq - turn*x), 2 * rq * (1 - turn)}
		first := []float64{2 * rq * xq, 2 * rq}
		for _, l := range []struct {
			c    Config
			want []float64
		}{
			{Config{Name: "maml"}, second}, {Config{Name: "anil"}, second}, {Config{Name: "fomaml"}, first},
			{Config{Name: "maml", FirstOrderSteps: 1}, first}, {Config{Name: "anil", FirstOrderSteps: 1}, first},
		} {
			l.c.Steps, l.c.Rate = k, a
			near(t, fmt.Sprintf("%s K=%d", l.c.Name, k), gradientOf(t, l.c, linear, []float64{w, b}, task), l.want...)
		}
	}
}

// By hand, one step: the gradient for the rates is -(query gradient) times
// (support gradient), elementwise (Li et al., 2017, eq. 2 and algorithm 1), and
// that for the parameters has each rate before the Hessian 2 [x, 1][x, 1]^T.
func TestMetaSGDByHand(t *testing.T) {
	const w, b, x, y, xq, yq, aw, ab = 0.5, -0.25, 1.5, 2.0, -0.5, 1.0, 0.125, 0.0625
	r := w*x + b - y
	rq := (w-aw*2*r*x)*xq + (b - ab*2*r) - yq
	gw, gb, qw, qb := 2*r*x, 2*r, 2*rq*xq, 2*rq
	along := 2 * (x*aw*qw + ab*qb)
	grad := gradientOf(t, Config{Name: "metasgd"}, linear, []float64{w, b, aw, ab}, one(x, y, xq, yq))
	near(t, "metasgd", grad, qw-along*x, qb-along, -qw*gw, -qb*gb)
}

// By hand, one step, one hidden unit phi = u x + c > 0 and y = v phi + d: the head
// alone moves, v' = v - 2a r phi and d' = d - 2a r, and the body's gradient passes
// through both (Raghu et al., 2020, section 4).
func TestANILByHand(t *testing.T) {
	const u, c, v, d, x, y, xq, yq, a = 0.75, 0.5, -0.5, 0.25, 1.0, 2.0, 2.0, -1.0, 0.125
	phi, psi := u*x+c, u*xq+c
	r := v*phi + d - y
	v1, d1 := v-2*a*r*phi, d-2*a*r
	rq := v1*psi + d1 - yq
	// derivatives of v1 and d1 along u, c, v, d
	dv := []float64{-2 * a * (v*x*phi + r*x), -2 * a * (v*phi + r), 1 - 2*a*phi*phi, -2 * a * phi}
	dd := []float64{-2 * a * v * x, -2 * a * v, -2 * a * phi, 1 - 2*a}
	want := make([]float64, 4)
	for i, direct := range []float64{v1 * xq, v1, 0, 0} {
		want[i] = 2 * rq * (direct + psi*dv[i] + dd[i])
	}
	net := nn.Config{Name: "mlp", Hidden: []int{1}, Activation: "relu"}
	near(t, "anil", gradientOf(t, Config{Name: "anil", Rate: a}, net, []float64{u, c, v, d}, one(x, y, xq, yq)), want...)
}

// theirs is get_per_step_loss_importance_vector of the authors' code, an outer step
// in the place of an epoch, and after them the last step alone.
func theirs(k int, t, m float64) []float64 {
	w := make([]float64, k)
	if t >= m {
		w[k-1] = 1
		return w
	}
	n := float64(k)
	decay, least := 1/n/m, 0.03/n
	for i := range k - 1 {
		w[i] = max(1/n-t*decay, least)
	}
	w[k-1] = min(1/n+t*(n-1)*decay, 1-(n-1)*least)
	return w
}

func TestMSLWeightsAreTheAuthors(t *testing.T) {
	for _, k := range []int{1, 2, 5} {
		for _, at := range []int64{0, 1, 500, 984, 985, 999, 1000, 5000} {
			got := make([]float64, k+1)
			got[0] = 7
			anneal(got, at, 1000)
			sum := kernel.TreeSum(got[1:])
			for i, w := range theirs(k, float64(at), 1000) {
				if math.Abs(got[i+1]-w) > 1e-15 {
					t.Errorf("K=%d, outer step %d: w_%d is %v, theirs %v", k, at, i+1, got[i+1], w)
				}
			}
			if math.Abs(sum-1) > 1e-15 || got[0] != 7 {
				t.Errorf("K=%d, outer step %d: weights sum to %v, w_0 is %v", k, at, sum, got[0])
			}
		}
	}
}

// The learner's loss and gradient take those weights by the task's outer step.
func TestMAMLPPFollowsTheOuterStep(t *testing.T) {
	c := Config{Name: "mamlpp", Steps: 3, Rate: 0.125, MSLSteps: 10, FirstOrderSteps: 5}
	for _, at := range []int64{0, 4, 5, 9, 10, 1000} {
		r := rand.New(rand.NewPCG(21, 22))
		l, task := setup[float64](t, r, c, tanhNet, 2, 2, 5)
		fixed := Config{Name: "maml", Steps: 3, Rate: 0.125, LearnRates: true}
		if at < 5 {
			fixed.Name = "fomaml"
		}
		for _, w := range theirs(3, float64(at), 10) {
			fixed.StepWeights = append(fixed.StepWeights, float32(w))
		}
		plain, _ := setup[float64](t, r, fixed, tanhNet, 2, 2, 5)
		theta := start(r, l)
		got, want := make([]float64, len(theta)), make([]float64, len(theta))
		task.Step = at
		a, err1 := l.Gradient(theta, &task, got)
		task.Step = 0
		b, err2 := plain.Gradient(theta, &task, want)
		if err1 != nil || err2 != nil || math.Abs(a-b) > 1e-6*b || distance(got, want) > 1e-6 {
			t.Errorf("outer step %d: loss %v (%v), expected %v (%v); gradients %.2g apart", at, a, err1, b, err2, distance(got, want))
		}
	}
}

func TestMetaSGDStartsInItsRange(t *testing.T) {
	m, _ := nn.Build(reluNet, nn.Flat(1, 1))
	l, err := New[float32](Config{Name: "metasgd", Rate: 0.005, RateMax: 0.1}, m)
	if err != nil {
		t.Fatal(err)
	}
	theta := make([]float32, l.NumParams())
	l.Init(3, theta)
	var sum, low, high float32 = 0, 1, 0
	for _, a := range theta[m.NumParams():] {
		sum, low, high = sum+a, min(low, a), max(high, a)
	}
	if mean := sum / float32(m.NumParams()); low < 0.005 || high >= 0.1 || low > 0.02 || high < 0.08 || mean < 0.04 || mean > 0.065 {
		t.Errorf("rates from %v to %v, mean %v, expected to fill [0.005, 0.1)", low, high, sum)
	}
}
