package nn

import (
	"fmt"

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
