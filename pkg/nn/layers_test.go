package nn

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// bench is one layer on its own: y is a function of theta and x, and the scalar
// that is differentiated is the sum of a smooth function of y, so that the
// gradient for y changes with y.
type bench struct {
	l        Layer[float64]
	size, n  int
	step     int
	in, out  int
	tracked  int // elements at the end of theta that are statistics
	u, theta []float64
	x        []float64
}

// newBench takes the first layer of a model built of one spec.
func newBench(t *testing.T, r *rand.Rand, spec LayerSpec, in []int, n, innerSteps, step int) *bench {
	t.Helper()
	b := &builder{m: &Model{config: Config{InnerSteps: innerSteps}}, at: in, named: map[string]int{}}
	if err := b.layer(spec); err != nil {
		t.Fatal(err)
	}
	s := b.m.steps[0]
	k := &bench{l: newLayer[float64](s, nil), size: b.m.size, n: n, step: step, in: volume(s.in), out: volume(s.out)}
	for _, p := range b.m.params {
		if p.Track {
			k.tracked += p.Size()
		}
	}
	k.u, k.theta, k.x = normal(r, n*k.out), normal(r, k.size), normal(r, n*k.in)
	for i := range k.tracked { // variances
		k.theta[k.size-1-i] = math.Abs(k.theta[k.size-1-i]) + 0.5
	}
	return k
}

// signals runs Forward and Backward from a scalar sum u y + y^2/2, or that with
// dy held at held.
func (b *bench) signals(theta, x []float64) (s *Signals[float64], value float64, grad []float64) {
	s = &Signals[float64]{X: x, Y: make([]float64, b.n*b.out), DX: make([]float64, len(x)), Step: b.step}
	b.l.Forward(theta, b.n, s)
	s.DY = make([]float64, len(s.Y))
	for i, y := range s.Y {
		value += b.u[i]*y + y*y/2
		s.DY[i] = b.u[i] + y
	}
	grad = normal(rand.New(rand.NewPCG(9, 9)), b.size) // to be overwritten
	b.l.Backward(theta, grad, b.n, s)
	clear(grad[b.size-b.tracked:])
	return s, value, grad
}

// along runs the R-passes along v and rx on top of signals.
func (b *bench) along(theta, x, v, rx []float64) (s *Signals[float64], rgrad []float64) {
	s, _, _ = b.signals(theta, x)
	s.RX, s.RY, s.RDX = rx, make([]float64, len(s.Y)), make([]float64, len(x))
	b.l.RForward(theta, v, b.n, s)
	s.RDY = s.RY // dy = u + y
	rgrad = normal(rand.New(rand.NewPCG(9, 9)), b.size)
	b.l.RBackward(theta, v, rgrad, b.n, s)
	return s, rgrad
}

// check compares all four passes with central differences: worst relative error
// of a vector, in units of its largest element.
func (b *bench) check(t *testing.T, r *rand.Rand) {
	t.Helper()
	const h = 1e-5
	v, rx := normal(r, b.size), normal(r, len(b.x))
	clear(v[b.size-b.tracked:])
	s, _, grad := b.signals(b.theta, b.x)
	up, fu, gu := b.signals(moved(b.theta, h, v), moved(b.x, h, rx))
	down, fd, gd := b.signals(moved(b.theta, -h, v), moved(b.x, -h, rx))
	got, want := inner(grad, v)+inner(s.DX, rx), (fu-fd)/(2*h)
	if math.Abs(got-want) > 1e-6*(1+math.Abs(want)) {
		t.Errorf("slope %v, finite difference %v", got, want)
	}
	rs, rgrad := b.along(b.theta, b.x, v, rx)
	for _, c := range []struct {
		name         string
		got, up, low []float64
	}{{"RY", rs.RY, up.Y, down.Y}, {"rgrad", rgrad, gu, gd}, {"RDX", rs.RDX, up.DX, down.DX}} {
		if e := furthest(c.got, c.up, c.low, h); e > 1e-6 {
			t.Errorf("%s is off by %v of its largest element", c.name, e)
		}
	}
	// A nil RX is zero.
	zero, zgrad := b.along(b.theta, b.x, v, make([]float64, len(b.x)))
	none, ngrad := b.along(b.theta, b.x, v, nil)
	if a, b := inner(zero.RDX, rx)+inner(zgrad, v)+inner(zero.RY, zero.RY), inner(none.RDX, rx)+inner(ngrad, v)+inner(none.RY, none.RY); math.Abs(a-b) > 1e-9*(1+math.Abs(a)) {
		t.Errorf("a nil RX gives %v, zeros give %v", b, a)
	}
}

