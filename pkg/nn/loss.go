package nn

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// Loss is the error of a batch: the sum over rows i and outputs o of
//
//	W[i] * l(y[i][o] - t[i][o])
//
// with no further mean: weights carry 1/N, or what else scales a sample. The sum
// is one chain over (i, o), o fastest. l is
//
//	mse    r*r
//	huber  r*r/2 up to |r| = delta, delta*(|r| - delta/2) beyond
//	abs    |r|, its derivative 0 at 0
type Loss struct {
	kind  lossKind
	delta float64
	clip  float64
}

type lossKind uint8

const (
	mse lossKind = iota
	huber
	absolute
)

// LossConfig names a loss and sets it.
type LossConfig struct {
	// Name is mse, huber or abs.
	Name string
	// Delta is where huber turns linear, in units of the output; needed there only.
	Delta float64
	// Clip above 0 limits outputs to +-Clip before they are compared; beyond it the
	// gradient is zero.
	Clip float64
}

// NewLoss returns the loss of c, or an error that names the field that is wrong.
func NewLoss(c LossConfig) (Loss, error) {
	l := Loss{delta: c.Delta, clip: c.Clip}
	switch c.Name {
	case "mse":
		l.kind = mse
	case "huber":
		l.kind = huber
		if !(c.Delta > 0) {
			return l, fmt.Errorf("make loss huber: delta %v, expected above 0", c.Delta)
		}
	case "abs":
		l.kind = absolute
	default:
		return l, fmt.Errorf("make loss: %w", unknown("name", c.Name, "mse", "huber", "abs"))
	}
	if c.Clip != c.Clip || c.Clip < 0 {
		return l, fmt.Errorf("make loss %s: clip %v, expected 0 (off) or above", c.Name, c.Clip)
	}
	return l, nil
}

// HasCurvature reports whether the loss has a second derivative to adapt by: an
// inner loss needs one.
func (l Loss) HasCurvature() bool { return l.kind != absolute }

// Clip limits y to +-clip, in place, where the loss has a clip.
func Clip[T kernel.Float](l Loss, y []T) {
	c := T(l.clip)
	if c == 0 {
		return
	}
	for i, v := range y {
		if v > c {
			y[i] = c
		} else if v < -c {
			y[i] = -c
		}
	}
}

// Grad returns the loss of outputs y [n][out] against targets t [n][out] with
// weights w [n], and overwrites dy [n][out] with its gradient for y.
func Grad[T kernel.Float](l Loss, n, out int, y, t, w, dy []T) T {
	var sum kernel.Chain[T]
	for i, wi := range w[:n] {
		for k := i * out; k < (i+1)*out; k++ {
			value, slope := point(l, y[k], t[k])
			sum.Add(wi, value)
			dy[k] = wi * slope
		}
	}
	return sum.Sum()
}

// RGrad overwrites rdy [n][out] with the derivative of Grad's dy along ry, the
// derivative of y: curvature times direction, times the weight.
func RGrad[T kernel.Float](l Loss, n, out int, y, t, w, ry, rdy []T) {
	for i, wi := range w[:n] {
		for k := i * out; k < (i+1)*out; k++ {
			rdy[k] = T(wi*curvature(l, y[k], t[k])) * ry[k]
		}
	}
}

// point returns l and its derivative at output y and target t.
func point[T kernel.Float](l Loss, y, t T) (value, slope T) {
	clipped := false
	if c := T(l.clip); c > 0 {
		if y > c {
			y, clipped = c, true
		} else if y < -c {
			y, clipped = -c, true
		}
	}
	r, a, d := y-t, T(1), T(l.delta)
	if r < 0 {
		a = -1
	}
	switch size := a * r; {
	case l.kind == mse:
		value, slope = r*r, 2*r
	case l.kind == huber && size <= d:
		value, slope = T(r*r)/2, r
	case l.kind == huber:
		value, slope = d*(size-d/2), a*d
	case r == 0:
	default:
		value, slope = size, a
	}
	if clipped {
		slope = 0
	}
	return value, slope
}

// curvature returns the second derivative of l at output y and target t.
func curvature[T kernel.Float](l Loss, y, t T) T {
	if c := T(l.clip); c > 0 && (y > c || y < -c) {
		return 0
	}
	r, d := y-t, T(l.delta)
	switch {
	case l.kind == mse:
		return 2
	case l.kind == huber && r <= d && -r <= d:
		return 1
	}
	return 0
}
