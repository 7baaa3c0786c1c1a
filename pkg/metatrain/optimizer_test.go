package metatrain

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func optimizerSpecs() []OptimizerSpec {
	var all []OptimizerSpec
	for _, name := range []string{"adam", "sgd"} {
		for _, schedule := range []string{"constant", "cosine"} {
			all = append(all, OptimizerSpec{Name: name, Rate: 0.02, Momentum: 0.9, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8,
				Schedule: schedule, Warmup: 3, Final: 0.1})
		}
	}
	return all
}

// TestG1_OptimizerEqualsItsTwin: bit for bit, over many steps, against a second writing of the contract.
func TestG1_OptimizerEqualsItsTwin(t *testing.T) {
	for _, spec := range optimizerSpecs() {
		rng := rand.New(rand.NewPCG(3, 4))
		const n, steps = 50, 60
		o := NewOptimizer(spec, n)
		theta, twin, m, v := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
		for step := range int64(steps) {
			grad := make([]float32, n)
			for i := range grad {
				grad[i] = float32(rng.NormFloat64() * math.Pow(10, float64(rng.IntN(9)-6)))
			}
			twinStep(spec, twin, m, v, widen(grad), step, steps)
			o.Step(theta, grad, step, steps)
			if !slices.Equal(theta, twin) {
				t.Fatalf("%s, %s, step %d:\n%v\n%v", spec.Name, spec.Schedule, step, theta[:4], twin[:4])
			}
		}
	}
}

// Against the formulas in float64: Kingma & Ba 2015, algorithm 1, and heavy ball.
func TestOptimizer_FollowsItsFormula(t *testing.T) {
	for _, spec := range optimizerSpecs() {
		o := NewOptimizer(spec, 1)
		theta, x, m, v := []float32{1}, 1.0, 0.0, 0.0
		for step := range int64(30) {
			g := math.Sin(float64(step)) + x
			o.Step(theta, []float32{float32(g)}, step, 30)
			rate := spec.RateAt(step, 30)
			if spec.Name == "sgd" {
				m = 0.9*m + g
				x -= rate * m
			} else {
				m, v = 0.9*m+0.1*g, 0.999*v+0.001*g*g
				x -= rate * m / (1 - math.Pow(0.9, float64(step+1))) / (math.Sqrt(v/(1-math.Pow(0.999, float64(step+1)))) + 1e-8)
			}
			if d := math.Abs(float64(theta[0]) - x); d > 1e-5*(1+math.Abs(x)) {
				t.Fatalf("%s, step %d: %v, expected %v", spec.Name, step, theta[0], x)
			}
			x = float64(theta[0])
		}
	}
}

func TestOptimizer_Schedule(t *testing.T) {
	s := OptimizerSpec{Rate: 0.4, Schedule: "cosine", Warmup: 4, Final: 0.25}
	for step := range int64(20) {
		want := 0.4 * float64(step+1) / 4
		if step >= 4 {
			want = 0.4 * (0.25 + 0.75*0.5*(1+math.Cos(math.Pi*float64(step-4)/16)))
		}
		if got := s.RateAt(step, 20); math.Abs(got-want) > 1e-12 {
			t.Errorf("step %d: %v, expected %v", step, got, want)
		}
	}
	s.Schedule = "constant"
	if s.RateAt(19, 20) != 0.4 || s.RateAt(0, 20) != 0.1 {
		t.Error("constant after the warm-up")
	}
	if s = (OptimizerSpec{Rate: 0.4, Schedule: "cosine", Warmup: 9}); s.RateAt(9, 5) != 0.4 {
		t.Error("a warm-up as long as the run")
	}
}

func TestOptimizer_ClipKeepsDirection(t *testing.T) {
	spec := OptimizerSpec{Name: "sgd", Rate: 1, Clip: 5, Schedule: "constant"}
	for _, c := range []struct{ grad, want []float32 }{
		{[]float32{30, 40}, []float32{-3, -4}},
		{[]float32{3, 4}, []float32{-3, -4}}, // exactly as long as allowed
		{[]float32{0, 0}, []float32{0, 0}},
	} {
		theta := make([]float32, 2)
		NewOptimizer(spec, 2).Step(theta, slices.Clone(c.grad), 0, 1)
		for i := range theta {
			if math.Abs(float64(theta[i]-c.want[i])) > 1e-6 {
				t.Errorf("%v: %v, expected %v", c.grad, theta, c.want)
			}
		}
	}
}
