package learner

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// classTwin is protonet and ridge under softmax on a network of one relu layer,
// in float32, one number at a time and read off the contract. It shares FMA32,
// Exp and Log with the package, and nothing else. Sums are below one block.
type classTwin struct{ in, h, ways int }

// cut returns the parts of theta: the hidden layer's weights and biases, the
// head's, and the rest.
func (w classTwin) cut(theta []float32) (w1, b1, wh, bh, own []float32) {
	at := 0
	next := func(n int) []float32 { at += n; return theta[at-n : at] }
	return next(w.in * w.h), next(w.h), next(w.h * w.ways), next(w.ways), theta[at:]
}

func (w classTwin) hidden(theta []float32, b Batch[float32]) [][]float32 {
	w1, b1, _, _, _ := w.cut(theta)
	return grid(b.N, w.h, func(s, o int) float32 {
		z := chain(b1[o], w.in, func(i int) (float32, float32) { return b.X[s*w.in+i], w1[i*w.h+o] })
		if 0 > z {
			return 0
		}
		return z
	})
}

// outputs are those of the head wh, bh on features.
func (w classTwin) outputs(phi [][]float32, wh, bh []float32) [][]float32 {
	return grid(len(phi), w.ways, func(s, k int) float32 {
		return chain(bh[k], w.h, func(j int) (float32, float32) { return phi[s][j], wh[j*w.ways+k] })
	})
}

// entropy is softmax cross-entropy, with its gradient.
func (w classTwin) entropy(y [][]float32, b Batch[float32]) (loss float32, dy [][]float32) {
	for i, row := range y {
		m := row[0]
		for _, v := range row {
			m = max(m, v)
		}
		e := make([]float32, w.ways)
		for k, v := range row {
			e[k] = float32(kernel.Exp(float64(v - m)))
		}
		total := chain(0, w.ways, func(k int) (float32, float32) { return 1, e[k] })
		log := float32(kernel.Log(float64(total)))
		t := b.Y[i*w.ways:][:w.ways]
		mass := chain(0, w.ways, func(k int) (float32, float32) { return 1, t[k] })
		d := make([]float32, w.ways)
		for k, v := range row {
			away := v - m
			term := log - away
			loss = kernel.FMA32(b.W[i], float32(t[k]*term), loss)
			p := e[k] / total
			d[k] = b.W[i] * (float32(mass*p) - t[k])
		}
		dy = append(dy, d)
	}
	return loss, dy
}

// head is the gradient for a head from that for the outputs.
func (w classTwin) headGradient(phi, dy [][]float32) (gw, gb []float32) {
	gw, gb = make([]float32, w.h*w.ways), make([]float32, w.ways)
	for k := range w.ways {
		for j := range w.h {
			gw[j*w.ways+k] = chain(0, len(phi), func(s int) (float32, float32) { return phi[s][j], dy[s][k] })
		}
		gb[k] = chain(0, len(phi), func(s int) (float32, float32) { return 1, dy[s][k] })
	}
	return gw, gb
}

// body is the gradient for the hidden layer from that for the features.
func (w classTwin) body(b Batch[float32], phi [][]float32, dphi func(s, j int) float32) []float32 {
	dz := grid(b.N, w.h, func(s, j int) float32 {
		if phi[s][j] > 0 {
			return dphi(s, j)
		}
		return 0
	})
	g := make([]float32, (w.in+1)*w.h)
	for o := range w.h {
		for i := range w.in {
			g[i*w.h+o] = chain(0, b.N, func(s int) (float32, float32) { return b.X[s*w.in+i], dz[s][o] })
		}
		g[w.in*w.h+o] = chain(0, b.N, func(s int) (float32, float32) { return 1, dz[s][o] })
	}
	return g
}

