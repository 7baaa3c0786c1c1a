package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// The twin is a second, dumb form of the layers over time and space: loops over
// coordinates that gather the terms of each sum, which chain then adds up as the
// contract says. Its float32 bits must be those of the layers.

// term is one product of a sum.
type term [2]float32

// chain is the contract's sum of terms: blocks of 256, joined level by level.
func chain(start float32, terms []term) float32 {
	var blocks []float32
	for lo := 0; lo == 0 || lo < len(terms); lo += 256 {
		acc := float32(0)
		if lo == 0 {
			acc = start
		}
		for _, t := range terms[lo:min(lo+256, len(terms))] {
			acc = kernel.FMA32(t[0], t[1], acc)
		}
		blocks = append(blocks, acc)
	}
	for len(blocks) > 1 {
		var up []float32
		for i := 0; i+1 < len(blocks); i += 2 {
			up = append(up, blocks[i]+blocks[i+1])
		}
		if len(blocks)%2 == 1 {
			up = append(up, blocks[len(blocks)-1])
		}
		blocks = up
	}
	return blocks[0]
}

// grid is what a twin knows of a window: sizes along height and width.
type grid struct {
	in, out, kernel, stride, pad, dilation [2]int
	n, cin, cout                           int
}

// each calls f for every output position, kernel tap and input position that
// belong together, taps fastest, then output positions.
func (g grid) each(f func(o, t, p int)) {
	for oy := range g.out[0] {
		for ox := range g.out[1] {
			for ky := range g.kernel[0] {
				for kx := range g.kernel[1] {
					y := oy*g.stride[0] + ky*g.dilation[0] - g.pad[0]
					x := ox*g.stride[1] + kx*g.dilation[1] - g.pad[1]
					if 0 <= y && y < g.in[0] && 0 <= x && x < g.in[1] {
						f(oy*g.out[1]+ox, ky*g.kernel[1]+kx, y*g.in[1]+x)
					}
				}
			}
		}
	}
}

// tapsOutermost is each with taps slowest.
func (g grid) tapsOutermost(f func(o, t, p int)) {
	for tap := range g.kernel[0] * g.kernel[1] {
		g.each(func(o, t, p int) {
			if t == tap {
				f(o, t, p)
			}
		})
	}
}

// sums adds up what add hands out: for each result the terms in order, starting
// from start (nil: zeros).
func sums(size int, start []float32, gather func(add func(i int, a, b float32))) []float32 {
	terms, y := make([][]term, size), make([]float32, size)
	gather(func(i int, a, b float32) { terms[i] = append(terms[i], term{a, b}) })
	for i := range y {
		s := float32(0)
		if start != nil {
			s = start[i]
		}
		y[i] = chain(s, terms[i])
	}
	return y
}

// apply is the convolution of x by w, on top of start.
func (g grid) apply(start, x, w []float32) []float32 {
	return sums(g.out[0]*g.out[1]*g.n*g.cout, start, func(add func(int, float32, float32)) {
		g.each(func(o, t, p int) {
			for s := range g.n {
				for i := range g.cin {
					for j := range g.cout {
						add((o*g.n+s)*g.cout+j, x[(p*g.n+s)*g.cin+i], w[(t*g.cin+i)*g.cout+j])
					}
				}
			}
		})
	})
}

// outer is the gradient for the weights, on top of start.
func (g grid) outer(start, x, dy []float32) []float32 {
	return sums(g.kernel[0]*g.kernel[1]*g.cin*g.cout, start, func(add func(int, float32, float32)) {
		g.each(func(o, t, p int) {
			for s := range g.n {
				for i := range g.cin {
					for j := range g.cout {
						add((t*g.cin+i)*g.cout+j, x[(p*g.n+s)*g.cin+i], dy[(o*g.n+s)*g.cout+j])
					}
				}
			}
		})
	})
}

// back is the gradient for the input, on top of start.
func (g grid) back(start, dy, w []float32) []float32 {
	return sums(g.in[0]*g.in[1]*g.n*g.cin, start, func(add func(int, float32, float32)) {
		g.tapsOutermost(func(o, t, p int) {
			for s := range g.n {
				for j := range g.cout {
					for i := range g.cin {
						add((p*g.n+s)*g.cin+i, dy[(o*g.n+s)*g.cout+j], w[(t*g.cin+i)*g.cout+j])
					}
				}
			}
		})
	})
}

// bias is the sum of dy over rows.
func (g grid) bias(dy []float32) []float32 {
	return sums(g.cout, nil, func(add func(int, float32, float32)) {
		for i, v := range dy {
			add(i%g.cout, v, 1)
		}
	})
}

