package metatrain

import (
	"math"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// Optimizer makes theta_{t+1} from theta_t and the meta-gradient, float32, each operation rounded once, elementwise
// in ascending order: the same bits wherever it runs.
type Optimizer struct {
	spec OptimizerSpec
	// M and V are the moments, one value a parameter: Adam's first and second (Kingma & Ba 2015, algorithm 1);
	// SGD keeps its velocity in M and V stays empty.
	M, V []float32
}

// NewOptimizer starts with zero moments for so many parameters.
func NewOptimizer(spec OptimizerSpec, params int) *Optimizer {
	o := &Optimizer{spec: spec, M: make([]float32, params)}
	if spec.Name == "adam" {
		o.V = make([]float32, params)
	}
	return o
}

// Rate is the learning rate of step t (from 0) of so many steps: linear warm-up, then constant or cosine.
func (s OptimizerSpec) RateAt(t, steps int64) float64 {
	if t < s.Warmup {
		return float64(s.Rate * float64(t+1) / float64(s.Warmup))
	}
	if s.Schedule != "cosine" || steps <= s.Warmup {
		return s.Rate
	}
	along := float64(t-s.Warmup) / float64(steps-s.Warmup)
	wave := float64(0.5 * (1 + kernel.Cos(float64(math.Pi*along))))
	share := s.Final + float64((1-s.Final)*wave)
	return float64(s.Rate * share)
}

// Step updates theta in place. grad is the mean meta-gradient and is overwritten. t counts from 0.
func (o *Optimizer) Step(theta, grad []float32, t, steps int64) {
	if c := o.spec.Clip; c > 0 {
		if norm := math.Sqrt(float64(kernel.SumSquares(grad))); norm > c {
			scale := float32(c / norm)
			for i := range grad {
				grad[i] *= scale
			}
		}
	}
	rate := o.spec.RateAt(t, steps)
	if o.spec.Name == "sgd" {
		o.sgd(theta, grad, float32(rate))
		return
	}
	o.adam(theta, grad, rate, t)
}

func (o *Optimizer) sgd(theta, grad []float32, rate float32) {
	mu := float32(o.spec.Momentum)
	for i, g := range grad {
		o.M[i] = float32(mu*o.M[i]) + g
		theta[i] -= float32(rate * o.M[i])
	}
}

func (o *Optimizer) adam(theta, grad []float32, rate float64, t int64) {
	b1, b2 := float32(o.spec.Beta1), float32(o.spec.Beta2)
	c1, c2 := 1-kernel.Pow(o.spec.Beta1, float64(t+1)), 1-kernel.Pow(o.spec.Beta2, float64(t+1))
	kernel.Adam(theta, o.M, o.V, grad, &kernel.AdamRates{
		Beta1: b1, Rest1: 1 - b1, Beta2: b2, Rest2: 1 - b2,
		Step: float32(rate / c1), Root: float32(1 / math.Sqrt(c2)), Epsilon: float32(o.spec.Epsilon),
	})
}
