package learner

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// losses validates c, whose defaults are in, and returns its two losses.
func (c Config) losses() (inner, outer nn.Loss, err error) {
	if err = c.checkNumbers(); err != nil {
		return inner, outer, err
	}
	if inner, err = nn.NewLoss(c.lossConfig(c.InnerLoss, c.InnerDelta)); err != nil {
		return inner, outer, fmt.Errorf("inner_loss: %w", err)
	}
	if !inner.HasCurvature() {
		return inner, outer, fmt.Errorf("inner_loss: %s has no curvature to adapt by, expected mse, huber, pinball, softmax or bce", c.InnerLoss)
	}
	if outer, err = c.Loss(c.OuterLoss); err != nil {
		return inner, outer, fmt.Errorf("outer_loss: %w", err)
	}
	if a, b := inner.Outputs(1), outer.Outputs(1); a != b {
		return inner, outer, fmt.Errorf("inner_loss: %s has %d outputs for a target and outer_loss %s has %d, expected pinball in both or in neither", c.InnerLoss, a, c.OuterLoss, b)
	}
	if c.Name == "ridge" && outer.Outputs(1) != 1 {
		return inner, outer, fmt.Errorf("outer_loss: %s, expected another for ridge, which solves for one output for each target", c.OuterLoss)
	}
	return inner, outer, nil
}

// Loss returns a loss by name with the outer loss's settings: what to validate by.
func (c Config) Loss(name string) (nn.Loss, error) {
	c = c.withDefaults()
	l := c.lossConfig(name, c.HuberDelta)
	l.Clip = float64(c.Clip)
	if name == "pinball" {
		l.Delta = 0
	}
	return nn.NewLoss(l)
}

// lossConfig is the inner form of a loss.
func (c Config) lossConfig(name string, delta float32) nn.LossConfig {
	l := nn.LossConfig{Name: name, Delta: float64(delta)}
	for _, q := range c.Quantiles {
		l.Quantiles = append(l.Quantiles, float64(q))
	}
	for _, w := range c.ClassWeights {
		l.ClassWeights = append(l.ClassWeights, float64(w))
	}
	return l
}
