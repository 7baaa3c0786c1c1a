package taskshards

import "math"

// Batch holds N samples in rows. The slices only grow: a Batch that is filled
// again and again stops allocating.
type Batch struct {
	N int
	X []float32 // [N][in] inputs
	Y []float32 // [N][out] targets
	W []float32 // [N] weights, with the normalisation inside (see the package comment)

	scale []float64 // [N] work space: s of each window, beyond the range of float32
}

// Resize makes room for n samples of the given shape and leaves the contents
// unspecified.
func (b *Batch) Resize(n, in, out int) {
	b.N = n
	b.X = grow(b.X, n*in)
	b.Y = grow(b.Y, n*out)
	b.W = grow(b.W, n)
}

// leastError is the least error of the last value that weights are relative to,
// in units of s.
const leastError = 0.1

// weighByScale sets W so that the sum of W |f - Y| is an error relative to that
// of f = 0, in the units of the series (one output). False: all windows are
// constant and weigh 0.
func (b *Batch) weighByScale() bool {
	var moved, scales float64
	for i, s := range b.scale {
		moved += float64(s * math.Abs(float64(b.Y[i])))
		scales += s
	}
	total := max(moved, float64(leastError*scales))
	if total == 0 {
		clear(b.W)
		return false
	}
	for i, s := range b.scale {
		b.W[i] = float32(s / total)
	}
	return true
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Task is one few-shot problem: a support set to adapt on, of any size from
// zero, and a query set to score on.
type Task struct {
	Support, Query Batch

	picks []int // work space: what was drawn
}
