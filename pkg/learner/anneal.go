package learner

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// fixedWeights returns w_0..w_K where they do not change with the outer step.
func fixedWeights[T kernel.Float](c Config, steps int) []T {
	w := make([]T, steps+1)
	w[steps] = 1
	for i, v := range c.StepWeights {
		if steps > 0 {
			w[i+1] = T(v)
		}
	}
	if steps > 0 {
		w[0] = T(c.ZeroWeight)
	}
	return w
}

// leastShare is what an early step keeps of its first weight while weights are
// annealed, as in the authors' code.
const leastShare = 0.03

// anneal fills w_1..w_K for the outer step t: the multi-step loss of MAML++
// (Antoniou et al., 2019, section 4) as in the authors' code, an outer step in the
// place of their epoch. With M = msl_steps and t < M,
//
//	w_k = max(1 - t/M, 0.03) / K                             for k < K
//	w_K = min(1 + (K-1) t/M, K - (K-1) 0.03) / K
//
// so that all start at 1/K and sum to 1; from t = M on the last counts alone.
func anneal[T kernel.Float](w []T, t, m int64) {
	steps := len(w) - 1
	if steps < 1 {
		return
	}
	early, last := 0.0, 1.0
	if t < m {
		along, k := float64(max(t, 0))/float64(m), float64(steps)
		early = max(1-along, leastShare) / k
		last = min(1+float64((k-1)*along), k-float64((k-1)*leastShare)) / k
	}
	for i := 1; i < steps; i++ {
		w[i] = T(early)
	}
	w[steps] = T(last)
}

// checkAnnealing refuses what no learner without inner steps can do, and weights
// said twice.
func (c Config) checkAnnealing() error {
	for _, f := range []struct {
		name  string
		value int64
	}{{"msl_steps", c.MSLSteps}, {"first_order_steps", c.FirstOrderSteps}} {
		if f.value < 0 {
			return fmt.Errorf("%s: %d, expected 0 outer steps or more", f.name, f.value)
		}
		if f.value > 0 && !takesSteps(c.Name) {
			return fmt.Errorf("%s: %d for %s, expected one of %v", f.name, f.value, c.Name, stepping)
		}
	}
	if c.MSLSteps > 0 && len(c.StepWeights) > 0 {
		return fmt.Errorf("msl_steps: %d beside step_weights, expected one of the two", c.MSLSteps)
	}
	return nil
}
