package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// dense is Y = X W + b with theta = W [in][out], b [out]. Sums over inputs,
// outputs and samples ascend; an R-value that is the sum of two products starts
// with the one that holds the direction or the R-gradient and goes on with the
// other.
type dense[T kernel.Float] struct {
	in, out int
	one     []T // a single 1, read with stride 0
	// DY transposed, kept for RBackward; RDY transposed; DX or RDX transposed.
	dyT, rdyT, dxT []T
}

func (l *dense[T]) Forward(theta []T, n int, s *Signals[T]) {
	kernel.Gemm(kernel.FromBias, theta[l.in*l.out:], n, l.out, l.in, s.X, l.in, 1, theta, l.out, s.Y, l.out)
}

func (l *dense[T]) Backward(theta, grad []T, n int, s *Signals[T]) {
	l.outer(kernel.FromZero, grad, n, s.X, s.DY)
	l.columns(grad, n, s.DY)
	if s.DX == nil {
		return
	}
	l.flip(&l.dyT, n, s.DY)
	l.back(kernel.FromZero, theta, n, s.DY, l.dyT, s.DX)
	l.unflip(n, s.DX)
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
	if s.RDX == nil {
		return
	}
	l.flip(&l.rdyT, n, s.RDY)
	l.back(kernel.FromZero, theta, n, s.RDY, l.rdyT, s.RDX)
	l.back(kernel.FromC, dir, n, s.DY, l.dyT, s.RDX)
	l.unflip(n, s.RDX)
}

// outer sets or adds to grad's weights the sum over samples of x y^T.
func (l *dense[T]) outer(start kernel.Start, grad []T, n int, x, y []T) {
	kernel.Gemm(start, nil, l.in, l.out, n, x, 1, l.in, y, l.out, grad, l.out)
}

// columns sets grad's bias to the sum of y over samples.
func (l *dense[T]) columns(grad []T, n int, y []T) {
	kernel.Gemm(kernel.FromZero, nil, 1, l.out, n, l.one, 0, 0, y, l.out, grad[l.in*l.out:], l.out)
}

// back starts or goes on with y W^T: into x where the layer has one output, else
// transposed, as W y^T, into dxT, because a batch is cheaper to transpose than
// the weights.
func (l *dense[T]) back(start kernel.Start, w []T, n int, y, yT, x []T) {
	if l.out == 1 {
		kernel.Gemm(start, nil, n, l.in, 1, y, 1, 1, w, l.in, x, l.in)
		return
	}
	kernel.Gemm(start, nil, l.in, n, l.out, w, l.out, 1, yT, n, l.dxT, n)
}

// flip transposes y [n][out] into dst, where back will need it.
func (l *dense[T]) flip(dst *[]T, n int, y []T) {
	if l.out == 1 {
		return
	}
	if len(*dst) < l.out*n {
		*dst = make([]T, l.out*n)
	}
	if len(l.dxT) < l.in*n {
		l.dxT = make([]T, l.in*n)
	}
	kernel.Transpose(*dst, y, n, l.out)
}

// unflip transposes what back left in dxT into x [n][in].
func (l *dense[T]) unflip(n int, x []T) {
	if l.out > 1 {
		kernel.Transpose(x, l.dxT, l.in, n)
	}
}
