package nn

import (
	"fmt"
	"math"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// CheckOutputs refuses a model's number of outputs that the loss can't be of.
func (l Loss) CheckOutputs(out int) error {
	if n := l.perTarget(); out < 1 || out%n != 0 {
		return fmt.Errorf("loss %s: %d outputs, expected a multiple of its %d quantiles", lossNames[l.kind], out, n)
	}
	if l.lists == nil {
		return nil
	}
	if n := len(l.lists.weights); n != 0 && n != out {
		return fmt.Errorf("loss %s: class_weights: %d for %d outputs, expected one each or none", lossNames[l.kind], n, out)
	}
	if l.kind == softmax && out < 2 {
		return fmt.Errorf("loss softmax: %d output, expected one for each of at least 2 classes; bce takes one", out)
	}
	return nil
}

// CheckTargets refuses targets t [n][targets] that the loss can't be of: numbers
// that are not finite; under softmax rows of shares that do not sum to 1; under
// bce numbers outside 0 to 1. The error names the row.
func CheckTargets[T kernel.Float](l Loss, n, targets int, t []T) error {
	for i := range n {
		row := t[i*targets:][:targets]
		if !kernel.IsFinite(row) {
			return fmt.Errorf("targets: row %d is %v, expected finite numbers", i, row)
		}
		if l.kind != softmax && l.kind != bce {
			continue
		}
		sum := 0.0
		for k, v := range row {
			if v < 0 || v > 1 {
				return fmt.Errorf("targets: row %d: number %d is %v, expected 0 to 1 for the loss %s", i, k, v, lossNames[l.kind])
			}
			sum += float64(v)
		}
		if l.kind == softmax && math.Abs(sum-1) > 1e-4 {
			return fmt.Errorf("targets: row %d sums to %v, expected 1: a one-hot class or shares of classes", i, sum)
		}
	}
	return nil
}

// Argmax returns the index of the largest element of x, the first of equals, and
// 0 where the first is NaN.
func Argmax[T kernel.Float](x []T) int {
	best := 0
	for k, v := range x {
		if v > x[best] {
			best = k
		}
	}
	return best
}

// Correct counts the rows of y [n][out] whose largest output is where the largest
// of t is.
func Correct[T kernel.Float](n, out int, y, t []T) int {
	hits := 0
	for i := range n {
		if Argmax(y[i*out:][:out]) == Argmax(t[i*out:][:out]) {
			hits++
		}
	}
	return hits
}

// Errors returns the weight of what is misclassified, so that with weights of 1/n
// it is a share: under bce of outputs on the wrong side of 0 for their target's
// side of 1/2, over the number of outputs; else of rows whose largest output is
// not where the largest target is. One chain over rows.
func Errors[T kernel.Float](l Loss, n, out int, y, t, w []T) T {
	var sum kernel.Chain[T]
	for i, wi := range w[:n] {
		row, ti := y[i*out:][:out], t[i*out:][:out]
		wrong := 0
		if l.kind == bce {
			for k, v := range row {
				if (v > 0) != (ti[k] > 0.5) {
					wrong++
				}
			}
			sum.Add(wi, T(wrong)/T(out))
			continue
		}
		if Argmax(row) != Argmax(ti) {
			wrong = 1
		}
		sum.Add(wi, T(wrong))
	}
	return sum.Sum()
}
