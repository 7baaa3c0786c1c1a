package learner

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// twin is second-order MAML with learned rates on a relu network with a skip, in
// float32, one number at a time and read off the contract. It shares FMA32 with
// the package, and nothing else.
type twin struct {
	widths []int // inputs of each dense layer, and the outputs at the end
	in     int
	skip   bool
}

// chain sums n products by the rule for an inner index (n is below 256 here).
func chain(from float32, n int, term func(i int) (a, b float32)) float32 {
	for i := range n {
		a, b := term(i)
		from = kernel.FMA32(a, b, from)
	}
	return from
}

// grid makes the numbers [n][m] of f.
func grid(n, m int, f func(i, j int) float32) [][]float32 {
	g := make([][]float32, n)
	for i := range g {
		g[i] = make([]float32, m)
		for j := range g[i] {
			g[i][j] = f(i, j)
		}
	}
	return g
}

// layer cuts weights and bias of layer l out of a parameter vector.
func (w twin) layer(theta []float32, l int) (weight func(i, o int) float32, bias func(o int) float32, at int) {
	for k := range l {
		at += (w.widths[k] + 1) * w.out(k)
	}
	in, out, lo := w.widths[l], w.out(l), at
	return func(i, o int) float32 { return theta[lo+i*out+o] }, func(o int) float32 { return theta[lo+in*out+o] }, at
}

// out is the number of outputs of layer l: the next one's inputs less the skip.
func (w twin) out(l int) int {
	if w.skip && l == len(w.widths)-3 {
		return w.widths[l+1] - w.in
	}
	return w.widths[l+1]
}

// passes returns the loss, its gradient and its Hessian times v (nil: not done).
func (w twin) passes(theta, v []float32, b Batch[float32]) (loss float32, g, hv []float32) {
	layers := len(w.widths) - 1
	x := make([][][]float32, layers+1)
	rx := make([][][]float32, layers+1)
	x[0] = grid(b.N, w.in, func(s, i int) float32 { return b.X[s*w.in+i] })
	rx[0] = grid(b.N, w.in, func(s, i int) float32 { return 0 })
	for l := range layers {
		weight, bias, _ := w.layer(theta, l)
		in, out, last := w.widths[l], w.out(l), l == layers-1
		z := grid(b.N, out, func(s, o int) float32 {
			return chain(bias(o), in, func(i int) (float32, float32) { return x[l][s][i], weight(i, o) })
		})
		rz := z
		if v != nil {
			vw, vb, _ := w.layer(v, l)
			rz = grid(b.N, out, func(s, o int) float32 {
				r := chain(vb(o), in, func(i int) (float32, float32) { return x[l][s][i], vw(i, o) })
				if l == 0 {
					return r
				}
				return chain(r, in, func(i int) (float32, float32) { return rx[l][s][i], weight(i, o) })
			})
		}
		x[l+1] = grid(b.N, w.widths[l+1], func(s, i int) float32 {
			if i >= out {
				return b.X[s*w.in+i-out]
			}
			if !last && 0 > z[s][i] {
				return 0
			}
			return z[s][i]
		})
		rx[l+1] = grid(b.N, w.widths[l+1], func(s, i int) float32 {
			if i >= out || !last && !(z[s][i] > 0) {
				return 0
			}
			return rz[s][i]
		})
	}
	nout := w.widths[layers]
	r := grid(b.N, nout, func(s, o int) float32 { return x[layers][s][o] - b.Y[s*nout+o] })
	loss = chain(0, b.N*nout, func(k int) (float32, float32) { return b.W[k/nout], r[k/nout][k%nout] * r[k/nout][k%nout] })
	dy := grid(b.N, nout, func(s, o int) float32 { return b.W[s] * (2 * r[s][o]) })
	rdy := grid(b.N, nout, func(s, o int) float32 { return b.W[s] * 2 * rx[layers][s][o] })
	g, hv = make([]float32, len(theta)), make([]float32, len(theta))
	for l := layers - 1; l >= 0; l-- {
		weight, _, at := w.layer(theta, l)
		in, out := w.widths[l], w.out(l)
		for i := range in {
			for o := range out {
				g[at+i*out+o] = chain(0, b.N, func(s int) (float32, float32) { return x[l][s][i], dy[s][o] })
				h := chain(0, b.N, func(s int) (float32, float32) { return x[l][s][i], rdy[s][o] })
				if l > 0 {
					h = chain(h, b.N, func(s int) (float32, float32) { return rx[l][s][i], dy[s][o] })
				}
				hv[at+i*out+o] = h
			}
		}
		for o := range out {
			g[at+in*out+o] = chain(0, b.N, func(s int) (float32, float32) { return 1, dy[s][o] })
			hv[at+in*out+o] = chain(0, b.N, func(s int) (float32, float32) { return 1, rdy[s][o] })
		}
		if l == 0 {
			break
		}
		gate := func(s, i int, y float32) float32 {
			if x[l][s][i] > 0 {
				return y
			}
			return 0
		}
		dx := grid(b.N, w.out(l-1), func(s, i int) float32 {
			return gate(s, i, chain(0, out, func(o int) (float32, float32) { return dy[s][o], weight(i, o) }))
		})
		if v != nil {
			vw, _, _ := w.layer(v, l)
			rdy = grid(b.N, w.out(l-1), func(s, i int) float32 {
				h := chain(0, out, func(o int) (float32, float32) { return rdy[s][o], weight(i, o) })
				return gate(s, i, chain(h, out, func(o int) (float32, float32) { return dy[s][o], vw(i, o) }))
			})
		} else {
			rdy = dx
		}
		dy = dx
	}
	return loss, g, hv
}

