package learner

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// checkUse refuses what is set for a learner that does not read it, and what is
// out of range among the options that one or two learners read. pooled is let
// pass: a comparator is made of another learner's Config by changing its name.
func (c Config) checkUse() error {
	if c.Name == "pooled" || !slices.Contains(names, c.Name) {
		return nil
	}
	for _, f := range []struct {
		name  string
		set   bool
		users []string
	}{
		{"inner_optimizer", c.InnerOptimizer != "", []string{"reptile"}},
		{"inner_batch", c.InnerBatch != 0, []string{"reptile"}},
		{"beta1", c.Beta1 != 0, []string{"reptile"}},
		{"beta2", c.Beta2 != 0, []string{"reptile"}},
		{"lambda", c.Lambda != 0, []string{"imaml"}},
		{"cg_steps", c.CGSteps != 0, []string{"imaml"}},
		{"scale", c.Scale != 0, []string{"ridge"}},
	} {
		if f.set && !slices.Contains(f.users, c.Name) {
			return fmt.Errorf("%s: set for %s, expected only with %s; leave it out", f.name, c.Name, strings.Join(f.users, " or "))
		}
	}
	for _, f := range []struct {
		name string
		set  bool
		not  []string
		why  string
	}{
		{"step_weights", len(c.StepWeights) > 0, []string{"reptile", "imaml"}, "weighs the last step alone"},
		{"step_weights", len(c.StepWeights) > 0, []string{"ridge", "protonet"}, "takes no steps"},
		{"steps", c.Steps != 0, []string{"protonet"}, "takes no steps"},
		{"rate", c.Rate != 0, []string{"protonet"}, "takes no steps"},
		{"zero_weight", c.ZeroWeight != 0, []string{"reptile"}, "has no outer loss to weigh"},
		{"zero_weight", c.ZeroWeight != 0, []string{"protonet"}, "does not use the base model's own head"},
	} {
		if f.set && slices.Contains(f.not, c.Name) {
			return fmt.Errorf("%s: set for %s, which %s; leave it out", f.name, c.Name, f.why)
		}
	}
	if c.Name == "protonet" && c.OuterLoss != "" && c.OuterLoss != "softmax" {
		return fmt.Errorf("outer_loss: %s for protonet, expected softmax: its outputs are logits of classes", c.OuterLoss)
	}
	if c.Scale != 0 && !c.classifies() {
		return fmt.Errorf("scale: %v with outer_loss %s, expected only with softmax or bce; leave it out", c.Scale, cmp.Or(c.OuterLoss, "mse"))
	}
	return c.checkRanges()
}

func (c Config) checkRanges() error {
	if c.InnerOptimizer != "" && c.InnerOptimizer != "adam" && c.InnerOptimizer != "sgd" {
		return fmt.Errorf("inner_optimizer: unknown %q, expected adam or sgd", c.InnerOptimizer)
	}
	if c.InnerBatch < 0 {
		return fmt.Errorf("inner_batch: %d, expected 0 or above", c.InnerBatch)
	}
	if c.InnerOptimizer == "sgd" && (c.Beta1 != 0 || c.Beta2 != 0) {
		return fmt.Errorf("beta1, beta2: %v and %v with inner_optimizer sgd, expected only with adam; leave them out", c.Beta1, c.Beta2)
	}
	for _, f := range []struct {
		name  string
		value float32
	}{{"beta1", c.Beta1}, {"beta2", c.Beta2}} {
		if !(f.value >= 0 && f.value < 1) {
			return fmt.Errorf("%s: %v, expected 0 to below 1", f.name, f.value)
		}
	}
	for _, f := range []struct {
		name  string
		value float32
	}{{"lambda", c.Lambda}, {"scale", c.Scale}} {
		if !(f.value >= 0) || math.IsInf(float64(f.value), 0) {
			return fmt.Errorf("%s: %v, expected above 0", f.name, f.value)
		}
	}
	if c.CGSteps < 0 || c.CGSteps > maxSteps {
		return fmt.Errorf("cg_steps: %d, expected 1 to %d", c.CGSteps, maxSteps)
	}
	return nil
}