func (w classTwin) protonet(theta []float32, task Task[float32]) (float32, []float32) {
	s, q := task.Support, task.Query
	phi, phiQ := w.hidden(theta, s), w.hidden(theta, q)
	a := grid(s.N, w.ways, func(i, k int) float32 {
		total := chain(0, s.N, func(l int) (float32, float32) { return 1, s.W[l] * s.Y[l*w.ways+k] })
		return s.W[i] * s.Y[i*w.ways+k] / total
	})
	wh, bh := make([]float32, w.h*w.ways), make([]float32, w.ways)
	for k := range w.ways {
		for j := range w.h {
			wh[j*w.ways+k] = chain(0, s.N, func(i int) (float32, float32) { return phi[i][j], a[i][k] })
		}
		bh[k] = -chain(0, w.h, func(j int) (float32, float32) { return wh[j*w.ways+k], wh[j*w.ways+k] })
	}
	for i := range wh {
		wh[i] *= 2
	}
	loss, dy := w.entropy(w.outputs(phiQ, wh, bh), q)
	gw, gb := w.headGradient(phiQ, dy)
	fromQ := w.body(q, phiQ, func(s, j int) float32 {
		return chain(0, w.ways, func(k int) (float32, float32) { return wh[j*w.ways+k], dy[s][k] })
	})
	fromS := w.body(s, phi, func(i, j int) float32 {
		return chain(0, w.ways, func(k int) (float32, float32) {
			return a[i][k], float32(2*gw[j*w.ways+k]) - float32(wh[j*w.ways+k]*gb[k])
		})
	})
	grad := make([]float32, len(theta))
	for i := range fromQ {
		grad[i] = fromQ[i] + fromS[i]
	}
	return loss, grad
}

// solveTwin solves M x = b for symmetric positive definite M, by Cholesky.
func solveTwin(m, b [][]float32) [][]float32 {
	n, cols := len(m), len(b[0])
	u := grid(n, n, func(i, j int) float32 { return 0 })
	for i := range n {
		for j := i; j < n; j++ {
			u[i][j] = m[i][j] - chain(0, i, func(k int) (float32, float32) { return u[k][i], u[k][j] })
			if i == j {
				u[i][i] = float32(math.Sqrt(float64(u[i][i])))
			} else {
				u[i][j] /= u[i][i]
			}
		}
	}
	x := grid(n, cols, func(i, j int) float32 { return b[i][j] })
	for o := range cols {
		for i := range n {
			x[i][o] = (x[i][o] - chain(0, i, func(k int) (float32, float32) { return u[k][i], x[k][o] })) / u[i][i]
		}
		for i := n - 1; i >= 0; i-- {
			after := chain(0, n-1-i, func(k int) (float32, float32) { return u[i][i+1+k], x[i+1+k][o] })
			x[i][o] = (x[i][o] - after) / u[i][i]
		}
	}
	return x
}

// product is x y, or x^T y.
func product(x, y [][]float32, transposed bool) [][]float32 {
	if transposed {
		return grid(len(x[0]), len(y[0]), func(i, j int) float32 {
			return chain(0, len(x), func(k int) (float32, float32) { return x[k][i], y[k][j] })
		})
	}
	return grid(len(x), len(y[0]), func(i, j int) float32 {
		return chain(0, len(y), func(k int) (float32, float32) { return x[i][k], y[k][j] })
	})
}

