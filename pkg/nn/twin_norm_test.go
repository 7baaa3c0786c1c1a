package nn

import (
	"math"
	"math/rand/v2"
	"testing"
)

// passes is one layer in float32 with random signals, after all four passes.
type passes struct {
	spec                 LayerSpec
	rows, c              int // of X
	theta, dir, grad, rg []float32
	s                    Signals[float32]
}

func runPasses(t *testing.T, r *rand.Rand, spec LayerSpec, in []int, n, innerSteps, step int) *passes {
	t.Helper()
	b := &builder{m: &Model{config: Config{InnerSteps: innerSteps}}, at: in, named: map[string]int{}}
	if err := b.layer(spec); err != nil {
		t.Fatal(err)
	}
	nx, ny := n*volume(in), n*volume(b.at)
	p := &passes{spec: spec, rows: nx / in[len(in)-1], c: in[len(in)-1]}
	p.theta, p.dir, p.grad, p.rg = random32(r, b.m.size), random32(r, b.m.size), random32(r, b.m.size), random32(r, b.m.size)
	p.s = Signals[float32]{X: random32(r, nx), RX: random32(r, nx), DX: random32(r, nx), RDX: random32(r, nx),
		Y: random32(r, ny), RY: random32(r, ny), DY: random32(r, ny), RDY: random32(r, ny), Step: step}
	for _, q := range b.m.params {
		if q.Track {
			for i := range q.Size() {
				p.theta[q.Offset+i] = 1 + p.theta[q.Offset+i]*p.theta[q.Offset+i]
			}
		}
	}
	l := newLayer[float32](b.m.steps[0], nil)
	l.Forward(p.theta, n, &p.s)
	l.Backward(p.theta, p.grad, n, &p.s)
	l.RForward(p.theta, p.dir, n, &p.s)
	l.RBackward(p.theta, p.dir, p.rg, n, &p.s)
	return p
}

// twin are the results of a layer's twin, in the layer's order.
type twin struct{ y, dx, ry, rdx, grad, rgrad []float32 }

func newTwin(x, y, theta int) twin {
	return twin{make([]float32, y), make([]float32, x), make([]float32, y), make([]float32, x), make([]float32, theta), make([]float32, theta)}
}

func (p *passes) check(t *testing.T, w twin) {
	t.Helper()
	for _, c := range []struct {
		what      string
		got, want []float32
	}{{"Y", p.s.Y, w.y}, {"grad", p.grad, w.grad}, {"DX", p.s.DX, w.dx}, {"RY", p.s.RY, w.ry}, {"rgrad", p.rg, w.rgrad}, {"RDX", p.s.RDX, w.rdx}} {
		if len(c.got) != len(c.want) {
			t.Fatalf("%+v: %s has %d elements, the twin's %d", p.spec, c.what, len(c.got), len(c.want))
		}
		for i := range c.got {
			if math.Float32bits(c.got[i]) != math.Float32bits(c.want[i]) {
				t.Fatalf("%+v of %d rows, %d channels: element %d of %s is %b, the twin's %b", p.spec, p.rows, p.c, i, c.what, c.got[i], c.want[i])
			}
		}
	}
}

// sum and dot are chains over i < n.
func sum(n int, f func(i int) float32) float32 {
	return dot(n, func(i int) (float32, float32) { return 1, f(i) })
}

func dot(n int, f func(i int) (float32, float32)) float32 {
	terms := make([]term, n)
	for i := range terms {
		terms[i][0], terms[i][1] = f(i)
	}
	return chain(0, terms)
}

// whitened is the twin of whiten on n numbers.
func whitened(n int, eps float32, x func(i int) float32) (xh []float32, inv float32) {
	mean := sum(n, x) / float32(n)
	xh = make([]float32, n)
	for i := range xh {
		xh[i] = x(i) - mean
	}
	v := dot(n, func(i int) (float32, float32) { return xh[i], xh[i] }) / float32(n)
	inv = 1 / float32(math.Sqrt(float64(float32(v+eps))))
	for i := range xh {
		xh[i] *= inv
	}
	return xh, inv
}