// repeat is row, so often as to fill size.
func repeat(row []float32, size int) []float32 {
	var x []float32
	for len(x) < size {
		x = append(x, row...)
	}
	return x
}

// random32 has signed zeros and subnormals among its numbers.
func random32(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		switch r.IntN(12) {
		case 0:
			x[i] = float32(math.Copysign(0, float64(r.IntN(2))-0.5))
		case 1:
			x[i] = float32(r.NormFloat64()) * 0x1p-130
		default:
			x[i] = float32(r.NormFloat64())
		}
	}
	return x
}

// trial is a layer of a random spec with all it reads and writes.
type trial struct {
	spec       LayerSpec
	g          grid
	layer      Layer[float32]
	theta, dir []float32
	grad, rg   []float32
	s          Signals[float32]
}

// randomWindow draws a spec of a kind over a random shape, or nil where the two do
// not fit.
func randomWindow(r *rand.Rand, kind string, axes int) *trial {
	dims := func(lo, hi int) Dims {
		d := make(Dims, axes)
		for i := range d {
			d[i] = lo + r.IntN(hi-lo+1)
		}
		return d
	}
	in := append([]int(dims(1, 7)), 1+r.IntN(5))
	spec := LayerSpec{Kind: kind, Kernel: dims(1, 4), Stride: dims(1, 3), Padding: dims(0, 2)}
	if kind[:4] == "conv" {
		spec.Filters, spec.Dilation = 1+r.IntN(20), dims(1, 3)
		if r.IntN(8) == 0 { // more than one block
			in[axes] = 40 + r.IntN(60)
		}
		if axes == 1 && r.IntN(2) == 0 {
			spec.Causal, spec.Padding = true, nil
		}
	}
	b := &builder{m: &Model{}, at: in, named: map[string]int{}}
	if b.layer(spec) != nil {
		return nil
	}
	c := &trial{spec: spec, layer: newLayer[float32](b.m.steps[0], nil)}
	out := b.at
	wide := func(d []int, absent int) [2]int {
		if d == nil {
			d = make([]int, axes)
		}
		if axes == 1 {
			return [2]int{absent, d[0]}
		}
		return [2]int{d[0], d[1]}
	}
	c.g = grid{wide(in, 1), wide(out, 1), wide(spec.Kernel, 1), wide(spec.Stride, 1), wide(spec.Padding, 0), [2]int{1, 1}, 1 + r.IntN(9), in[axes], out[axes]}
	if spec.Dilation != nil {
		c.g.dilation = wide(spec.Dilation, 1)
	}
	if spec.Causal {
		c.g.pad[1] = spec.Dilation[0] * (spec.Kernel[0] - 1)
	}
	nx, ny := c.g.n*volume(in), c.g.n*volume(out)
	c.theta, c.dir, c.grad, c.rg = random32(r, b.m.size), random32(r, b.m.size), random32(r, b.m.size), random32(r, b.m.size)
	c.s = Signals[float32]{X: random32(r, nx), RX: random32(r, nx), DX: random32(r, nx), RDX: random32(r, nx),
		Y: random32(r, ny), RY: random32(r, ny), DY: random32(r, ny), RDY: random32(r, ny)}
	return c
}

// run does all passes.
func (c *trial) run() {
	c.layer.Forward(c.theta, c.g.n, &c.s)
	c.layer.Backward(c.theta, c.grad, c.g.n, &c.s)
	c.layer.RForward(c.theta, c.dir, c.g.n, &c.s)
	c.layer.RBackward(c.theta, c.dir, c.rg, c.g.n, &c.s)
}

func (c *trial) same(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%+v on %+v: %s has %d elements, the twin's %d", c.spec, c.g, what, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%+v on %+v: element %d of %s is %b, the twin's %b", c.spec, c.g, i, what, got[i], want[i])
		}
	}
}

func TestG1_ConvolutionHasTheBitsOfItsTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 1))
	for done := 0; done < 150; {
		axes := 1 + r.IntN(2)
		c := randomWindow(r, fmt.Sprintf("conv%dd", axes), axes)
		if c == nil {
			continue
		}
		done++
		if c.run(); t.Failed() {
			return
		}
		g, s, w := c.g, c.s, len(c.theta)-c.g.cout
		c.same(t, "Y", s.Y, g.apply(repeat(c.theta[w:], len(s.Y)), s.X, c.theta[:w]))
		c.same(t, "grad", c.grad, append(g.outer(nil, s.X, s.DY), g.bias(s.DY)...))
		c.same(t, "DX", s.DX, g.back(nil, s.DY, c.theta[:w]))
		c.same(t, "RY", s.RY, g.apply(g.apply(repeat(c.dir[w:], len(s.Y)), s.X, c.dir[:w]), s.RX, c.theta[:w]))
		c.same(t, "rgrad", c.rg, append(g.outer(g.outer(nil, s.X, s.RDY), s.RX, s.DY), g.bias(s.RDY)...))
		c.same(t, "RDX", s.RDX, g.back(g.back(nil, s.RDY, c.theta[:w]), s.DY, c.dir[:w]))
	}
}

