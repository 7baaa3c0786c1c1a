package learner

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// names are the learners there are.
var names = []string{"maml", "fomaml", "ridge", "pooled", "anil", "metasgd", "mamlpp", "reptile", "imaml", "protonet"}

// stepping are those of the MAML family, which take steps at a rate.
var stepping = []string{"maml", "fomaml", "anil", "metasgd", "mamlpp"}

func takesSteps(name string) bool { return slices.Contains(stepping, name) }

// Config names a learner and sets it. The zero value of a field is its default.
type Config struct {
	// Name is maml, fomaml, anil, metasgd, mamlpp, reptile, imaml, ridge, protonet
	// or pooled. There is no default.
	Name string `yaml:"name" json:"name"`
	// Steps is the number K of inner steps, 1 where zero (mamlpp: 5). More steps
	// adapt further and cost time and memory in proportion. ridge, protonet and
	// pooled train without any.
	Steps int `yaml:"steps" json:"steps"`
	// Rate is the inner learning rate, 0.01 where zero; with LearnRates what the
	// learned ones start from.
	Rate float32 `yaml:"rate" json:"rate"`
	// LearnRates makes the rate of every layer and step a parameter: Rates "layer".
	// Rates may turn negative.
	LearnRates bool `yaml:"learn_rates" json:"learn_rates"`
	// Rates says what shares a rate: "scalar" (one fixed rate, the default), "layer"
	// (learned, per layer and step; mamlpp's default) or "parameter" (learned, the
	// same at every step; metasgd's). More rates adapt further from fewer steps and
	// cost memory; see docs/learners.md.
	Rates string `yaml:"rates,omitempty" json:"rates,omitempty"`
	// RateMax above Rate starts learned rates uniformly in [Rate, RateMax) instead
	// of at Rate; the Meta-SGD paper has 0.005 to 0.1.
	RateMax float32 `yaml:"rate_max,omitempty" json:"rate_max,omitempty"`
	// StepWeights are the weights of the query loss after each step, K of them.
	// Empty counts the last alone. Early steps steady the training of large K.
	StepWeights []float32 `yaml:"step_weights" json:"step_weights"`
	// MSLSteps above 0 anneals those weights over so many outer steps, from equal
	// ones to the last alone (MAML++'s multi-step loss). mamlpp: 5000 where zero.
	MSLSteps int64 `yaml:"msl_steps,omitempty" json:"msl_steps,omitempty"`
	// FirstOrderSteps is for how many outer steps the Hessian is left out of the
	// gradient (MAML++'s derivative-order annealing): cheaper, and steadier at first.
	FirstOrderSteps int64 `yaml:"first_order_steps,omitempty" json:"first_order_steps,omitempty"`
	// ZeroWeight is the weight of the query loss before any adaptation, beside that
	// after it: above zero it keeps the base model itself useful.
	ZeroWeight float32 `yaml:"zero_weight" json:"zero_weight"`
	// InnerLoss is adapted on: mse (where empty), huber, pinball, softmax or bce. abs
	// has no curvature and is refused. ridge always solves squared error.
	InnerLoss string `yaml:"inner_loss" json:"inner_loss"`
	// OuterLoss is what the gradient is of: mse (where empty), huber, abs, pinball,
	// softmax or bce.
	OuterLoss string `yaml:"outer_loss" json:"outer_loss"`
	// HuberDelta is where an outer huber turns linear, in units of the output; 1 where
	// zero. InnerDelta is where an inner one does; HuberDelta where zero.
	// An inner pinball is rounded off as far, so that it has curvature; an outer one
	// is not.
	HuberDelta float32 `yaml:"huber_delta" json:"huber_delta"`
	InnerDelta float32 `yaml:"inner_delta,omitempty" json:"inner_delta,omitempty"`
	// Quantiles are those of pinball, ascending between 0 and 1; a model has one
	// output for each, for every target. Then both losses are pinball.
	Quantiles []float32 `yaml:"quantiles,omitempty" json:"quantiles,omitempty"`
	// ClassWeights scale the classes of softmax, or bce's positive targets, one for
	// each output, in both losses; empty is 1 each.
	ClassWeights []float32 `yaml:"class_weights,omitempty" json:"class_weights,omitempty"`
	// Clip limits outputs to +-Clip in the outer loss and in predictions, never in
	// the inner loss; 0 is no limit. Beyond it an output has no gradient.
	Clip float32 `yaml:"clip" json:"clip"`
	// Precision is what ridge's prior precisions start from, 10 where zero: in
	// units of samples of average weight, of a feature of size one.
	Precision float32 `yaml:"precision" json:"precision"`
	// Outlier limits how far a support sample may lie from the base model's output
	// in ridge's solution, in units of the output; 0 is no limit. Heavy-tailed
	// samples otherwise rule a small support.
	Outlier float32 `yaml:"outlier" json:"outlier"`
	// Scale is what the learned scale of ridge's logits starts from under an outer
	// loss of softmax or bce, 10 where zero: squared error fits scores of 0 and 1,
	// of which a softmax alone makes little.
	Scale float32 `yaml:"scale,omitempty" json:"scale,omitempty"`
	// InnerOptimizer takes reptile's inner steps: adam (where empty) or sgd.
	InnerOptimizer string `yaml:"inner_optimizer,omitempty" json:"inner_optimizer,omitempty"`
	// InnerBatch is how many support samples each of reptile's inner steps sees, in
	// turns; 0 is all of them.
	InnerBatch int `yaml:"inner_batch,omitempty" json:"inner_batch,omitempty"`
	// Beta1 is the decay of the first moment of reptile's inner Adam, below 1; 0,
	// none, is what its authors use: momentum would mix the tasks' directions.
	Beta1 float32 `yaml:"beta1,omitempty" json:"beta1,omitempty"`
	// Beta2 is the decay of the second moment of it, below 1; 0.999 where zero.
	Beta2 float32 `yaml:"beta2,omitempty" json:"beta2,omitempty"`
	// Lambda is how strongly imaml holds the adapted parameters near the base
	// model's, 2 where zero: the weight of half the squared distance beside the
	// support loss. It needs Rate < 2/(Lambda + the loss's curvature) to converge.
	Lambda float32 `yaml:"lambda,omitempty" json:"lambda,omitempty"`
	// CGSteps is the number of imaml's conjugate-gradient iterations, 5 where zero.
	CGSteps int `yaml:"cg_steps,omitempty" json:"cg_steps,omitempty"`
}