// batchTwin is the twin of batchNorm, a channel at a time.
func batchTwin(p *passes) twin {
	w, n, c, s := newTwin(len(p.s.X), len(p.s.Y), len(p.theta)), p.rows, p.c, &p.s
	sets := len(p.theta) / (2 * c)
	set := min(s.Step, sets-1) * c
	for j := range c {
		g, b := set+j, sets*c+set+j
		xh, inv := whitened(n, p.spec.Eps, func(i int) float32 { return s.X[i*c+j] })
		w.grad[b] = sum(n, func(i int) float32 { return s.DY[i*c+j] })
		w.grad[g] = dot(n, func(i int) (float32, float32) { return s.DY[i*c+j], xh[i] })
		rmean := sum(n, func(i int) float32 { return s.RX[i*c+j] }) / float32(n)
		q := dot(n, func(i int) (float32, float32) { return s.RX[i*c+j], xh[i] }) / float32(n)
		rxh := make([]float32, n)
		for i := range n {
			rxh[i] = float32(float32(s.RX[i*c+j]-rmean)-float32(xh[i]*q)) * inv
		}
		w.rgrad[b] = sum(n, func(i int) float32 { return s.RDY[i*c+j] })
		w.rgrad[g] = dot(n, func(i int) (float32, float32) { return s.RDY[i*c+j], xh[i] })
		w.rgrad[g] += dot(n, func(i int) (float32, float32) { return s.DY[i*c+j], rxh[i] })
		scale := p.theta[g] * inv
		rscale := float32(p.dir[g]*inv) - float32(scale*float32(inv*q))
		for i := range n {
			at := i*c + j
			w.y[at] = float32(xh[i]*p.theta[g]) + p.theta[b]
			w.ry[at] = float32(float32(xh[i]*p.dir[g])+p.dir[b]) + float32(rxh[i]*p.theta[g])
			rest := float32(s.DY[at]-w.grad[b]/float32(n)) - float32(xh[i]*(w.grad[g]/float32(n)))
			w.dx[at] = rest * scale
			rrest := float32(s.RDY[at]-w.rgrad[b]/float32(n)) - float32(xh[i]*(w.rgrad[g]/float32(n)))
			rrest -= float32(rxh[i] * (w.grad[g] / float32(n)))
			w.rdx[at] = float32(rrest*scale) + float32(rest*rscale)
		}
	}
	return w
}

func TestG1_BatchNormHasTheBitsOfItsTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 1))
	for i := range 60 {
		in := []int{1 + r.IntN(70)}
		if i%2 == 0 {
			in = []int{1 + r.IntN(9), 1 + r.IntN(9), 1 + r.IntN(20)} // up to 729 rows: more than one block
		}
		spec := LayerSpec{Kind: "batchnorm", Eps: []float32{1e-3, 0.5}[r.IntN(2)], PerStep: r.IntN(2) == 0}
		p := runPasses(t, r, spec, in, 1+r.IntN(9), 2, r.IntN(5))
		p.check(t, batchTwin(p))
	}
}

func TestG1_StoredNormHasTheBitsOfItsTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 2))
	for range 40 {
		spec := LayerSpec{Kind: "batchnorm", Eps: 0.1, Statistics: "stored", PerStep: r.IntN(2) == 0}
		p := runPasses(t, r, spec, []int{1 + r.IntN(100), 1 + r.IntN(40)}, 1+r.IntN(9), 2, r.IntN(5))
		w, n, c, s := newTwin(len(p.s.X), len(p.s.Y), len(p.theta)), p.rows, p.c, &p.s
		all := len(p.theta) / 4
		for j := range c {
			g := min(s.Step, all/c-1)*c + j
			mean, v := p.theta[2*all+g], p.theta[3*all+g]
			inv := 1 / float32(math.Sqrt(float64(v+0.1)))
			seen := sum(n, func(i int) float32 { return s.X[i*c+j] }) / float32(n)
			w.grad[2*all+g] = mean - seen
			w.grad[3*all+g] = v - dot(n, func(i int) (float32, float32) { return s.X[i*c+j] - seen, s.X[i*c+j] - seen })/float32(n)
			xh := func(i int) float32 { return float32(s.X[i*c+j]-mean) * inv }
			w.grad[all+g] = sum(n, func(i int) float32 { return s.DY[i*c+j] })
			w.grad[g] = dot(n, func(i int) (float32, float32) { return s.DY[i*c+j], xh(i) })
			w.rgrad[all+g] = sum(n, func(i int) float32 { return s.RDY[i*c+j] })
			w.rgrad[g] = dot(n, func(i int) (float32, float32) { return s.RDY[i*c+j], xh(i) })
			w.rgrad[g] += dot(n, func(i int) (float32, float32) { return s.DY[i*c+j], s.RX[i*c+j] * inv })
			for i := range n {
				at := i*c + j
				w.y[at] = float32(xh(i)*p.theta[g]) + p.theta[all+g]
				w.ry[at] = float32(float32(xh(i)*p.dir[g])+p.dir[all+g]) + float32(float32(s.RX[at]*inv)*p.theta[g])
				w.dx[at] = s.DY[at] * float32(p.theta[g]*inv)
				w.rdx[at] = float32(s.RDY[at]*float32(p.theta[g]*inv)) + float32(s.DY[at]*float32(p.dir[g]*inv))
			}
		}
		p.check(t, w)
	}
}

