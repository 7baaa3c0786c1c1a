package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// layerNorm normalises every row, that is one position of one sample, over its
// channels, and then scales and shifts each channel (Ba et al., 2016). Sums over
// channels and over rows ascend. What is summed over channels is held transposed,
// [c][rows], so that rows fill the lanes.
type layerNorm[T kernel.Float] struct {
	affine[T]
	eps       T
	xh, rxh   []T // [rows][c]
	xhT, rxhT []T // [c][rows]
	uT, tT    []T // gradient for xh, and what project leaves of it
	own, ownT []T // work space
	still     bool
	// one for every row: a and b of project for tT, ra and rb for the R-values, rq
	// as batchNorm's, inv2 = R(inv)
	mean, inv, a, b, ra, rb, rq []T
}

func newLayerNorm[T kernel.Float](s step) Layer[T] {
	return &layerNorm[T]{affine: affine[T]{c: s.in[len(s.in)-1], sets: 1}, eps: T(s.spec.Eps)}
}

func (l *layerNorm[T]) Forward(theta []T, _ int, s *Signals[T]) {
	rows := len(s.X) / l.c
	for _, x := range []*[]T{&l.xh, &l.rxh, &l.xhT, &l.rxhT, &l.uT, &l.tT, &l.own, &l.ownT} {
		*x = room(*x, len(s.X))
	}
	for _, x := range []*[]T{&l.mean, &l.inv, &l.a, &l.b, &l.ra, &l.rb, &l.rq} {
		*x = room(*x, rows)
	}
	if rows == 0 {
		return
	}
	kernel.Transpose(l.ownT, s.X, rows, l.c)
	whiten(l.xhT, l.ownT, l.mean, l.inv, l.c, l.eps)
	kernel.MulRow(l.xhT, l.xhT, l.inv)
	kernel.Transpose(l.xh, l.xhT, l.c, rows)
	l.forward(theta, s.Y, l.xh)
}

// Backward: dx = inv t, t = project(dy gamma).
func (l *layerNorm[T]) Backward(theta, grad []T, _ int, s *Signals[T]) {
	l.backward(grad, s.DY, l.xh)
	rows := len(s.DY) / l.c
	if s.DX == nil || rows == 0 {
		return
	}
	kernel.MulRow(l.own, s.DY, l.gamma(theta))
	kernel.Transpose(l.uT, l.own, rows, l.c)
	project(l.uT, l.xhT, l.a, l.b, l.c)
	rest(l.tT, l.uT, l.xhT, l.a, l.b)
	kernel.MulRow(l.ownT, l.tT, l.inv)
	kernel.Transpose(s.DX, l.ownT, l.c, rows)
}

func (l *layerNorm[T]) RForward(theta, dir []T, _ int, s *Signals[T]) {
	rows := len(s.Y) / l.c
	l.still = s.RX == nil
	if l.still || rows == 0 {
		l.rforward(theta, dir, s.RY, l.xh, nil)
		return
	}
	kernel.Transpose(l.ownT, s.RX, rows, l.c)
	project(l.ownT, l.xhT, l.ra, l.rq, l.c)
	rest(l.rxhT, l.ownT, l.xhT, l.ra, l.rq)
	kernel.MulRow(l.rxhT, l.rxhT, l.inv)
	kernel.Transpose(l.rxh, l.rxhT, l.c, rows)
	l.rforward(theta, dir, s.RY, l.xh, l.rxh)
}

// RBackward: with u = dy gamma, ru = rdy gamma + dy rgamma,
//
//	rdx = rt inv + t rinv,   rinv = inv (inv rq)
//	rt  = ((ru + ra) + xh rb) + rxh b
//	ra  = -sum ru / c,   rb = -(sum ru xh + sum u rxh) / c
func (l *layerNorm[T]) RBackward(theta, dir, rgrad []T, _ int, s *Signals[T]) {
	rxh := l.rxh
	if l.still {
		rxh = nil
	}
	l.rbackward(rgrad, s.DY, s.RDY, l.xh, rxh)
	rows := len(s.DY) / l.c
	if s.RDX == nil || rows == 0 {
		return
	}
	kernel.MulRow(l.own, s.RDY, l.gamma(theta))
	kernel.AddMulRow(l.own, l.own, s.DY, l.gamma(dir))
	kernel.Transpose(l.ownT, l.own, rows, l.c)
	l.rproject(rows)
	kernel.MulRow(l.rxhT, l.ownT, l.inv)
	if !l.still {
		for j, v := range l.inv {
			turn := T(v * l.rq[j])
			l.rq[j] = T(v * turn)
		}
		kernel.AddMulRow(l.rxhT, l.rxhT, l.tT, l.rq)
	}
	kernel.Transpose(s.RDX, l.rxhT, l.c, rows)
}

// rproject turns ownT from ru into rt.
func (l *layerNorm[T]) rproject(rows int) {
	kernel.ColumnSums(l.ra, l.ownT, l.c, rows)
	kernel.ColumnDots(l.rb, l.ownT, l.xhT, l.c, rows)
	if !l.still {
		kernel.ColumnDots(l.mean, l.uT, l.rxhT, l.c, rows)
		kernel.AddInto(l.rb, l.mean)
	}
	divide(l.ra, -T(l.c))
	divide(l.rb, -T(l.c))
	rest(l.ownT, l.ownT, l.xhT, l.ra, l.rb)
	if !l.still {
		kernel.AddMulRow(l.ownT, l.ownT, l.rxhT, l.b)
	}
}

// layernorm appends a layer norm over the last axis.
func (b *builder) layernorm(l LayerSpec) error {
	name, c := b.name("norm"), b.at[len(b.at)-1]
	if err := epsilon(&l, name, layerEps); err != nil {
		return err
	}
	b.append("layernorm", l, b.at)
	b.param(name+".gamma", []int{c}, start{kind: "ones"})
	b.param(name+".beta", []int{c}, start{kind: "zeros"})
	b.group(name)
	return nil
}