// furthest is the largest difference of got from (up-low)/2h, over the largest
// element of either.
func furthest(got, up, low []float64, h float64) float64 {
	worst, size := 0.0, 1e-9
	for i, g := range got {
		want := (up[i] - low[i]) / (2 * h)
		worst, size = max(worst, math.Abs(g-want)), max(size, math.Abs(g), math.Abs(want))
	}
	return worst / size
}

// lone are the layers of this file's tests with shapes that suit them.
var lone = []struct {
	name string
	spec LayerSpec
	in   []int
	n, k int // samples, inner steps
}{
	{"relu", LayerSpec{Kind: "relu"}, []int{7}, 3, 0},
	{"tanh", LayerSpec{Kind: "tanh"}, []int{7}, 3, 0},
	{"sigmoid", LayerSpec{Kind: "sigmoid"}, []int{7}, 3, 0},
	{"gelu", LayerSpec{Kind: "gelu"}, []int{7}, 3, 0},
	{"batchnorm", LayerSpec{Kind: "batchnorm"}, []int{5}, 6, 0},
	{"batchnorm over positions", LayerSpec{Kind: "batchnorm", Eps: 0.1}, []int{3, 2, 4}, 5, 0},
	{"batchnorm of one row", LayerSpec{Kind: "batchnorm"}, []int{5}, 1, 0},
	{"batchnorm per step", LayerSpec{Kind: "batchnorm", PerStep: true}, []int{5}, 6, 2},
	{"batchnorm stored", LayerSpec{Kind: "batchnorm", Statistics: "stored"}, []int{2, 5}, 3, 0},
	{"batchnorm stored per step", LayerSpec{Kind: "batchnorm", Statistics: "stored", PerStep: true}, []int{5}, 3, 2},
	{"layernorm", LayerSpec{Kind: "layernorm"}, []int{6}, 4, 0},
	{"layernorm over positions", LayerSpec{Kind: "layernorm", Eps: 0.1}, []int{3, 2, 4}, 2, 0},
	{"gru", LayerSpec{Kind: "gru", Units: 4}, []int{5, 3}, 3, 0},
	{"gru of one time", LayerSpec{Kind: "gru", Units: 3}, []int{1, 2}, 2, 0},
	{"gru of one sample and unit", LayerSpec{Kind: "gru", Units: 1}, []int{7, 1}, 1, 0},
	{"layernorm of one channel", LayerSpec{Kind: "layernorm"}, []int{1}, 4, 0},
	{"conv1d causal", LayerSpec{Kind: "conv1d", Filters: 3, Kernel: Dims{3}, Dilation: Dims{2}, Causal: true}, []int{6, 2}, 3, 0},
	{"conv1d padded", LayerSpec{Kind: "conv1d", Filters: 2, Kernel: Dims{2}, Stride: Dims{2}, Padding: Dims{1}}, []int{5, 3}, 3, 0},
	{"conv2d", LayerSpec{Kind: "conv2d", Filters: 3, Kernel: Dims{3}, Stride: Dims{2}, Padding: Dims{1}}, []int{5, 4, 2}, 3, 0},
	{"conv2d dilated", LayerSpec{Kind: "conv2d", Filters: 2, Kernel: Dims{2, 3}, Padding: Dims{0, 2}, Dilation: Dims{1, 2}}, []int{3, 4, 1}, 3, 0},
	{"maxpool", LayerSpec{Kind: "maxpool", Kernel: Dims{2}}, []int{5, 4, 2}, 3, 0},
	{"maxpool overlapping", LayerSpec{Kind: "maxpool", Kernel: Dims{3}, Stride: Dims{1}, Padding: Dims{1}}, []int{6, 2}, 3, 0},
	{"maxpool global", LayerSpec{Kind: "maxpool", Global: true}, []int{6, 2}, 3, 0},
	{"avgpool", LayerSpec{Kind: "avgpool", Kernel: Dims{3, 2}, Stride: Dims{2, 1}, Padding: Dims{1}}, []int{5, 4, 2}, 3, 0},
	{"avgpool global", LayerSpec{Kind: "avgpool", Global: true}, []int{3, 2, 2}, 3, 0},
	{"flatten", LayerSpec{Kind: "flatten"}, []int{3, 2, 2}, 3, 0},
	{"last", LayerSpec{Kind: "last"}, []int{4, 3}, 3, 0},
}

