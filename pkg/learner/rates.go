package learner

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// Kinds of inner learning rates, as Config.Rates names them.
const (
	// ScalarRate is one fixed rate.
	ScalarRate = "scalar"
	// LayerRates are learned, one per layer and step (LSLR of Antoniou et al., 2019).
	LayerRates = "layer"
	// ParameterRates are learned, one per parameter, the same at every step
	// (Li et al., 2017, Meta-SGD).
	ParameterRates = "parameter"
)

// rates are the inner learning rates a_k of size parameters, of which learned
// ones are the tail of theta: [steps][groups] for LayerRates, [size] for
// ParameterRates. Every method is elementwise but the inner product of layer's
// gradient.
type rates[T kernel.Float] struct {
	kind   string
	steps  int
	size   int
	groups []nn.Group // cover [0, size); they share a rate per step
	fixed  T
}

func newRates[T kernel.Float](c Config, steps, size int, groups []nn.Group) rates[T] {
	return rates[T]{c.Rates, steps, size, groups, T(c.Rate)}
}

// learned reports whether there are rates in theta.
func (r *rates[T]) learned() bool { return r.kind != ScalarRate }

// shape is that of the learned rates' tensor, nil where there are none.
func (r *rates[T]) shape() []int {
	switch r.kind {
	case LayerRates:
		return []int{r.steps, len(r.groups)}
	case ParameterRates:
		return []int{r.size}
	}
	return nil
}

// len is the number of learned rates.
func (r *rates[T]) len() int {
	switch r.kind {
	case LayerRates:
		return r.steps * len(r.groups)
	case ParameterRates:
		return r.size
	}
	return 0
}

// start fills learned rates: with c.Rate, or uniformly from there to c.RateMax.
func (r *rates[T]) start(c Config, seed uint64, learned []float32) {
	for i := range learned {
		learned[i] = c.Rate
	}
	if c.RateMax > 0 {
		nn.Uniform(seed, "rates", learned, c.Rate, c.RateMax)
	}
}

// at returns those of a step; later steps than the last use the last's.
func (r *rates[T]) at(learned []T, k int) []T {
	if r.kind != LayerRates {
		return learned
	}
	n := len(r.groups)
	return learned[min(k, r.steps-1)*n:][:n]
}

// scale sets v to a_k*x for the parameters from lo on. v may be x.
func (r *rates[T]) scale(v, x, learned []T, k, lo int) {
	switch a := r.at(learned, k); r.kind {
	case LayerRates:
		for i, g := range r.groups {
			if from, to := within(g, lo, len(v)); from < to {
				kernel.Scale(v[from:to], a[i], x[from:to])
			}
		}
	case ParameterRates:
		kernel.Mul(v, a[lo:][:len(v)], x)
	default:
		kernel.Scale(v, r.fixed, x)
	}
}

// descend sets next to at - a_k*g for the parameters from lo on. next is neither of
// them.
func (r *rates[T]) descend(next, at, g, learned []T, k, lo int) {
	switch a := r.at(learned, k); r.kind {
	case LayerRates:
		for i, l := range r.groups {
			if from, to := within(l, lo, len(g)); from < to {
				kernel.Axpy(next[from:to], at[from:to], -a[i], g[from:to])
			}
		}
	case ParameterRates:
		kernel.Mul(next, a[lo:][:len(g)], g)
		kernel.Sub(next, at, next)
	default:
		kernel.Axpy(next, at, -r.fixed, g)
	}
}

// within is where a group lies in the n parameters from lo on; nowhere: from is not
// below to.
func within(g nn.Group, lo, n int) (from, to int) { return max(g.Lo-lo, 0), min(g.Hi-lo, n) }

// gradient takes step k's part of the gradient for the learned rates into grad:
// -lambda*g summed over what shares a rate. Steps come in descending order, and
// grad starts at zero. product is work space of size elements.
func (r *rates[T]) gradient(grad, lambda, g []T, k int, product []T) {
	switch grad = r.at(grad, k); r.kind {
	case LayerRates:
		for i, l := range r.groups {
			grad[i] = -kernel.Dot(lambda[l.Lo:l.Hi], g[l.Lo:l.Hi])
		}
	case ParameterRates:
		kernel.Mul(product, lambda, g)
		kernel.Sub(grad, grad, product)
	}
}

// rateKind resolves the kind of rates a Config asks for.
func (c Config) rateKind() string {
	switch {
	case c.Rates != "":
		return c.Rates
	case c.Name == "metasgd":
		return ParameterRates
	case c.Name == "mamlpp" || c.LearnRates:
		return LayerRates
	}
	return ScalarRate
}

// checkRates refuses rates that are unknown or do not go with the learner; c's
// defaults are in.
func (c Config) checkRates() error {
	switch c.Rates {
	case ScalarRate, LayerRates, ParameterRates:
	default:
		kinds := []string{ScalarRate, LayerRates, ParameterRates}
		return fmt.Errorf("rates: unknown %q, expected one of %v; did you mean %q?", c.Rates, kinds, nn.Nearest(c.Rates, kinds))
	}
	if c.LearnRates && !takesSteps(c.Name) {
		return fmt.Errorf("learn_rates: set for %s, which has no rate to learn; expected one of %v", c.Name, stepping)
	}
	if c.Rates != ScalarRate && !takesSteps(c.Name) {
		return fmt.Errorf("rates: %s for %s, which has no rate to learn; expected one of %v", c.Rates, c.Name, stepping)
	}
	if c.LearnRates && c.Rates == ScalarRate {
		return fmt.Errorf("rates: scalar beside learn_rates, expected layer or parameter; scalar rates are fixed")
	}
	if c.Name == "metasgd" && c.Rates != ParameterRates {
		return fmt.Errorf("rates: %s for metasgd, expected parameter; maml takes every kind", c.Rates)
	}
	if c.RateMax == 0 {
		return nil
	}
	if c.Rates == ScalarRate || !(c.RateMax > c.Rate) || !(c.RateMax < maxRate) {
		return fmt.Errorf("rate_max: %v with rate %v and rates %s, expected above rate, under %g, and learned rates", c.RateMax, c.Rate, c.Rates, float64(maxRate))
	}
	return nil
}

// maxRate bounds the range that learned rates start in.
const maxRate = 1e6
