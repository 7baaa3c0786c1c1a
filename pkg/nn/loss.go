package nn

import (
	"fmt"
	"slices"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// Loss is the error of a batch: the sum over rows i and outputs o of
//
//	W[i] * l(y[i][o] - t[i][o])
//
// with no further mean: weights carry 1/N, or what else scales a sample. The sum
// is one chain over (i, o), o fastest. l is
//
//	mse      r*r
//	huber    r*r/2 up to |r| = delta, delta*(|r| - delta/2) beyond
//	abs      |r|, its derivative 0 at 0
//	pinball  see pinball
//	softmax  see softmaxGrad: targets are classes in one-hot or soft form
//	bce      see bceGrad: targets are 0 to 1 for every output
//
// pinball has several outputs for a target; all others one.
type Loss struct {
	kind  lossKind
	delta float64
	clip  float64
	lists *lossLists // nil: none; apart, as a Loss is handed on for every output
}

// lossLists are what few losses have.
type lossLists struct {
	quantiles []float64
	weights   []float64 // of classes; empty: all one
}

type lossKind uint8

const (
	mse lossKind = iota
	huber
	absolute
	pinball
	softmax
	bce
)

// lossNames are the names of the kinds, in their order.
var lossNames = []string{"mse", "huber", "abs", "pinball", "softmax", "bce"}

// LossConfig names a loss and sets it. A field that its loss does not use is
// ignored, but for Clip.
type LossConfig struct {
	// Name is mse, huber, abs, pinball, softmax or bce.
	Name string
	// Delta is where huber turns linear, in units of the output; needed there. In
	// pinball it is how far the kink at zero is rounded off, 0 not at all.
	Delta float64
	// Clip above 0 limits outputs to +-Clip before they are compared; beyond it the
	// gradient is zero. softmax and bce, whose outputs are scores, refuse it.
	Clip float64
	// Quantiles are pinball's, each between 0 and 1, ascending: a target t has the
	// outputs t*len(Quantiles) and on, one for each.
	Quantiles []float64
	// ClassWeights scale the terms of softmax's classes, or bce's terms of targets
	// that are 1, one for every output; empty is 1 each.
	ClassWeights []float64
}

// NewLoss returns the loss of c, or an error that names the field that is wrong.
func NewLoss(c LossConfig) (Loss, error) {
	at := slices.Index(lossNames, c.Name)
	if at < 0 {
		return Loss{}, fmt.Errorf("make loss: %w", unknown("name", c.Name, lossNames...))
	}
	l := Loss{kind: lossKind(at), delta: c.Delta, clip: c.Clip}
	if c.Clip != c.Clip || c.Clip < 0 {
		return l, fmt.Errorf("make loss %s: clip %v, expected 0 (off) or above", c.Name, c.Clip)
	}
	var err error
	switch l.kind {
	case huber:
		if !(c.Delta > 0) {
			err = fmt.Errorf("delta %v, expected above 0", c.Delta)
		}
	case pinball:
		l.lists = &lossLists{quantiles: slices.Clone(c.Quantiles)}
		err = c.checkPinball()
	case softmax, bce:
		l.lists = &lossLists{weights: slices.Clone(c.ClassWeights)}
		err = c.checkClasses()
	}
	if err != nil {
		return l, fmt.Errorf("make loss %s: %w", c.Name, err)
	}
	return l, nil
}

// HasCurvature reports whether the loss has a second derivative to adapt by: an
// inner loss needs one. All have but abs, and pinball without a delta.
func (l Loss) HasCurvature() bool {
	return l.kind != absolute && (l.kind != pinball || l.delta > 0)
}

// Outputs is how many outputs a model needs for so many targets.
func (l Loss) Outputs(targets int) int { return targets * l.perTarget() }

// Targets is how many targets so many outputs of a model stand for.
func (l Loss) Targets(outputs int) int { return outputs / l.perTarget() }

func (l Loss) perTarget() int {
	if l.kind != pinball {
		return 1
	}
	return len(l.lists.quantiles)
}

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

// Grad returns the loss of outputs y [n][out] against targets t [n][Targets(out)]
// with weights w [n], and overwrites dy [n][out] with its gradient for y.
func Grad[T kernel.Float](l Loss, n, out int, y, t, w, dy []T) T {
	switch l.kind {
	case pinball:
		return pinballGrad(l, n, out, y, t, w, dy)
	case softmax:
		return softmaxGrad(l, n, out, y, t, w, dy)
	case bce:
		return bceGrad(l, n, out, y, t, w, dy)
	}
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
// derivative of y: curvature times direction, times the weight. rdy must not
// overlap ry.
func RGrad[T kernel.Float](l Loss, n, out int, y, t, w, ry, rdy []T) {
	switch l.kind {
	case pinball:
		pinballRGrad(l, n, out, y, t, w, ry, rdy)
		return
	case softmax:
		softmaxRGrad(l, n, out, y, t, w, ry, rdy)
		return
	case bce:
		bceRGrad(l, n, out, y, t, w, ry, rdy)
		return
	}
	for i, wi := range w[:n] {
		for k := i * out; k < (i+1)*out; k++ {
			rdy[k] = T(wi*curvature(l, y[k], t[k])) * ry[k]
		}
	}
}

// cut limits y to +-c where c is above 0, and reports whether it lay beyond.
func cut[T kernel.Float](c, y T) (T, bool) {
	switch {
	case !(c > 0):
	case y > c:
		return c, true
	case y < -c:
		return -c, true
	}
	return y, false
}

// point returns l and its derivative at output y and target t.
func point[T kernel.Float](l Loss, y, t T) (value, slope T) {
	y, clipped := cut(T(l.clip), y)
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
