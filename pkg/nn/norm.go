package nn

import (
	"math"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// What the normalising layers share: statistics of the columns of a matrix
// [n][c], and the gain and shift after them.

// whiten sets xh [n][c] to x with every column's mean taken off, and mean and
// inv = 1/sqrt(variance + eps), c elements each; xh times inv is normalised. The
// variance is two-pass, of the rounded differences; sums over rows ascend, the
// mean is the sum over n.
func whiten[T kernel.Float](xh, x, mean, inv []T, n int, eps T) {
	c := len(mean)
	kernel.ColumnSums(mean, x, n, c)
	divide(mean, T(n))
	kernel.SubRow(xh, x, mean)
	kernel.ColumnDots(inv, xh, xh, n, c)
	divide(inv, T(n))
	deviation(inv, inv, eps)
}

// deviation sets inv to 1/sqrt(v + eps). The square root of a float32, rounded
// from float64, is the one that IEEE asks for.
func deviation[T kernel.Float](inv, v []T, eps T) {
	for j, v := range v {
		inv[j] = 1 / T(math.Sqrt(float64(T(v+eps))))
	}
}

// project makes a and b for what is left of u [n][c] without its part along ones
// and along the normalised xh, columnwise:
//
//	t = (u + a) + xh b,   a = -sum u / n,   b = -sum (u xh) / n
//
// With inv this is the derivative of normalising, which is symmetric: from rx it
// gives xh along rx, from the gradient for xh that for x.
func project[T kernel.Float](u, xh, a, b []T, n int) {
	c := len(a)
	kernel.ColumnSums(a, u, n, c)
	kernel.ColumnDots(b, u, xh, n, c)
	divide(a, -T(n))
	divide(b, -T(n))
}

// rest sets t to (u + a) + xh b.
func rest[T kernel.Float](t, u, xh, a, b []T) {
	kernel.AddRow(t, u, a)
	kernel.AddMulRow(t, t, xh, b)
}

// inChunks calls f for ranges of elements of a matrix [n][c], a few rows at a time,
// so that what one operation leaves is near for the next.
func inChunks(n, c int, f func(lo, hi int)) {
	rows := max(chunk/c, 1)
	for i := 0; i < n; i += rows {
		f(i*c, min(i+rows, n)*c)
	}
}

// chunk is about how many elements of a matrix are near: of five matrices they
// take 80 kB. Chunks of 1,024 cost more in calls than they save.
const chunk = 4096

// divide divides x by n.
func divide[T kernel.Float](x []T, n T) {
	for j := range x {
		x[j] /= n
	}
}

// affine is the y = gamma xh + beta after a normalisation, rounded twice, with
// sets of parameters of which one is at work. A layer's parameters are gamma
// [sets][c], beta [sets][c] and then what else it has in sets.
type affine[T kernel.Float] struct {
	c, sets, set int
	more         []T // one term of a gradient
}

// choose takes the set of an inner step, beyond the last the last.
func (l *affine[T]) choose(step int) { l.set = max(0, min(step, l.sets-1)) }

// part returns the chosen set's tensor k of a vector laid out as the parameters.
func (l *affine[T]) part(p []T, k int) []T { return p[(k*l.sets+l.set)*l.c:][:l.c] }

func (l *affine[T]) gamma(p []T) []T { return l.part(p, 0) }
func (l *affine[T]) beta(p []T) []T  { return l.part(p, 1) }

// forward fills y from xh.
func (l *affine[T]) forward(theta, y, xh []T) {
	kernel.MulAddRow(y, xh, l.gamma(theta), l.beta(theta))
}

// backward overwrites grad: beta's is the sum of dy over rows, gamma's of dy xh.
func (l *affine[T]) backward(grad, dy, xh []T) {
	clear(grad)
	n := len(dy) / l.c
	kernel.ColumnSums(l.beta(grad), dy, n, l.c)
	kernel.ColumnDots(l.gamma(grad), dy, xh, n, l.c)
}

// rforward fills ry = (xh rgamma + rbeta) + rxh gamma; a nil rxh is zero.
func (l *affine[T]) rforward(theta, dir, ry, xh, rxh []T) {
	l.forward(dir, ry, xh)
	if rxh != nil {
		kernel.AddMulRow(ry, ry, rxh, l.gamma(theta))
	}
}

// rbackward overwrites rgrad: gamma's is the sum of rdy xh and then that of
// dy rxh.
func (l *affine[T]) rbackward(rgrad, dy, rdy, xh, rxh []T) {
	l.backward(rgrad, rdy, xh)
	if rxh == nil {
		return
	}
	l.more = room(l.more, l.c)
	kernel.ColumnDots(l.more, dy, rxh, len(dy)/l.c, l.c)
	kernel.AddInto(l.gamma(rgrad), l.more)
}