// mean is the twin of an average pool's forward pass.
func (g grid) mean(x []float32, share []float32) []float32 {
	row := g.n * g.cin
	return sums(g.out[0]*g.out[1]*row, nil, func(add func(int, float32, float32)) {
		g.each(func(o, t, p int) {
			for e := range row {
				add(o*row+e, share[o], x[p*row+e])
			}
		})
	})
}

// meanBack is the twin of its backward pass.
func (g grid) meanBack(dy, share []float32) []float32 {
	row := g.n * g.cin
	return sums(g.in[0]*g.in[1]*row, nil, func(add func(int, float32, float32)) {
		g.tapsOutermost(func(o, t, p int) {
			for e := range row {
				add(p*row+e, share[o], dy[o*row+e])
			}
		})
	})
}

func TestG1_AveragePoolHasTheBitsOfItsTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 2))
	for done := 0; done < 100; {
		c := randomWindow(r, "avgpool", 1+r.IntN(2))
		if c == nil {
			continue
		}
		done++
		c.run()
		share := make([]float32, c.g.out[0]*c.g.out[1])
		c.g.each(func(o, t, p int) { share[o]++ })
		for o := range share {
			share[o] = 1 / share[o]
		}
		c.same(t, "Y", c.s.Y, c.g.mean(c.s.X, share))
		c.same(t, "RY", c.s.RY, c.g.mean(c.s.RX, share))
		c.same(t, "DX", c.s.DX, c.g.meanBack(c.s.DY, share))
		c.same(t, "RDX", c.s.RDX, c.g.meanBack(c.s.RDY, share))
	}
}

func TestG1_MaxPoolHasTheBitsOfItsTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 3))
	for done := 0; done < 150; {
		c := randomWindow(r, "maxpool", 1+r.IntN(2))
		if c == nil {
			continue
		}
		done++
		for i := range c.s.X { // many equals, among them zeros of either sign
			if r.IntN(2) == 0 {
				c.s.X[i] = float32(math.Copysign(float64(r.IntN(2)), float64(r.IntN(2))-0.5))
			}
		}
		c.run()
		row, size := c.g.n*c.g.cin, len(c.s.X)
		y, ry := make([]float32, len(c.s.Y)), make([]float32, len(c.s.Y))
		won := make([][2]int, len(y)) // tap + 1 and position
		c.g.each(func(o, t, p int) {
			for e := range row {
				if x := c.s.X[p*row+e]; won[o*row+e][0] == 0 || x > y[o*row+e] {
					y[o*row+e], ry[o*row+e], won[o*row+e] = x, c.s.RX[p*row+e], [2]int{t + 1, p}
				}
			}
		})
		back := func(dy []float32) []float32 {
			dx := make([]float32, size)
			c.g.tapsOutermost(func(o, t, p int) {
				for e := range row {
					if won[o*row+e] == [2]int{t + 1, p} {
						dx[p*row+e] += dy[o*row+e]
					}
				}
			})
			return dx
		}
		c.same(t, "Y", c.s.Y, y)
		c.same(t, "RY", c.s.RY, ry)
		c.same(t, "DX", c.s.DX, back(c.s.DY))
		c.same(t, "RDX", c.s.RDX, back(c.s.RDY))
	}
}

// What conv2d makes of its shape is checked by what fits: the last window lies on
// the padded input, one more would not.
func TestWindowsFillTheInput(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 4))
	for range 500 {
		c := randomWindow(r, "conv2d", 2)
		if c == nil {
			continue
		}
		for i := range 2 {
			reach := c.g.dilation[i]*(c.g.kernel[i]-1) + 1
			room := c.g.in[i] + 2*c.g.pad[i]
			if end := (c.g.out[i]-1)*c.g.stride[i] + reach; end > room || end+c.g.stride[i] <= room {
				t.Errorf("%+v: windows of %d end at %d of %d", c.spec, reach, end, room)
			}
		}
	}
}
