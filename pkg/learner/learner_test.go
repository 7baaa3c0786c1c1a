package learner

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

func TestGradientAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []Config{
		{Name: "maml", Steps: 3}, {Name: "maml", Steps: 2, LearnRates: true, ZeroWeight: 1}, {Name: "fomaml"}, {Name: "pooled"},
		{Name: "ridge", OuterLoss: "abs", Clip: 4, ZeroWeight: 1},
		{Name: "anil", Steps: 3, LearnRates: true, ZeroWeight: 1}, {Name: "metasgd", Steps: 2}, {Name: "mamlpp", Steps: 3, MSLSteps: 10},
		{Name: "reptile", Steps: 2}, {Name: "reptile", Steps: 2, InnerOptimizer: "sgd"}, {Name: "imaml", Steps: 2, Rate: 0.001, ZeroWeight: 1},
		{Name: "ridge", OuterLoss: "softmax", ZeroWeight: 1},
	} {
		l, large := setup[float32](t, r, c, skipNet, 3, 2, 40)
		_, small := setup[float32](t, r, c, skipNet, 3, 2, 5)
		none := Task[float32]{Query: small.Query}
		theta, grad := start(r, l), make([]float32, l.NumParams())
		run := func() {
			for _, task := range []*Task[float32]{&large, &small, &none} {
				if _, err := l.Gradient(theta, task, grad); err != nil {
					t.Fatal(err)
				}
			}
		}
		run()
		if n := testing.AllocsPerRun(5, run); n != 0 {
			t.Errorf("%+v: %v allocations in the steady state", c, n)
		}
	}
}

// What was computed before must not show: a used learner gives the bits of a
// fresh one.
func TestG1_GradientIsAFunctionOfItsArguments(t *testing.T) {
	for _, c := range []Config{{Name: "maml", Steps: 3, LearnRates: true, ZeroWeight: 1}, {Name: "ridge", ZeroWeight: 1}, {Name: "fomaml", Steps: 2},
		{Name: "anil", Steps: 2, Rates: ParameterRates}, {Name: "metasgd", Steps: 2, ZeroWeight: 1}, {Name: "mamlpp", Steps: 3},
		{Name: "reptile", Steps: 3, Beta1: 0.5}, {Name: "imaml", Steps: 3, ZeroWeight: 1}} {
		r := rand.New(rand.NewPCG(3, 4))
		used, task := setup[float32](t, r, c, skipNet, 3, 2, 6)
		fresh, other := setup[float32](t, r, c, skipNet, 3, 2, 40)
		theta := start(r, used)
		want, got := make([]float32, len(theta)), numbers[float32](r, len(theta), 1)
		for _, before := range []*Task[float32]{&other, {Query: task.Query}} {
			if _, err := used.Gradient(theta, before, got); err != nil {
				t.Fatal(err)
			}
		}
		a, err1 := used.Gradient(theta, &task, got)
		b, err2 := fresh.Gradient(theta, &task, want)
		if err1 != nil || err2 != nil || a != b {
			t.Fatalf("%s: %v (%v), fresh %v (%v)", c.Name, a, err1, b, err2)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%s: element %d is %v, fresh %v", c.Name, i, got[i], want[i])
			}
		}
	}
}

func TestNoShotsMeansNoAdaptation(t *testing.T) {
	for _, name := range names {
		if name == "reptile" || name == "protonet" {
			continue // one goes nowhere, the other needs samples: see their own tests
		}
		r := rand.New(rand.NewPCG(5, 6))
		l, task := setup[float64](t, r, Config{Name: name}, skipNet, 2, 1, 0)
		pooled, _ := setup[float64](t, r, Config{Name: "pooled"}, skipNet, 2, 1, 0)
		theta := start(r, l)
		g, want := make([]float64, len(theta)), make([]float64, pooled.NumParams())
		a, err1 := l.Gradient(theta, &task, g)
		b, err2 := pooled.Gradient(theta[:len(want)], &task, want)
		if err1 != nil || err2 != nil || a != b || distance(g[:len(want)], want) != 0 {
			t.Errorf("%s without samples: %v (%v), the model itself %v (%v)", name, a, err1, b, err2)
		}
		for i, x := range g[len(want):] {
			if x != 0 {
				t.Errorf("%s: own parameter %d has gradient %v with no samples", name, i, x)
			}
		}
	}
}

