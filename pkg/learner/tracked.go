package learner

import (
	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// tracked gathers what a task's passes show of a model's tracked statistics
// (nn.Param.Track). No inner step moves them and no derivative passes through
// them; a pass leaves the stored value less the observed one in their places of
// its gradient, which take moves out. A meta-gradient carries the mean over the
// passes that were taken: the support's at theta_0..theta_{K-1} and the query's at
// theta_K, those of a weighted loss in between left out. Of statistics per step
// each set has one such pass, so that its mean is that pass's alone.
//
// The outer optimizer subtracts a share of it (metatrain.OptimizerSpec.Settle).
type tracked[T kernel.Float] struct {
	params []nn.Param
	sum    []T
}

func newTracked[T kernel.Float](m *nn.Model) tracked[T] {
	var t tracked[T]
	n := 0
	for _, p := range m.Params() {
		if p.Track {
			t.params = append(t.params, p)
			n += p.Size()
		}
	}
	t.sum = make([]T, n)
	return t
}

// begin forgets what was taken.
func (t *tracked[T]) begin() { clear(t.sum) }

// drop clears the statistics' places in the part of a gradient from lo on, which
// holds a tensor whole or not at all.
func (t *tracked[T]) drop(grad []T, lo int) {
	for _, p := range t.params {
		if i := p.Offset - lo; i >= 0 && i < len(grad) {
			clear(grad[i:][:p.Size()])
		}
	}
}

// take adds the statistics' places of such a part to the sum, and clears them.
func (t *tracked[T]) take(grad []T, lo int) {
	at := t.sum
	for _, p := range t.params {
		n := p.Size()
		if i := p.Offset - lo; i >= 0 && i < len(grad) {
			kernel.AddInto(at[:n], grad[i:][:n])
		}
		at = at[n:]
	}
	t.drop(grad, lo)
}

// put sets the statistics' places of a gradient to the mean over so many passes,
// with 0 to passes-1 steps behind them.
func (t *tracked[T]) put(grad []T, passes int) {
	at := t.sum
	for _, p := range t.params {
		sets := 1
		if len(p.Shape) > 1 {
			sets = p.Shape[0]
		}
		c := p.Size() / sets
		for set := range sets {
			seen := 1
			if set == sets-1 { // later passes use the last set
				seen = max(1, passes-set)
			}
			to := grad[p.Offset+set*c:][:c]
			for i := range to {
				to[i] = at[i] / T(seen)
			}
			at = at[c:]
		}
	}
}
