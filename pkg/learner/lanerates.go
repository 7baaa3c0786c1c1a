package learner

import (
	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// laneRates are rates over lanes. All lanes share them, since they are a part of
// theta.
type laneRates struct {
	*rates[float32]
	of     [][]float32 // a_k, for each parameter
	spread []float32   // the copies that of is cut from, K of them for LayerRates
	total  []float32   // of ParameterRates, their gradient over lanes
}

func newLaneRates(r *rates[float32], steps int) laneRates {
	l := laneRates{rates: r, of: make([][]float32, steps)}
	switch {
	case steps == 0:
	case r.kind == LayerRates:
		l.spread = make([]float32, steps*r.size)
	case r.kind == ParameterRates:
		l.total = kernel.NewLanes(r.size)
	default:
		l.spread = make([]float32, r.size)
		fill(l.spread, r.fixed)
	}
	return l
}

// set takes the learned rates of theta, before the first step.
func (l *laneRates) set(learned []float32) {
	for k := range l.of {
		switch l.kind {
		case LayerRates:
			l.of[k] = l.spread[k*l.size:][:l.size]
			for i, a := range l.at(learned, k) {
				fill(l.of[k][l.groups[i].Lo:l.groups[i].Hi], a)
			}
		case ParameterRates:
			l.of[k] = learned[:l.size]
		default:
			l.of[k] = l.spread
		}
	}
	clear(l.total)
}

// gradient takes step k's part of the gradient into sum, summed over the lanes of
// the mask. Steps come in descending order.
func (l *laneRates) gradient(sum, lambda, g []float32, k int, mask *kernel.LaneMask) {
	switch l.kind {
	case LayerRates:
		sum = l.at(sum, k)
		for i, of := range l.groups {
			var dot [nn.Lanes]float32
			lo, hi := of.Lo*nn.Lanes, of.Hi*nn.Lanes
			kernel.LaneDot(&dot, lambda[lo:hi], g[lo:hi])
			for lane, x := range dot {
				dot[lane] = -x
			}
			kernel.LaneSum(sum[i:i+1], dot[:], mask)
		}
	case ParameterRates:
		kernel.SubProduct(l.total, lambda, g)
		if k == 0 {
			kernel.LaneSum(sum[:l.size], l.total, mask)
		}
	}
}

func fill(x []float32, v float32) {
	for i := range x {
		x[i] = v
	}
}