// withDefaults fills what is zero.
func (c Config) withDefaults() Config {
	if c.Steps == 0 {
		c.Steps = 1
		if c.Name == "mamlpp" {
			c.Steps = 5
		}
	}
	if c.Name == "mamlpp" && c.MSLSteps == 0 && len(c.StepWeights) == 0 {
		c.MSLSteps = mslSteps
	}
	c.Rates = c.rateKind()
	if c.Rate == 0 {
		c.Rate = 0.01
	}
	if c.InnerLoss == "" {
		c.InnerLoss = "mse"
	}
	if c.OuterLoss == "" {
		c.OuterLoss = "mse"
		if c.Name == "protonet" {
			c.OuterLoss = "softmax"
		}
	}
	if c.HuberDelta == 0 {
		c.HuberDelta = 1
	}
	if c.InnerDelta == 0 {
		c.InnerDelta = c.HuberDelta
	}
	if c.Precision == 0 {
		c.Precision = 10
	}
	if c.Scale == 0 {
		c.Scale = 10
	}
	if c.Beta2 == 0 {
		c.Beta2 = 0.999
	}
	if c.Lambda == 0 {
		c.Lambda = 2
	}
	if c.CGSteps == 0 {
		c.CGSteps = 5
	}
	return c
}

// maxSteps bounds the memory a Config asks for.
const maxSteps = 1000

// mslSteps is mamlpp's default: 10 epochs of 500 steps, as its authors have it.
const mslSteps = 5000

// InnerSteps is the number of inner steps c trains with, 0 for learners that take
// none, and for imaml, whose gradient knows their end alone: what a model's layers
// with parameters per step have sets for.
func (c Config) InnerSteps() int {
	if !takesSteps(c.Name) && c.Name != "reptile" {
		return 0
	}
	return c.withDefaults().Steps
}

// Descends reports whether c takes inner steps at Rate.
func (c Config) Descends() bool { return c.InnerSteps() > 0 || c.Name == "imaml" }

// Pooled is the comparator of c: the same losses without adaptation.
func (c Config) Pooled() Config {
	return Config{Name: "pooled", Rate: c.Rate, InnerLoss: c.InnerLoss, OuterLoss: c.OuterLoss, HuberDelta: c.HuberDelta, InnerDelta: c.InnerDelta, Clip: c.Clip,
		Quantiles: c.Quantiles, ClassWeights: c.ClassWeights}
}

// Validate reports the first field that is wrong, what it is and what was
// expected.
func (c Config) Validate() error {
	if err := c.checkUse(); err != nil {
		return err
	}
	_, _, err := c.withDefaults().losses()
	return err
}

func (c Config) checkNumbers() error {
	if !slices.Contains(names, c.Name) {
		return fmt.Errorf("name: unknown %q, expected %s; did you mean %q?", c.Name, strings.Join(names, ", "), nn.Nearest(c.Name, names))
	}
	if c.Steps < 1 || c.Steps > maxSteps {
		return fmt.Errorf("steps: %d, expected 1 to %d", c.Steps, maxSteps)
	}
	if err := c.checkRates(); err != nil {
		return err
	}
	if err := c.checkAnnealing(); err != nil {
		return err
	}
	if n := len(c.StepWeights); n != 0 && n != c.Steps {
		return fmt.Errorf("step_weights: %d weights for %d steps, expected one each or none", n, c.Steps)
	}
	for _, f := range []struct {
		name  string
		value float32
	}{{"rate", c.Rate}, {"huber_delta", c.HuberDelta}, {"inner_delta", c.InnerDelta}, {"precision", c.Precision}} {
		if !(f.value > 0) || math.IsInf(float64(f.value), 0) {
			return fmt.Errorf("%s: %v, expected above 0", f.name, f.value)
		}
	}
	for _, w := range append([]float32{c.ZeroWeight, c.Clip, c.Outlier}, c.StepWeights...) {
		if !(w >= 0) || math.IsInf(float64(w), 0) {
			return fmt.Errorf("zero_weight, clip, outlier, step_weights: %v, expected 0 or above", w)
		}
	}
	return nil
}