// gradient is the recursion of the design; rates are theta's tail [K][layers].
func (w twin) gradient(theta []float32, size, steps int, task Task[float32]) (loss float32, grad []float32) {
	layers := len(w.widths) - 1
	rate := func(k, i int) (float32, int) {
		l := layers - 1
		for ; l > 0; l-- {
			if _, _, at := w.layer(theta, l); i >= at {
				break
			}
		}
		return theta[size+k*layers+l], l
	}
	at, gs := [][]float32{theta[:size]}, [][]float32{}
	for k := range steps {
		_, g, _ := w.passes(at[k], nil, task.Support)
		next := make([]float32, size)
		for i := range next {
			a, _ := rate(k, i)
			step := float32(a * g[i]) // arm64 fuses what is not converted
			next[i] = at[k][i] - step
		}
		at, gs = append(at, next), append(gs, g)
	}
	loss, lambda, _ := w.passes(at[steps], nil, task.Query)
	grad = make([]float32, len(theta))
	for k := steps - 1; k >= 0; k-- {
		v := make([]float32, size)
		lanes := make([][16]float32, layers)
		seen := make([]int, layers)
		for i := range v {
			a, l := rate(k, i)
			v[i] = a * lambda[i]
			c := &lanes[l][seen[l]%16]
			*c = kernel.FMA32(lambda[i], gs[k][i], *c)
			seen[l]++
		}
		for l := range layers {
			x := lanes[l][:]
			for ; len(x) > 1; x = x[:len(x)/2] {
				for i := range len(x) / 2 {
					x[i] = x[2*i] + x[2*i+1]
				}
			}
			grad[size+k*layers+l] = -x[0]
		}
		_, _, hv := w.passes(at[k], v, task.Support)
		for i := range lambda {
			lambda[i] -= hv[i]
		}
	}
	copy(grad, lambda)
	return loss, grad
}

func TestG1_MAMLHasTheBitsOfItsTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for _, c := range []struct {
		net nn.Config
		w   twin
		out int
	}{
		{nn.Config{Name: "mlp", Hidden: []int{40, 40}}, twin{[]int{1, 40, 40, 1}, 1, false}, 1},
		{nn.Config{Name: "mlp", Hidden: []int{19, 7}, Skip: true}, twin{[]int{3, 19, 10, 2}, 3, true}, 2},
		{nn.Config{Name: "mlp"}, twin{[]int{5, 3}, 5, false}, 3},
	} {
		for _, k := range []int{1, 2, 5} {
			l, task := setup[float32](t, r, Config{Name: "maml", Steps: k, Rate: 0.05, LearnRates: true}, c.net, c.w.in, c.out, 10)
			theta, grad := start(r, l), make([]float32, l.NumParams())
			loss, err := l.Gradient(theta, &task, grad)
			if err != nil {
				t.Fatal(err)
			}
			size := l.NumParams() - k*(len(c.w.widths)-1)
			wantLoss, want := c.w.gradient(theta, size, k, task)
			if loss != wantLoss {
				t.Errorf("%+v K=%d: loss %b, the twin's %b", c.net, k, loss, wantLoss)
			}
			for i := range want {
				if math.Float32bits(grad[i]) != math.Float32bits(want[i]) {
					t.Fatalf("%+v K=%d: element %d is %b, the twin's %b", c.net, k, i, grad[i], want[i])
				}
			}
		}
	}
}
