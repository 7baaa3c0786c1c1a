package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// The R-passes of gru: Rf is the derivative of f along the direction, V and v are
// the direction's weights and biases, f' slopes and f'' their R-values.

// RForward: Rr and Rz are r' and z' times
//
//	(vx + vh) + x Vx + Rx Wx + h Vh + Rh Wh
//
// which is one sum, and
//
//	Rm = vh + h Vh + Rh Wh
//	Rc = ((vx + x Vx + Rx Wx) + Rr m + r Rm) c'
//	Ry = (Rc + Rz e) + z Re,   Re = Rh - Rc
//
// At the first time h and Rh are left out.
func (l *gru[T]) RForward(theta, dir []T, n int, s *Signals[T]) {
	l.grow(&l.rgate[resetGate], &l.rgate[updateGate], &l.rgate[newGate], &l.rm, &l.re)
	p, v := l.cut(theta), l.cut(dir)
	l.inputs(v, s.X, &l.rgate)
	for g := range gates {
		if s.RX != nil {
			l.times(kernel.FromC, nil, l.time*n, l.in, s.RX, p.wx, g, l.rgate[g])
		}
	}
	for t := range l.time {
		h, rh := l.before(s.Y, t), l.before(s.RY, t)
		l.candidate(v, t, h, l.at(l.rm, t))
		if t > 0 {
			for g, sum := range l.recurring(l.rgate, l.rm, t) {
				if g != newGate {
					l.times(kernel.FromC, nil, n, l.units, h, v.wh, g, sum)
				}
				l.times(kernel.FromC, nil, n, l.units, rh, p.wh, g, sum)
			}
		}
		l.rthrough(t, rh, l.at(s.RY, t))
	}
}

// rthrough makes Ry of time t from the sums.
func (l *gru[T]) rthrough(t int, rh, ry []T) {
	rr, rz, rc, re := l.at(l.rgate[0], t), l.at(l.rgate[1], t), l.at(l.rgate[2], t), l.at(l.re, t)
	kernel.Mul(rr, rr, l.at(l.slope[resetGate], t))
	kernel.Mul(rz, rz, l.at(l.slope[updateGate], t))
	kernel.MulAdd(rc, rr, l.at(l.m, t), rc)
	kernel.MulAdd(rc, l.at(l.gate[resetGate], t), l.at(l.rm, t), rc)
	kernel.Mul(rc, rc, l.at(l.slope[newGate], t))
	kernel.Sub(re, rh, rc)
	kernel.MulAdd(ry, rz, l.at(l.e, t), rc)
	kernel.MulAdd(ry, l.at(l.gate[updateGate], t), re, ry)
}

// RBackward, from the last time on:
//
//	Rdz = (Rdh e + dh Re) z' + (dh e) z''
//	Rdc = (Rdh - (Rdh z + dh Rz)) c' + (dh - dh z) c''
//	Rdr = (Rdc m + dc Rm) r' + (dc m) r''
//	Rdm = Rdc r + dc Rr
//	Rdh = RDY + ((Rdh z + dh Rz) + Rdr Wh + Rdz Wh + Rdm Wh + dr Vh + dz Vh + dm Vh)
//
// the last for the time before, its outer bracket being one sum, as is
// Rdx = Rdr Wx + Rdz Wx + Rdc Wx + dr Vx + dz Vx + dc Vx. Sums for weights hold
// x Rd and go on with Rx d.
func (l *gru[T]) RBackward(_, dir, rgrad []T, n int, s *Signals[T]) {
	for g := range gates {
		l.grow(&l.turn[g], &l.rd[g])
	}
	l.grow(&l.rdm)
	l.turns()
	l.rcarry, l.rdh, l.work = room(l.rcarry, n*l.units), room(l.rdh, n*l.units), room(l.work, n*l.units)
	l.flip(l.cut(dir), &l.vxT, &l.vhT)
	for t := l.time - 1; t >= 0; t-- {
		copy(l.rdh, l.at(s.RDY, t))
		if t < l.time-1 {
			kernel.AddInto(l.rdh, l.rcarry)
		}
		l.rback(t)
		l.back(kernel.FromC, n, l.units, l.recurring(l.rd, l.rdm, t), l.whT, l.rcarry)
		l.back(kernel.FromC, n, l.units, l.recurring(l.d, l.dm, t), l.vhT, l.rcarry)
	}
	g := l.cut(rgrad)
	l.weights(kernel.FromZero, g, s.X, s.Y, l.rd, l.rdm)
	l.rweights(g, s)
	l.biases(g, l.rd, l.rdm)
	if s.RDX != nil {
		l.back(kernel.FromZero, l.time*n, l.in, l.rd, l.wxT, s.RDX)
		l.back(kernel.FromC, l.time*n, l.in, l.d, l.vxT, s.RDX)
	}
}

// turns fills turn:
//
//	r'' = (1 - 2r) Rr,   z'' = (1 - 2z) Rz,   c'' = -2c Rc
func (l *gru[T]) turns() {
	sigmoidTurn(l.turn[resetGate], l.gate[resetGate])
	sigmoidTurn(l.turn[updateGate], l.gate[updateGate])
	tanhTurn(l.turn[newGate], l.gate[newGate])
	for g, x := range l.turn {
		kernel.Mul(x, x, l.rgate[g])
	}
}

// rback takes Rdh at time t through the gates, and leaves Rdh z + dh Rz in rcarry.
func (l *gru[T]) rback(t int) {
	dh, dc, rdh, work := l.at(l.dh, t), l.at(l.d[newGate], t), l.rdh, l.work
	r, z, m, e := l.at(l.gate[resetGate], t), l.at(l.gate[updateGate], t), l.at(l.m, t), l.at(l.e, t)
	rdr, rdz, rdc, rdm := l.at(l.rd[0], t), l.at(l.rd[1], t), l.at(l.rd[2], t), l.at(l.rdm, t)
	bend := func(g int, rd, plain []T) {
		kernel.Mul(rd, rd, l.at(l.slope[g], t))
		kernel.MulAdd(rd, plain, l.at(l.turn[g], t), rd)
	}
	kernel.Mul(rdz, rdh, e)
	kernel.MulAdd(rdz, dh, l.at(l.re, t), rdz)
	kernel.Mul(work, dh, e)
	bend(updateGate, rdz, work)

	kernel.Mul(l.rcarry, rdh, z)
	kernel.MulAdd(l.rcarry, dh, l.at(l.rgate[updateGate], t), l.rcarry)
	kernel.Sub(rdc, rdh, l.rcarry)
	kernel.Mul(work, dh, z)
	kernel.Sub(work, dh, work)
	bend(newGate, rdc, work)

	kernel.Mul(rdr, rdc, m)
	kernel.MulAdd(rdr, dc, l.at(l.rm, t), rdr)
	kernel.Mul(work, dc, m)
	bend(resetGate, rdr, work)

	kernel.Mul(rdm, rdc, r)
	kernel.MulAdd(rdm, dc, l.at(l.rgate[resetGate], t), rdm)
}

// rweights goes on with the sums of Rx d and Rh d.
func (l *gru[T]) rweights(rgrad recurrent[T], s *Signals[T]) {
	if s.RX != nil {
		l.weights(kernel.FromC, rgrad, s.RX, s.RY, l.d, l.dm)
		return
	}
	l.hidden(kernel.FromC, rgrad, s.RY, l.d, l.dm)
}
