package nn

import (
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// gruTwin is a second gru: one sample, time and unit at a time, every sum gathered
// as terms. Sums that go on are chains that start from the one before.
type gruTwin struct {
	time, n, in, u   int
	theta, dir       recurrent[float32]
	s                *Signals[float32]
	gate, slope, d   [3][]float32 // as gru has them
	rgate, turn, rd  [3][]float32
	m, dm, e, dh     []float32
	rm, rdm, re, rdh []float32
	y, ry            []float32
}

func (g *gruTwin) at(t, i, k int) int { return (t*g.n+i)*g.u + k }

// row is fma over k columns: start + x[at..] w[..][col].
func row(start float32, k int, x []float32, at int, w []float32, width, col int) float32 {
	terms := make([]term, k)
	for l := range terms {
		terms[l] = term{x[at+l], w[l*width+col]}
	}
	return chain(start, terms)
}

// through is chain over all gates' units: start + sum of d[g] w[..][g u..], gate by gate.
func (g *gruTwin) through(start float32, d [3][]float32, at int, w []float32, j int) float32 {
	for q := range d {
		terms := make([]term, g.u)
		for k := range terms {
			terms[k] = term{d[q][at+k], w[j*3*g.u+q*g.u+k]}
		}
		start = chain(start, terms)
	}
	return start
}

func newGRUTwin(p *passes, time, n int) *gruTwin {
	u := len(p.s.Y) / (time * n)
	l := &gru[float32]{time: time, in: p.c, units: u}
	g := &gruTwin{time: time, n: n, in: p.c, u: u, theta: l.cut(p.theta), dir: l.cut(p.dir), s: &p.s}
	slab := func() []float32 { return make([]float32, len(p.s.Y)) }
	for q := range 3 {
		g.gate[q], g.slope[q], g.d[q], g.rgate[q], g.turn[q], g.rd[q] = slab(), slab(), slab(), slab(), slab(), slab()
	}
	for _, x := range []*[]float32{&g.m, &g.dm, &g.e, &g.dh, &g.rm, &g.rdm, &g.re, &g.rdh, &g.y, &g.ry} {
		*x = slab()
	}
	return g
}

// value is a gate's sum and, along the direction, its R-value, without the last
// steps for the candidate.
func (g *gruTwin) value(q, t, i, k int) (v, rv float32) {
	w, col := 3*g.u, q*g.u+k
	bias, rbias := g.theta.bx[col], g.dir.bx[col]
	if q < 2 {
		bias, rbias = bias+g.theta.bh[col], rbias+g.dir.bh[col]
	}
	x := (t*g.n + i) * g.in
	v = row(bias, g.in, g.s.X, x, g.theta.wx, w, col)
	rv = row(row(rbias, g.in, g.s.X, x, g.dir.wx, w, col), g.in, g.s.RX, x, g.theta.wx, w, col)
	if q < 2 && t > 0 {
		h := g.at(t-1, i, 0)
		v = row(v, g.u, g.y, h, g.theta.wh, w, col)
		rv = row(row(rv, g.u, g.y, h, g.dir.wh, w, col), g.u, g.ry, h, g.theta.wh, w, col)
	}
	return v, rv
}

func (g *gruTwin) forward() {
	for t := range g.time {
		for i := range g.n {
			for k := range g.u {
				at, w, col := g.at(t, i, k), 3*g.u, 2*g.u+k
				var h, rh float32
				g.m[at], g.rm[at] = g.theta.bh[col], g.dir.bh[col]
				if t > 0 {
					h, rh = g.y[g.at(t-1, i, k)], g.ry[g.at(t-1, i, k)]
					b := g.at(t-1, i, 0)
					g.m[at] = row(g.m[at], g.u, g.y, b, g.theta.wh, w, col)
					g.rm[at] = row(row(g.rm[at], g.u, g.y, b, g.dir.wh, w, col), g.u, g.ry, b, g.theta.wh, w, col)
				}
				for q := range 2 {
					v, rv := g.value(q, t, i, k)
					f := float32(kernel.Sigmoid(float64(v)))
					g.gate[q][at], g.slope[q][at] = f, f-float32(f*f)
					g.rgate[q][at] = float32(rv * g.slope[q][at])
					g.turn[q][at] = float32(1-float32(2*f)) * g.rgate[q][at]
				}
				v, rv := g.value(2, t, i, k)
				r, z, rr, rz := g.gate[0][at], g.gate[1][at], g.rgate[0][at], g.rgate[1][at]
				c := float32(kernel.Tanh(float64(float32(r*g.m[at]) + v)))
				sc := 1 - float32(c*c)
				rc := float32(float32(float32(r*g.rm[at])+float32(float32(rr*g.m[at])+rv)) * sc)
				g.gate[2][at], g.slope[2][at], g.rgate[2][at], g.turn[2][at] = c, sc, rc, float32(-2*c)*rc
				g.e[at], g.re[at] = h-c, rh-rc
				g.y[at] = float32(z*g.e[at]) + c
				g.ry[at] = float32(z*g.re[at]) + float32(float32(rz*g.e[at])+rc)
			}
		}
	}
}

func (g *gruTwin) backward() {
	for t := g.time - 1; t >= 0; t-- {
		for i := range g.n {
			for k := range g.u {
				at := g.at(t, i, k)
				dh, rdh := g.s.DY[at], g.s.RDY[at]
				if t < g.time-1 {
					next, a := g.at(t+1, i, k), g.at(t+1, i, 0)
					d, rd := [3][]float32{g.d[0], g.d[1], g.dm}, [3][]float32{g.rd[0], g.rd[1], g.rdm}
					z, rz := g.gate[1][next], g.rgate[1][next]
					dh += g.through(g.dh[next]*z, d, a, g.theta.wh, k)
					rback := g.through(float32(g.rdh[next]*z)+float32(g.dh[next]*rz), rd, a, g.theta.wh, k)
					rdh += g.through(rback, d, a, g.dir.wh, k)
				}
				g.dh[at], g.rdh[at] = dh, rdh
				g.one(at, dh, rdh)
			}
		}
	}
}

// one takes dh and rdh through the gates of one unit.
func (g *gruTwin) one(at int, dh, rdh float32) {
	r, z, m, e := g.gate[0][at], g.gate[1][at], g.m[at], g.e[at]
	rr, rz, rm, re := g.rgate[0][at], g.rgate[1][at], g.rm[at], g.re[at]
	dn := dh - float32(dh*z)
	dc := dn * g.slope[2][at]
	g.d[1][at], g.d[2][at] = float32(dh*e)*g.slope[1][at], dc
	g.d[0][at], g.dm[at] = float32(dc*m)*g.slope[0][at], dc*r
	bend := func(q int, rd, plain float32) float32 {
		return float32(rd*g.slope[q][at]) + float32(plain*g.turn[q][at])
	}
	g.rd[1][at] = bend(1, float32(rdh*e)+float32(dh*re), dh*e)
	rdc := bend(2, rdh-float32(float32(rdh*z)+float32(dh*rz)), dn)
	g.rd[2][at] = rdc
	g.rd[0][at] = bend(0, float32(rdc*m)+float32(dc*rm), dc*m)
	g.rdm[at] = float32(rdc*r) + float32(dc*rr)
}

// gradient gathers the sums for the parameters; rows are times and samples.
func (g *gruTwin) gradient(w *twin) {
	rows := g.time * g.n
	over := func(start float32, lo int, x func(row int) float32, d []float32, k int) float32 {
		var terms []term
		for r := lo; r < rows; r++ {
			terms = append(terms, term{x(r), d[r*g.u+k]})
		}
		return chain(start, terms)
	}
	one := func(int) float32 { return 1 }
	l := &gru[float32]{time: g.time, in: g.in, units: g.u}
	grad, rgrad := l.cut(w.grad), l.cut(w.rgrad)
	for q := range 3 {
		dh, rdh := g.d[q], g.rd[q]
		if q == 2 {
			dh, rdh = g.dm, g.rdm
		}
		for k := range g.u {
			col := q*g.u + k
			grad.bx[col], rgrad.bx[col] = over(0, 0, one, g.d[q], k), over(0, 0, one, g.rd[q], k)
			grad.bh[col], rgrad.bh[col] = over(0, 0, one, dh, k), over(0, 0, one, rdh, k)
			for j := range g.in {
				x, rx := func(r int) float32 { return g.s.X[r*g.in+j] }, func(r int) float32 { return g.s.RX[r*g.in+j] }
				grad.wx[j*3*g.u+col] = over(0, 0, x, g.d[q], k)
				rgrad.wx[j*3*g.u+col] = over(over(0, 0, x, g.rd[q], k), 0, rx, g.d[q], k)
			}
			for j := range g.u {
				h, rh := func(r int) float32 { return g.y[(r-g.n)*g.u+j] }, func(r int) float32 { return g.ry[(r-g.n)*g.u+j] }
				grad.wh[j*3*g.u+col] = over(0, g.n, h, dh, k)
				rgrad.wh[j*3*g.u+col] = over(over(0, g.n, h, rdh, k), g.n, rh, dh, k)
			}
		}
	}
	for r := range rows {
		for j := range g.in {
			w.dx[r*g.in+j] = g.through(0, g.d, r*g.u, g.theta.wx, j)
			w.rdx[r*g.in+j] = g.through(g.through(0, g.rd, r*g.u, g.theta.wx, j), g.d, r*g.u, g.dir.wx, j)
		}
	}
}

func TestG1_GRUHasTheBitsOfItsTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 4))
	for i := range 25 {
		time, n := 1+r.IntN(6), 1+r.IntN(6)
		in, units := 1+r.IntN(5), 1+r.IntN(9)
		switch i {
		case 0:
			time, n = 30, 11 // sums over more than one block of rows
		case 1:
			in, units, time = 300, 2, 2
		case 2:
			units, time, n = 260, 2, 1
		}
		p := runPasses(t, r, LayerSpec{Kind: "gru", Units: units}, []int{time, in}, n, 0, 0)
		g := newGRUTwin(p, time, n)
		g.forward()
		g.backward()
		w := newTwin(len(p.s.X), len(p.s.Y), len(p.theta))
		w.y, w.ry = g.y, g.ry
		g.gradient(&w)
		p.check(t, w)
	}
}