func (w classTwin) ridge(theta []float32, task Task[float32]) (float32, []float32) {
	s, q := task.Support, task.Query
	f := w.h + 1
	_, _, wh, bh, own := w.cut(theta)
	phi, phiQ := w.hidden(theta, s), w.hidden(theta, q)
	d := make([]float32, f)
	for j := range d {
		d[j] = float32(kernel.Exp(float64(own[j]) * -5))
	}
	total := chain(0, s.N, func(i int) (float32, float32) { return s.W[i], 1 })
	sw := make([]float32, s.N)
	for i := range sw {
		sw[i] = float32(math.Sqrt(float64(float32(s.W[i] * (float32(s.N) / total)))))
	}
	a := grid(s.N, f, func(i, j int) float32 {
		if j == w.h {
			return sw[i] * d[j]
		}
		return float32(sw[i]*phi[i][j]) * d[j]
	})
	y := w.outputs(phi, wh, bh)
	r := grid(s.N, w.ways, func(i, k int) float32 { return (s.Y[i*w.ways+k] - y[i][k]) * sw[i] })
	identity := func(m [][]float32) [][]float32 {
		for i := range m {
			m[i][i]++
		}
		return m
	}
	aT := grid(f, s.N, func(i, j int) float32 { return a[j][i] })
	primal := f <= s.N
	var e, z [][]float32
	if primal {
		z = solveTwin(identity(product(aT, a, false)), product(aT, r, false))
		az := product(a, z, false)
		e = grid(s.N, w.ways, func(i, k int) float32 { return r[i][k] - az[i][k] })
	} else {
		e = solveTwin(identity(product(a, aT, false)), r)
		z = product(aT, e, false)
	}
	// The head, its logits, and back.
	w0 := grid(f, w.ways, func(j, k int) float32 {
		if j == w.h {
			return bh[k]
		}
		return wh[j*w.ways+k]
	})
	head := grid(f, w.ways, func(j, k int) float32 { return w0[j][k] + float32(d[j]*z[j][k]) })
	scale := float32(kernel.Exp(float64(own[f]) * 10))
	foldW, foldB := make([]float32, w.h*w.ways), make([]float32, w.ways)
	for k := range w.ways {
		for j := range w.h {
			foldW[j*w.ways+k] = scale * head[j][k]
		}
		foldB[k] = float32(scale*head[w.h][k]) + own[f+1]
	}
	loss, dy := w.entropy(w.outputs(phiQ, foldW, foldB), q)
	gw, gb := w.headGradient(phiQ, dy)
	fromQ := w.body(q, phiQ, func(s, j int) float32 {
		return chain(0, w.ways, func(k int) (float32, float32) { return foldW[j*w.ways+k], dy[s][k] })
	})
	var lanes [16]float32
	for i, g := range append(append([]float32(nil), gw...), gb...) {
		lanes[i%16] = kernel.FMA32(g, head[i/w.ways][i%w.ways], lanes[i%16])
	}
	x := lanes[:]
	for ; len(x) > 1; x = x[:len(x)/2] {
		for i := range len(x) / 2 {
			x[i] = x[2*i] + x[2*i+1]
		}
	}
	g := grid(f, w.ways, func(j, k int) float32 {
		if j == w.h {
			return scale * gb[k]
		}
		return scale * gw[j*w.ways+k]
	})
	// The adjoint of the solution.
	dg := grid(f, w.ways, func(j, k int) float32 { return d[j] * g[j][k] })
	var u, b [][]float32
	if primal {
		u = solveTwin(identity(product(aT, a, false)), dg)
		b = product(a, u, false)
	} else {
		b = solveTwin(identity(product(a, aT, false)), product(a, dg, false))
		back := product(aT, b, false)
		u = grid(f, w.ways, func(j, k int) float32 { return dg[j][k] - back[j][k] })
	}
	grad := make([]float32, len(theta))
	back := product(aT, b, false)
	for j := range f {
		for k := range w.ways {
			grad[(w.in+1)*w.h+j*w.ways+k] = g[j][k] - back[j][k]/d[j]
		}
		grad[len(theta)-2-f+j] = -10 * chain(0, w.ways, func(k int) (float32, float32) { return z[j][k], u[j][k] })
	}
	fromS := w.body(s, phi, func(i, j int) float32 {
		p := chain(0, w.ways, func(k int) (float32, float32) { return e[i][k], u[j][k] * d[j] })
		p = chain(p, w.ways, func(k int) (float32, float32) { return -b[i][k], d[j] * z[j][k] })
		p = chain(p, w.ways, func(k int) (float32, float32) { return -b[i][k], w0[j][k] })
		return sw[i] * p
	})
	for i := range fromQ {
		grad[i] = fromQ[i] + fromS[i]
	}
	grad[len(theta)-2] = float32(10*scale) * x[0]
	return loss, grad
}

func TestG1_ClassLearnersHaveTheBitsOfTheirTwin(t *testing.T) {
	w := classTwin{3, 9, 4}
	net := nn.Config{Name: "mlp", Hidden: []int{w.h}}
	for _, c := range []Config{{Name: "protonet"}, {Name: "ridge", OuterLoss: "softmax", Precision: 0.5}} {
		for _, shots := range []int{1, 2, 3, 7} { // ridge: both forms
			r := rand.New(rand.NewPCG(51, uint64(shots)))
			l, task := classTask[float32](t, r, c, net, w.in, w.ways, shots)
			theta, grad := start(r, l), make([]float32, l.NumParams())
			loss, err := l.Gradient(theta, &task, grad)
			if err != nil {
				t.Fatal(err)
			}
			wantLoss, want := w.protonet(theta, task)
			if c.Name == "ridge" {
				wantLoss, want = w.ridge(theta, task)
			}
			if loss != wantLoss {
				t.Errorf("%s, %d shots: loss %b, the twin's %b", c.Name, shots, loss, wantLoss)
			}
			for i := range want {
				if grad[i] != want[i] { // -0 is as good as 0 here
					t.Fatalf("%s, %d shots: element %d of %d is %b, the twin's %b", c.Name, shots, i, len(want), grad[i], want[i])
				}
			}
		}
	}
}
