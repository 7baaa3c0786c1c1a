package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// storedNorm is batch norm by stored statistics: a sample's outputs do not depend
// on the batch. Its parameters are gamma, beta and the tracked mean and variance
// (see Param.Track), which are constants to every derivative. Backward's gradient
// for them is what is stored less what this batch shows (the variance biased, over
// the number of rows; zero for a batch of no rows).
type storedNorm[T kernel.Float] struct {
	affine[T]
	eps                T
	xh, rxh, keep      []T // normalised; its R-value, nil where RX is; its memory
	mean, inv          []T
	scale, rscale, off []T // gamma inv, rgamma inv; x less its mean
}

func (l *storedNorm[T]) Forward(theta []T, _ int, s *Signals[T]) {
	l.choose(s.Step)
	l.xh = room(l.xh, len(s.X))
	deviation(l.inv, l.part(theta, 3), l.eps)
	kernel.SubMulRow(l.xh, s.X, l.part(theta, 2), l.inv)
	l.forward(theta, s.Y, l.xh)
}

func (l *storedNorm[T]) Backward(theta, grad []T, _ int, s *Signals[T]) {
	l.backward(grad, s.DY, l.xh)
	l.observe(theta, grad, s.X)
	kernel.Mul(l.scale, l.gamma(theta), l.inv)
	if s.DX != nil {
		kernel.MulRow(s.DX, s.DY, l.scale)
	}
}

// observe fills the tracked places of grad.
func (l *storedNorm[T]) observe(theta, grad, x []T) {
	n := len(x) / l.c
	if n == 0 {
		return
	}
	v := l.part(grad, 3)
	kernel.ColumnSums(l.mean, x, n, l.c)
	divide(l.mean, T(n))
	l.off = room(l.off, len(x))
	kernel.SubRow(l.off, x, l.mean)
	kernel.ColumnDots(v, l.off, l.off, n, l.c)
	divide(v, T(n))
	kernel.Sub(v, l.part(theta, 3), v)
	kernel.Sub(l.part(grad, 2), l.part(theta, 2), l.mean)
}

func (l *storedNorm[T]) RForward(theta, dir []T, _ int, s *Signals[T]) {
	l.rxh = nil
	if s.RX != nil {
		l.keep = room(l.keep, len(s.RX))
		l.rxh = l.keep
		kernel.MulRow(l.rxh, s.RX, l.inv)
	}
	l.rforward(theta, dir, s.RY, l.xh, l.rxh)
}

// RBackward: rdx = rdy scale + dy (rgamma inv).
func (l *storedNorm[T]) RBackward(_, dir, rgrad []T, _ int, s *Signals[T]) {
	l.rbackward(rgrad, s.DY, s.RDY, l.xh, l.rxh)
	if s.RDX == nil {
		return
	}
	kernel.Mul(l.rscale, l.gamma(dir), l.inv)
	kernel.MulRow(s.RDX, s.RDY, l.scale)
	kernel.AddMulRow(s.RDX, s.RDX, s.DY, l.rscale)
}