func TestG7_NotANumberIsAnError(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, name := range names {
		if name == "protonet" {
			continue // targets are classes: see its own test
		}
		l, task := setup[float32](t, r, Config{Name: name}, skipNet, 2, 1, 4)
		theta, grad := start(r, l), make([]float32, l.NumParams())
		task.Query.Y[3] = float32(math.NaN())
		if _, err := l.Gradient(theta, &task, grad); err == nil || !strings.Contains(err.Error(), "the loss is NaN") {
			t.Errorf("%s with NaN in a target: %v", name, err)
		}
		task.Query.Y[3] = math.MaxFloat32
		if _, err := l.Gradient(theta, &task, grad); err == nil {
			t.Errorf("%s: an infinite loss passes", name)
		}
		if name == "pooled" {
			continue
		}
		task.Support.Y[0] = float32(math.Inf(1))
		if _, err := l.Adapt(theta, &task.Support, -1); err == nil || !strings.Contains(err.Error(), "adapt") {
			t.Errorf("%s adapts to infinity: %v", name, err)
		}
	}
}

// outputs is a number of outputs that a learner can have.
func outputs(name string) int {
	if name == "protonet" {
		return 2 // classes
	}
	return 1
}

func TestG7_WrongShapesAreErrors(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for _, name := range names {
		l, task := setup[float32](t, r, Config{Name: name}, skipNet, 2, outputs(name), 4)
		theta, grad := start(r, l), make([]float32, l.NumParams())
		for what, f := range map[string]func(t Task[float32]) (Task[float32], []float32){
			"0 parameters":      func(t Task[float32]) (Task[float32], []float32) { return t, nil },
			"query has no":      func(t Task[float32]) (Task[float32], []float32) { t.Query.N = 0; return t, theta },
			"query: 10 samples": func(t Task[float32]) (Task[float32], []float32) { t.Query.X = t.Query.X[1:]; return t, theta },
			"support: 4 samp":   func(t Task[float32]) (Task[float32], []float32) { t.Support.W = nil; return t, theta },
		} {
			bad, at := f(task)
			if _, err := l.Gradient(at, &bad, grad); err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %v, want %q", name, err, what)
			}
		}
		if _, err := l.Adapt(theta[1:], &task.Support, 1); err == nil {
			t.Errorf("%s adapts from too few parameters", name)
		}
	}
}

