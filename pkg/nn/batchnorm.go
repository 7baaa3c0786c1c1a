package nn

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// Epsilons added to a variance where a spec names none. Batch norm's is that of
// the MAML paper's own code: second derivatives grow as its power of -3/2, and a
// support set of five leaves channels that hardly vary. Layer norm's is the usual.
const (
	batchEps = 1e-3
	layerEps = 1e-5
)

// batchNorm normalises every channel over the rows of the batch, that is over
// positions and samples, by the batch's own mean and variance (biased: over the
// number of rows), and then scales and shifts it (Ioffe and Szegedy, 2015). It is
// transductive, as in the MAML paper (Finn et al., 2017): support and query are
// batches of their own, and a sample's outputs depend on those beside it. Over one
// row the variance is zero: the output is beta, and nothing flows back.
//
// With parameters per step it has a gamma and a beta for every number of inner
// steps, 0 to K (MAML++; Antoniou et al., 2019, section 4).
//
// Sums over rows ascend, position slowest.
type batchNorm[T kernel.Float] struct {
	affine[T]
	eps       T
	xh, t     []T // normalised; DX over scale
	rxh       []T // nil where RX is
	mean, inv []T
	a, b      []T // of project for t
	ra, rq    []T // of project for rxh
	scale     []T // gamma inv
	rscale    []T
	keep      []T // rxh's memory
}

func newBatchNorm[T kernel.Float](s step) Layer[T] {
	l := affine[T]{c: s.in[len(s.in)-1], sets: s.sets}
	if s.spec.Statistics == "stored" {
		return &storedNorm[T]{affine: l, eps: T(s.spec.Eps), inv: make([]T, l.c), scale: make([]T, l.c), rscale: make([]T, l.c), mean: make([]T, l.c)}
	}
	n := &batchNorm[T]{affine: l, eps: T(s.spec.Eps)}
	for _, x := range []*[]T{&n.mean, &n.inv, &n.a, &n.b, &n.ra, &n.rq, &n.scale, &n.rscale} {
		*x = make([]T, l.c)
	}
	return n
}

func (l *batchNorm[T]) Forward(theta []T, _ int, s *Signals[T]) {
	l.choose(s.Step)
	l.xh = room(l.xh, len(s.X))
	n := len(s.X) / l.c
	whiten(l.xh, s.X, l.mean, l.inv, n, l.eps)
	inChunks(n, l.c, func(lo, hi int) {
		kernel.MulRow(l.xh[lo:hi], l.xh[lo:hi], l.inv)
		l.forward(theta, s.Y[lo:hi], l.xh[lo:hi])
	})
}

// Backward: dx = (gamma inv) t, t = project(dy); gamma is a factor of every row
// and so outside of it.
func (l *batchNorm[T]) Backward(theta, grad []T, _ int, s *Signals[T]) {
	l.backward(grad, s.DY, l.xh)
	if s.DX == nil {
		return
	}
	l.t = room(l.t, len(s.DY))
	rows := len(s.DY) / l.c
	n := T(rows)
	for j, g := range l.gamma(theta) {
		l.scale[j] = T(g * l.inv[j])
		l.a[j], l.b[j] = -l.beta(grad)[j]/n, -l.gamma(grad)[j]/n
	}
	inChunks(rows, l.c, func(lo, hi int) {
		rest(l.t[lo:hi], s.DY[lo:hi], l.xh[lo:hi], l.a, l.b)
		kernel.MulRow(s.DX[lo:hi], l.t[lo:hi], l.scale)
	})
}

func (l *batchNorm[T]) RForward(theta, dir []T, _ int, s *Signals[T]) {
	l.rxh = nil
	if s.RX == nil {
		l.rforward(theta, dir, s.RY, l.xh, nil)
		return
	}
	l.keep = room(l.keep, len(s.RX))
	l.rxh = l.keep
	n := len(s.RX) / l.c
	project(s.RX, l.xh, l.ra, l.rq, n)
	inChunks(n, l.c, func(lo, hi int) {
		rest(l.rxh[lo:hi], s.RX[lo:hi], l.xh[lo:hi], l.ra, l.rq)
		kernel.MulRow(l.rxh[lo:hi], l.rxh[lo:hi], l.inv)
		l.rforward(theta, dir, s.RY[lo:hi], l.xh[lo:hi], l.rxh[lo:hi])
	})
}

// RBackward: with rinv = inv inv rq (rq = -mean(rx xh), from RForward),
//
//	rdx   = rt scale + t rscale
//	rt    = ((rdy + ra) + xh rb) + rxh b
//	ra    = -sum rdy / n,   rb = -(sum rdy xh + sum dy rxh) / n
//	rscale = rgamma inv + scale (inv rq)
func (l *batchNorm[T]) RBackward(_, dir, rgrad []T, _ int, s *Signals[T]) {
	l.rbackward(rgrad, s.DY, s.RDY, l.xh, l.rxh)
	if s.RDX == nil {
		return
	}
	rows := len(s.DY) / l.c
	n := T(rows)
	for j, g := range l.gamma(dir) {
		l.rscale[j] = T(g * l.inv[j])
		if l.rxh != nil {
			turn := T(l.inv[j] * l.rq[j])
			l.rscale[j] += T(l.scale[j] * turn)
		}
		l.ra[j], l.rq[j] = -l.beta(rgrad)[j]/n, -l.gamma(rgrad)[j]/n
	}
	inChunks(rows, l.c, func(lo, hi int) {
		rdx := s.RDX[lo:hi]
		rest(rdx, s.RDY[lo:hi], l.xh[lo:hi], l.ra, l.rq)
		if l.rxh != nil {
			kernel.AddMulRow(rdx, rdx, l.rxh[lo:hi], l.b)
		}
		kernel.MulRow(rdx, rdx, l.scale)
		kernel.AddMulRow(rdx, rdx, l.t[lo:hi], l.rscale)
	})
}

// batchnorm appends a batch norm over the last axis.
func (b *builder) batchnorm(l LayerSpec) error {
	name, c, sets := b.name("norm"), b.at[len(b.at)-1], 1
	switch l.Statistics {
	case "", "batch", "stored":
	default:
		return fmt.Errorf("layer %s: %w", name, unknown("statistics", l.Statistics, "batch", "stored"))
	}
	if err := epsilon(&l, name, batchEps); err != nil {
		return err
	}
	if l.PerStep {
		sets = b.m.config.InnerSteps + 1
	}
	b.append("batchnorm", l, b.at)
	b.m.steps[len(b.m.steps)-1].sets = sets
	shape := []int{c}
	if l.PerStep {
		shape = []int{sets, c}
	}
	b.param(name+".gamma", shape, start{kind: "ones"})
	b.param(name+".beta", shape, start{kind: "zeros"})
	if l.Statistics == "stored" {
		b.track(name+".mean", shape, start{kind: "zeros"})
		b.track(name+".var", shape, start{kind: "ones"})
	}
	b.group(name)
	return nil
}

// epsilon puts the default in and checks it.
func epsilon(l *LayerSpec, name string, or float32) error {
	if l.Eps == 0 {
		l.Eps = or
	}
	if !(l.Eps > 0) || l.Eps > 1 {
		return fmt.Errorf("layer %s: eps %v, expected above 0, to 1", name, l.Eps)
	}
	return nil
}
