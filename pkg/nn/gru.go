package nn

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// Gates of a gru, in the order of its parameters' columns.
const (
	resetGate  = iota // r
	updateGate        // z
	newGate           // c, the candidate
	gates
)

// gru is a gated recurrent unit over time (Cho et al., 2014), in PyTorch's form,
// X [time][n][in] to Y [time][n][units], from h = 0:
//
//	r = sigmoid((bx + bh) + x Wx + h Wh)
//	z = sigmoid((bx + bh) + x Wx + h Wh)
//	m = bh + h Wh
//	c = tanh((bx + x Wx) + r m)
//	h = c + z e,   e = h - c
//
// each with the columns of its own gate; theta is wx [in][3 units], wh [units][3
// units], bx [3 units], bh [3 units]. In r and z a sum goes on from inputs to units
// of h, both ascending; at the first time h is left out. Rounding is after each
// operation. Products with x, for all times, have time and sample as rows, time
// slowest; so have the sums for gradients, from the second time on for wh.
type gru[T kernel.Float] struct {
	time, in, units int
	n               int // of the batch
	bias, none      []T // bx + bh; zeros [n][units]
	// Of every time and sample, [time][n][units]: the gates, their slopes by what
	// they are the sigmoid or tanh of, and the gradients for that; m and its
	// gradient; e; the gradient for h.
	gate, slope, d [gates][]T
	m, dm, e, dh   []T
	// Likewise their R-values; turn is that of slope.
	rgate, turn, rd [gates][]T
	rm, rdm, re     []T
	// Weights and direction transposed, [3 units][in] and [3 units][units].
	wxT, whT, vxT, vhT []T
	// Of one time, [n][units].
	carry, rcarry, rdh, work []T
}

// recurrent is a parameter vector of a gru, or a companion, as its tensors.
type recurrent[T kernel.Float] struct{ wx, wh, bx, bh []T }

func (l *gru[T]) cut(p []T) recurrent[T] {
	w := gates * l.units
	return recurrent[T]{p[:l.in*w], p[l.in*w:][:l.units*w], p[(l.in+l.units)*w:][:w], p[(l.in+l.units+1)*w:][:w]}
}

// at is the part of a slab of one time.
func (l *gru[T]) at(x []T, t int) []T { return x[t*l.n*l.units:][:l.n*l.units] }

// before is h, or its R-value, before time t, in the layer's outputs y.
func (l *gru[T]) before(y []T, t int) []T {
	if t == 0 {
		return l.none
	}
	return l.at(y, t-1)
}

// grow gives slabs the batch's size.
func (l *gru[T]) grow(slabs ...*[]T) {
	for _, x := range slabs {
		*x = room(*x, l.time*l.n*l.units)
	}
}

// times sets dst [rows][units] to x [rows][k] times gate g's columns of w.
func (l *gru[T]) times(start kernel.Start, bias []T, rows, k int, x, w []T, g int, dst []T) {
	if bias != nil {
		bias = bias[g*l.units:]
	}
	kernel.Gemm(start, bias, rows, l.units, k, x, k, 1, w[g*l.units:], gates*l.units, dst, l.units)
}

// inputs sets sums to the gates' parts that do not depend on h, for all times.
func (l *gru[T]) inputs(p recurrent[T], x []T, sums *[gates][]T) {
	l.bias = room(l.bias, gates*l.units)
	copy(l.bias, p.bx)
	kernel.AddInto(l.bias[:newGate*l.units], p.bh)
	for g := range sums {
		l.times(kernel.FromBias, l.bias, l.time*l.n, l.in, x, p.wx, g, sums[g])
	}
}

// candidate sets m to bh + h Wh.
func (l *gru[T]) candidate(p recurrent[T], t int, h, m []T) {
	if t > 0 {
		l.times(kernel.FromBias, p.bh, l.n, l.units, h, p.wh, newGate, m)
		return
	}
	for i := range l.n {
		copy(m[i*l.units:][:l.units], p.bh[newGate*l.units:])
	}
}

func (l *gru[T]) Forward(theta []T, n int, s *Signals[T]) {
	l.n = n
	l.grow(&l.gate[resetGate], &l.gate[updateGate], &l.gate[newGate], &l.m, &l.e)
	l.none = room(l.none, n*l.units)
	clear(l.none)
	p := l.cut(theta)
	l.inputs(p, s.X, &l.gate)
	for t := range l.time {
		h, r, z, c, m, e := l.before(s.Y, t), l.at(l.gate[0], t), l.at(l.gate[1], t), l.at(l.gate[2], t), l.at(l.m, t), l.at(l.e, t)
		l.candidate(p, t, h, m)
		if t > 0 {
			l.times(kernel.FromC, nil, n, l.units, h, p.wh, resetGate, r)
			l.times(kernel.FromC, nil, n, l.units, h, p.wh, updateGate, z)
		}
		kernel.SigmoidInto(r, r)
		kernel.SigmoidInto(z, z)
		kernel.MulAdd(c, r, m, c)
		kernel.TanhInto(c, c)
		kernel.Sub(e, h, c)
		kernel.MulAdd(l.at(s.Y, t), z, e, c)
	}
}