// layerTwin is the twin of layerNorm, a row at a time.
func layerTwin(p *passes) twin {
	w, n, c, s := newTwin(len(p.s.X), len(p.s.Y), len(p.theta)), p.rows, p.c, &p.s
	gamma, beta, vg, vb := p.theta[:c], p.theta[c:], p.dir[:c], p.dir[c:]
	xhs, rxhs := make([]float32, n*c), make([]float32, n*c)
	for i := range n {
		row := i * c
		xh, inv := whitened(c, p.spec.Eps, func(j int) float32 { return s.X[row+j] })
		over := func(f func(j int) (float32, float32)) float32 { return dot(c, f) }
		rmean := sum(c, func(j int) float32 { return s.RX[row+j] }) / float32(c)
		q := over(func(j int) (float32, float32) { return s.RX[row+j], xh[j] }) / float32(c)
		u, ru, rxh := make([]float32, c), make([]float32, c), rxhs[row:][:c]
		for j := range c {
			rxh[j] = float32(float32(s.RX[row+j]-rmean)-float32(xh[j]*q)) * inv
			u[j] = s.DY[row+j] * gamma[j]
			ru[j] = float32(s.RDY[row+j]*gamma[j]) + float32(s.DY[row+j]*vg[j])
		}
		copy(xhs[row:], xh)
		a, b := sum(c, func(j int) float32 { return u[j] })/float32(c), over(func(j int) (float32, float32) { return u[j], xh[j] })/float32(c)
		ra := sum(c, func(j int) float32 { return ru[j] }) / float32(c)
		rb := over(func(j int) (float32, float32) { return ru[j], xh[j] })
		rb = (rb + over(func(j int) (float32, float32) { return u[j], rxh[j] })) / float32(c)
		rinv := inv * float32(inv*q)
		for j := range c {
			at := row + j
			w.y[at] = float32(xh[j]*gamma[j]) + beta[j]
			w.ry[at] = float32(float32(xh[j]*vg[j])+vb[j]) + float32(rxh[j]*gamma[j])
			rest := float32(u[j]-a) - float32(xh[j]*b)
			w.dx[at] = rest * inv
			rrest := float32(float32(ru[j]-ra)-float32(xh[j]*rb)) - float32(rxh[j]*b)
			w.rdx[at] = float32(rrest*inv) - float32(rest*rinv)
		}
	}
	for j := range c {
		w.grad[c+j] = sum(n, func(i int) float32 { return s.DY[i*c+j] })
		w.grad[j] = dot(n, func(i int) (float32, float32) { return s.DY[i*c+j], xhs[i*c+j] })
		w.rgrad[c+j] = sum(n, func(i int) float32 { return s.RDY[i*c+j] })
		w.rgrad[j] = dot(n, func(i int) (float32, float32) { return s.RDY[i*c+j], xhs[i*c+j] })
		w.rgrad[j] += dot(n, func(i int) (float32, float32) { return s.DY[i*c+j], rxhs[i*c+j] })
	}
	return w
}

func TestG1_LayerNormHasTheBitsOfItsTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 3))
	for i := range 60 {
		in := []int{1 + r.IntN(600)} // channels of more than one block
		if i%2 == 0 {
			in = []int{1 + r.IntN(40), 1 + r.IntN(30)}
		}
		p := runPasses(t, r, LayerSpec{Kind: "layernorm", Eps: []float32{1e-5, 0.5}[r.IntN(2)]}, in, 1+r.IntN(9), 0, 0)
		p.check(t, layerTwin(p))
	}
}
