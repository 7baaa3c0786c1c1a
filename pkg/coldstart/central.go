package coldstart

import (
	"math"

	"github.com/warmstart-ml/warmstart/pkg/learner"
)

// central says which outputs of a model forecast: all, or of several quantiles
// for a target the one nearest the median. The zero value is all.
type central struct {
	per, at int // outputs for a target, and which of them
}

func centralOf(c learner.Config) (m central) {
	if c.OuterLoss != "pinball" {
		return m
	}
	m.per = len(c.Quantiles)
	for i, q := range c.Quantiles {
		if math.Abs(float64(q)-0.5) < math.Abs(float64(c.Quantiles[m.at])-0.5) {
			m.at = i
		}
	}
	return m
}

// outputs is how many outputs stand for so many targets.
func (m central) outputs(targets int) int { return targets * max(1, m.per) }

// targets is how many targets so many outputs stand for.
func (m central) targets(outputs int) int { return outputs / max(1, m.per) }

// pick keeps the forecasting ones of outputs.
func (m central) pick(y []float32) []float32 {
	if m.per <= 1 {
		return y
	}
	n := len(y) / m.per
	for i := range n {
		y[i] = y[i*m.per+m.at]
	}
	return y[:n]
}
