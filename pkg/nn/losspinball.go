package nn

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// The pinball loss of quantile q (Koenker and Bassett, 1978) over the difference
// r = y - t is
//
//	l = s |r|,  s = 1-q where r > 0, else q
//
// With a delta the kink is rounded off, so that there is curvature to adapt by
// (Huber-pinball; Dabney et al., "Distributional reinforcement learning with
// quantile regression", 2018, equation 10, over delta):
//
//	l = s r*r/(2 delta)     up to |r| = delta
//	l = s (|r| - delta/2)   beyond
//
// The derivative is 0 at r = 0.

func (c LossConfig) checkPinball() error {
	if len(c.Quantiles) == 0 {
		return fmt.Errorf("quantiles: none, expected at least one, as 0.5")
	}
	last := 0.0
	for i, q := range c.Quantiles {
		if !(q > last && q < 1) {
			return fmt.Errorf("quantiles[%d]: %v, expected above %v and below 1", i, q, last)
		}
		last = q
	}
	if !(c.Delta >= 0) {
		return fmt.Errorf("delta %v, expected 0 (no rounding of the kink) or above", c.Delta)
	}
	return nil
}

// pinballGrad is Grad: a target's quantiles are the fastest index.
func pinballGrad[T kernel.Float](l Loss, n, out int, y, t, w, dy []T) T {
	var sum kernel.Chain[T]
	qs := l.lists.quantiles
	each := len(qs)
	for i, wi := range w[:n] {
		for k := range out {
			value, slope, _ := pinballPoint(l, qs[k%each], y[i*out+k], t[(i*out+k)/each])
			sum.Add(wi, value)
			dy[i*out+k] = wi * slope
		}
	}
	return sum.Sum()
}

// pinballRGrad is RGrad.
func pinballRGrad[T kernel.Float](l Loss, n, out int, y, t, w, ry, rdy []T) {
	qs := l.lists.quantiles
	each := len(qs)
	for i, wi := range w[:n] {
		for k := range out {
			_, _, curve := pinballPoint(l, qs[k%each], y[i*out+k], t[(i*out+k)/each])
			rdy[i*out+k] = T(wi*curve) * ry[i*out+k]
		}
	}
}

// pinballPoint returns l and its first and second derivatives for quantile q.
func pinballPoint[T kernel.Float](l Loss, q float64, y, t T) (value, slope, curve T) {
	y, clipped := cut(T(l.clip), y)
	s, sign, d := T(q), T(-1), T(l.delta)
	r := y - t
	if r > 0 {
		s, sign = T(1-q), 1
	}
	switch size := sign * r; {
	case size <= d && d > 0:
		curve = s / d
		slope = T(curve * r)
		value = T(slope*r) / 2
	case r != 0:
		value, slope = T(s*(size-d/2)), sign*s
	}
	if clipped {
		slope, curve = 0, 0
	}
	return value, slope, curve
}
