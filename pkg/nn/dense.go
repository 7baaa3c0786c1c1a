package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// dense is Y = X W + b with theta = W [in][out], b [out]. Sums over inputs,
// outputs and samples ascend; an R-value that is the sum of two products starts
// with the one that holds the direction or the R-gradient and goes on with the
// other.
type dense[T kernel.Float] struct {
	in, out int
	one     []T // a single 1, read with stride 0
}

func (l *dense[T]) Forward(theta []T, n int, s *Signals[T]) {
	kernel.Gemm(kernel.FromBias, theta[l.in*l.out:], n, l.out, l.in, s.X, l.in, 1, theta, l.out, s.Y, l.out)
}

func (l *dense[T]) Backward(theta, grad []T, n int, s *Signals[T]) {
	l.outer(kernel.FromZero, grad, n, s.X, s.DY)
	l.columns(grad, n, s.DY)
	if s.DX != nil {
		l.back(kernel.FromZero, theta, n, s.DY, s.DX)
	}
}

func (l *dense[T]) RForward(theta, dir []T, n int, s *Signals[T]) {
	kernel.Gemm(kernel.FromBias, dir[l.in*l.out:], n, l.out, l.in, s.X, l.in, 1, dir, l.out, s.RY, l.out)
	if s.RX != nil {
		kernel.Gemm(kernel.FromC, nil, n, l.out, l.in, s.RX, l.in, 1, theta, l.out, s.RY, l.out)
	}
}

func (l *dense[T]) RBackward(theta, dir, rgrad []T, n int, s *Signals[T]) {
	l.outer(kernel.FromZero, rgrad, n, s.X, s.RDY)
	if s.RX != nil {
		l.outer(kernel.FromC, rgrad, n, s.RX, s.DY)
	}
	l.columns(rgrad, n, s.RDY)
	if s.RDX != nil {
		l.back(kernel.FromZero, theta, n, s.RDY, s.RDX)
		l.back(kernel.FromC, dir, n, s.DY, s.RDX)
	}
}

// outer sets or adds to grad's weights the sum over samples of x y^T.
func (l *dense[T]) outer(start kernel.Start, grad []T, n int, x, y []T) {
	kernel.Gemm(start, nil, l.in, l.out, n, x, 1, l.in, y, l.out, grad, l.out)
}

// columns sets grad's bias to the sum of y over samples.
func (l *dense[T]) columns(grad []T, n int, y []T) {
	kernel.Gemm(kernel.FromZero, nil, 1, l.out, n, l.one, 0, 0, y, l.out, grad[l.in*l.out:], l.out)
}

// back sets x to, or adds to it, y W^T.
func (l *dense[T]) back(start kernel.Start, w []T, n int, y, x []T) {
	kernel.GemmT(start, nil, n, l.in, l.out, y, l.out, 1, w, l.out, x, l.in)
}