func TestG7_ConfigNamesWhatIsWrong(t *testing.T) {
	m, err := nn.Build(reluNet, nn.Flat(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		c    Config
		want string
	}{
		{Config{Name: "mamml"}, `did you mean "maml"?`},
		{Config{Name: "maml", Steps: -1}, "steps: -1, expected 1 to 1000"},
		{Config{Name: "maml", Rate: -1}, "rate: -1, expected above 0"},
		{Config{Name: "maml", Rate: float32(math.NaN())}, "rate: NaN"},
		{Config{Name: "ridge", LearnRates: true}, "learn_rates: set for ridge"},
		{Config{Name: "maml", Steps: 2, StepWeights: []float32{1}}, "step_weights: 1 weights for 2 steps"},
		{Config{Name: "maml", ZeroWeight: -1}, "zero_weight, clip, outlier, step_weights: -1"},
		{Config{Name: "maml", InnerLoss: "abs"}, "inner_loss: abs has no curvature"},
		{Config{Name: "maml", OuterLoss: "mae"}, "outer_loss: make loss: name: unknown"},
		{Config{Name: "ridge", Precision: -1}, "precision: -1"},
		{Config{Name: "anli"}, `did you mean "anil"?`},
		{Config{Name: "maml", Rates: "layr"}, `did you mean "layer"?`},
		{Config{Name: "maml", Rates: ScalarRate, LearnRates: true}, "rates: scalar beside learn_rates"},
		{Config{Name: "pooled", Rates: ParameterRates}, "rates: parameter for pooled"},
		{Config{Name: "metasgd", Rates: LayerRates}, "rates: layer for metasgd"},
		{Config{Name: "maml", RateMax: 0.1}, "rate_max: 0.1 with rate 0.01 and rates scalar"},
		{Config{Name: "metasgd", Rate: 0.2, RateMax: 0.1}, "rate_max: 0.1 with rate 0.2"},
		{Config{Name: "maml", MSLSteps: -1}, "msl_steps: -1"},
		{Config{Name: "ridge", FirstOrderSteps: 3}, "first_order_steps: 3 for ridge"},
		{Config{Name: "mamlpp", Steps: 1, MSLSteps: 5, StepWeights: []float32{1}}, "msl_steps: 5 beside step_weights"},
		{Config{Name: "reptile", LearnRates: true}, "learn_rates: set for reptile"},
		{Config{Name: "reptile", StepWeights: []float32{1}}, "step_weights: set for reptile, which weighs the last step alone"},
		{Config{Name: "reptile", ZeroWeight: 1}, "zero_weight: set for reptile"},
		{Config{Name: "reptile", InnerOptimizer: "rmsprop"}, `inner_optimizer: unknown "rmsprop", expected adam or sgd`},
		{Config{Name: "reptile", InnerOptimizer: "sgd", Beta2: 0.9}, "beta1, beta2: 0 and 0.9 with inner_optimizer sgd"},
		{Config{Name: "reptile", InnerBatch: -1}, "inner_batch: -1, expected 0 or above"},
		{Config{Name: "maml", InnerBatch: 2}, "inner_batch: set for maml, expected only with reptile"},
		{Config{Name: "reptile", Beta1: 1}, "beta1: 1, expected 0 to below 1"},
		{Config{Name: "reptile", Beta2: float32(math.NaN())}, "beta2: NaN, expected 0 to below 1"},
		{Config{Name: "maml", InnerOptimizer: "adam"}, "inner_optimizer: set for maml, expected only with reptile"},
		{Config{Name: "maml", Lambda: 1}, "lambda: set for maml, expected only with imaml"},
		{Config{Name: "ridge", CGSteps: 1}, "cg_steps: set for ridge, expected only with imaml"},
		{Config{Name: "protonet", OuterLoss: "mse"}, "outer_loss: mse for protonet, expected softmax"},
		{Config{Name: "protonet", Steps: 2}, "steps: set for protonet, which takes no steps"},
		{Config{Name: "protonet", Rate: 0.1}, "rate: set for protonet"},
		{Config{Name: "protonet", ZeroWeight: 1}, "zero_weight: set for protonet"},
		{Config{Name: "protonet", LearnRates: true}, "learn_rates: set for protonet"},
		{Config{Name: "protonet"}, "outer_loss: loss softmax: 1 output"},
		{Config{Name: "ridge", StepWeights: []float32{1}}, "step_weights: set for ridge, which takes no steps"},
		{Config{Name: "ridge", Scale: 1}, "scale: 1 with outer_loss mse, expected only with softmax or bce"},
		{Config{Name: "ridge", Scale: -1, OuterLoss: "bce"}, "scale: -1, expected above 0"},
		{Config{Name: "maml", Scale: 1, OuterLoss: "softmax"}, "scale: set for maml, expected only with ridge"},
		{Config{Name: "imaml", Lambda: -1}, "lambda: -1, expected above 0"},
		{Config{Name: "imaml", CGSteps: -1}, "cg_steps: -1, expected 1 to 1000"},
		{Config{Name: "imaml", StepWeights: []float32{1}}, "step_weights: set for imaml"},
	} {
		if _, err := New[float32](c.c, m); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.c, err, c.want)
		}
		if c.c.Validate() == nil && c.c.Name+c.c.OuterLoss != "protonet" { // which is wrong for the model only
			t.Errorf("%+v validates", c.c)
		}
	}
	if err := (Config{Name: "maml"}).Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
}

func TestParamsCoverTheVector(t *testing.T) {
	m, _ := nn.Build(skipNet, nn.Flat(3, 2))
	for _, c := range []Config{{Name: "maml", Steps: 3, LearnRates: true}, {Name: "ridge"}, {Name: "pooled"},
		{Name: "anil", Steps: 2, LearnRates: true}, {Name: "anil", Rates: ParameterRates}, {Name: "metasgd", Steps: 3}, {Name: "mamlpp"}} {
		l, err := New[float32](c, m)
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for _, p := range l.Params() {
			if p.Offset != at {
				t.Errorf("%s: %s at %d, expected %d", c.Name, p.Name, p.Offset, at)
			}
			at += p.Size()
		}
		if at != l.NumParams() {
			t.Errorf("%s: tensors end at %d of %d", c.Name, at, l.NumParams())
		}
	}
}

func TestMoreStepsThanTrainedUseTheLastRates(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	l, task := setup[float64](t, r, Config{Name: "maml", Steps: 1, LearnRates: true}, tanhNet, 2, 1, 5)
	theta := start(r, l)
	four, err := l.Adapt(theta, &task.Support, 4)
	if err != nil {
		t.Fatal(err)
	}
	at := append([]float64(nil), theta...)
	for range 4 {
		p, err := l.Adapt(at, &task.Support, 1)
		if err != nil {
			t.Fatal(err)
		}
		copy(at, p.Theta())
	}
	if d := distance(four.Theta(), at[:len(four.Theta())]); d != 0 {
		t.Errorf("four steps differ from four times one by %g", d)
	}
	zero, err := l.Adapt(theta, &task.Support, 0)
	if err != nil || distance(zero.Theta(), theta[:len(zero.Theta())]) != 0 {
		t.Errorf("no steps changed the model (%v)", err)
	}
}