// Backward, from the last time on, with dh the gradient for h and f' the slopes:
//
//	dz = (dh e) z'     dc = (dh - dh z) c'     dr = (dc m) r'     dm = dc r
//	dh = DY + (dh z + dr Wh + dz Wh + dm Wh)   for the time before
//
// the bracket being one sum, gate by gate, as is dx = dr Wx + dz Wx + dc Wx.
func (l *gru[T]) Backward(theta, grad []T, n int, s *Signals[T]) {
	for g := range gates {
		l.grow(&l.slope[g], &l.d[g])
	}
	l.grow(&l.dm, &l.dh)
	sigmoidSlope(l.slope[resetGate], l.gate[resetGate])
	sigmoidSlope(l.slope[updateGate], l.gate[updateGate])
	tanhSlope(l.slope[newGate], l.gate[newGate])
	l.carry = room(l.carry, n*l.units)
	p := l.cut(theta)
	l.flip(p, &l.wxT, &l.whT)
	copy(l.dh, s.DY)
	for t := l.time - 1; t >= 0; t-- {
		dh := l.at(l.dh, t)
		if t < l.time-1 {
			kernel.AddInto(dh, l.carry)
		}
		l.through(t, dh)
		l.back(kernel.FromC, n, l.units, l.recurring(l.d, l.dm, t), l.whT, l.carry)
	}
	g := l.cut(grad)
	l.weights(kernel.FromZero, g, s.X, s.Y, l.d, l.dm)
	l.biases(g, l.d, l.dm)
	if s.DX != nil {
		l.back(kernel.FromZero, l.time*n, l.in, l.d, l.wxT, s.DX)
	}
}

// through takes dh at time t through the gates, and leaves dh z in carry.
func (l *gru[T]) through(t int, dh []T) {
	dr, dz, dc := l.at(l.d[0], t), l.at(l.d[1], t), l.at(l.d[2], t)
	kernel.Mul(dz, dh, l.at(l.e, t))
	kernel.Mul(dz, dz, l.at(l.slope[updateGate], t))
	kernel.Mul(l.carry, dh, l.at(l.gate[updateGate], t))
	kernel.Sub(dc, dh, l.carry)
	kernel.Mul(dc, dc, l.at(l.slope[newGate], t))
	kernel.Mul(dr, dc, l.at(l.m, t))
	kernel.Mul(dr, dr, l.at(l.slope[resetGate], t))
	kernel.Mul(l.at(l.dm, t), dc, l.at(l.gate[resetGate], t))
}

// recurring is what flows back through wh at time t.
func (l *gru[T]) recurring(d [gates][]T, dm []T, t int) [gates][]T {
	return [gates][]T{l.at(d[resetGate], t), l.at(d[updateGate], t), l.at(dm, t)}
}

// flip transposes the weights of p.
func (l *gru[T]) flip(p recurrent[T], wxT, whT *[]T) {
	*wxT, *whT = room(*wxT, len(p.wx)), room(*whT, len(p.wh))
	kernel.Transpose(*wxT, p.wx, l.in, gates*l.units)
	kernel.Transpose(*whT, p.wh, l.units, gates*l.units)
}

// back sets dst [rows][k] to d, gate after gate, times weights transposed.
func (l *gru[T]) back(start kernel.Start, rows, k int, d [gates][]T, wT, dst []T) {
	for g, x := range d {
		kernel.Gemm(start, nil, rows, k, l.units, x, l.units, 1, wT[g*l.units*k:], k, dst, k)
		start = kernel.FromC
	}
}

// weights sets grad's weights to, or adds to them, the sums over times and samples
// of x d and of h d.
func (l *gru[T]) weights(start kernel.Start, grad recurrent[T], x, y []T, d [gates][]T, dm []T) {
	for g, d := range d {
		kernel.Gemm(start, nil, l.in, l.units, l.time*l.n, x, 1, l.in, d, l.units, grad.wx[g*l.units:], gates*l.units)
	}
	l.hidden(start, grad, y, d, dm)
}

// hidden is the part of weights for wh, h being the outputs y of the time before.
func (l *gru[T]) hidden(start kernel.Start, grad recurrent[T], y []T, d [gates][]T, dm []T) {
	u := l.units
	for g, d := range [gates][]T{d[resetGate], d[updateGate], dm} {
		kernel.Gemm(start, nil, u, u, (l.time-1)*l.n, y, 1, u, d[l.n*u:], u, grad.wh[g*u:], gates*u)
	}
}

// biases sets grad's biases to the sums of d over times and samples.
func (l *gru[T]) biases(grad recurrent[T], d [gates][]T, dm []T) {
	u, rows := l.units, l.time*l.n
	for g := range gates {
		kernel.ColumnSums(grad.bx[g*u:][:u], d[g], rows, u)
	}
	copy(grad.bh, grad.bx[:newGate*u])
	kernel.ColumnSums(grad.bh[newGate*u:], dm, rows, u)
}

// gru appends a gru.
func (b *builder) gru(l LayerSpec) error {
	name := b.name("gru")
	if len(b.at) != 2 {
		return fmt.Errorf("layer %s: input of shape %v, expected [time channels]", name, b.at)
	}
	if l.Units < 1 || l.Units > maxWidth {
		return fmt.Errorf("layer %s: units %d, expected 1 to %d", name, l.Units, maxWidth)
	}
	in, u := b.at[1], l.Units
	b.append("gru", l, []int{b.at[0], u})
	weights := start{kind: b.m.config.Init, fan: u, fanOut: u}
	bias := start{}
	if weights.kind == "" { // as PyTorch has it
		weights.kind = "uniform"
		bias = start{kind: "uniform", fan: u, n: gates * u}
	}
	own := weights
	if own.kind != "uniform" {
		own.fan = in
	}
	own.n, weights.n = in*gates*u, u*gates*u
	b.param(name+".wx", []int{in, gates * u}, own)
	b.param(name+".wh", []int{u, gates * u}, weights)
	b.param(name+".bx", []int{gates * u}, bias)
	b.param(name+".bh", []int{gates * u}, bias)
	b.group(name)
	return nil
}