func TestLayerPassesMatchFiniteDifferences(t *testing.T) {
	for i, c := range lone {
		for step := range c.k + 2 {
			t.Run(c.name, func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(i), uint64(step)))
				newBench(t, r, c.spec, c.in, c.n, c.k, step).check(t, r)
			})
		}
	}
}

// Conjugate gradients take one Forward and Backward and then many R-passes.
func TestRPassesMayBeRepeated(t *testing.T) {
	for i, c := range lone {
		r := rand.New(rand.NewPCG(uint64(i), 7))
		b := newBench(t, r, c.spec, c.in, c.n, c.k, 0)
		v, rx := normal(r, b.size), normal(r, len(b.x))
		clear(v[b.size-b.tracked:])
		s, want := b.along(b.theta, b.x, v, rx)
		wantRDX := append([]float64(nil), s.RDX...)
		other, otherX := normal(r, b.size), normal(r, len(b.x))
		rgrad := make([]float64, b.size)
		for _, d := range [][2][]float64{{other, otherX}, {other, nil}, {v, rx}} {
			s.RX = d[1]
			b.l.RForward(b.theta, d[0], b.n, s)
			b.l.RBackward(b.theta, d[0], rgrad, b.n, s)
		}
		same(t, c.name+": rgrad", rgrad, want)
		same(t, c.name+": RDX", s.RDX, wantRDX)
	}
}

// same holds got to the bits of want.
func same[T kernel.Float](t *testing.T, what string, got, want []T) {
	t.Helper()
	for i := range want {
		if math.Float64bits(float64(got[i])) != math.Float64bits(float64(want[i])) {
			t.Errorf("%s: element %d of %d is %v, expected %v", what, i, len(want), got[i], want[i])
			return
		}
	}
}

func TestLayersAllocateNothingOnceGrown(t *testing.T) {
	for i, c := range lone {
		r := rand.New(rand.NewPCG(uint64(i), 8))
		b := newBench(t, r, c.spec, c.in, c.n, c.k, 0)
		v, rx := normal(r, b.size), normal(r, len(b.x))
		s, rgrad := b.along(b.theta, b.x, v, rx)
		grad := make([]float64, b.size)
		cut := &Signals[float64]{}
		pass := func(n int) {
			*cut = *s
			for _, x := range []*[]float64{&cut.X, &cut.DX, &cut.RX, &cut.RDX} {
				*x = (*x)[:n*b.in]
			}
			for _, x := range []*[]float64{&cut.Y, &cut.DY, &cut.RY, &cut.RDY} {
				*x = (*x)[:n*b.out]
			}
			b.l.Forward(b.theta, n, cut)
			b.l.Backward(b.theta, grad, n, cut)
			b.l.RForward(b.theta, v, n, cut)
			b.l.RBackward(b.theta, v, rgrad, n, cut)
		}
		if a := testing.AllocsPerRun(3, func() { pass(c.n); pass(1); pass(0) }); a > 0 {
			t.Errorf("%s: %v allocations in the steady state", c.name, a)
		}
		pass(0)
		for _, x := range [][]float64{grad, rgrad} {
			for _, g := range x {
				if g != 0 {
					t.Errorf("%s: a batch of no samples has gradient %v", c.name, x)
					break
				}
			}
		}
	}
}
