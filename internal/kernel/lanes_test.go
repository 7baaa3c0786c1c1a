package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// laneOf copies one lane of x.
func laneOf(x []float32, lane int) []float32 {
	y := make([]float32, len(x)/Lanes)
	LaneGet(y, x, lane)
	return y
}

func sameLane(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if !sameBits(got[i], want[i]) {
			t.Fatalf("%s: element %d is %b, want %b", what, i, got[i], want[i])
		}
	}
}

// product is a random product over lanes, its operands transposed or not.
type product struct {
	m, n, k    int
	start      Start
	bias, c    []float32
	a, b       Operand
	cr         int
	transposed [2]bool
}

func randomProduct(r *rand.Rand, most int, special bool) product {
	p := product{m: 1 + r.IntN(most), n: 1 + r.IntN(most), k: r.IntN(most + 1), start: Start(r.IntN(3))}
	if r.IntN(3) == 0 {
		p.n = 1
	}
	p.transposed = [2]bool{r.IntN(2) == 0, r.IntN(2) == 0}
	width := Lanes
	if p.b.Shared = r.IntN(2) == 0; p.b.Shared {
		width = 1
	}
	pad := r.IntN(3)
	p.a.Row, p.a.Col = p.k+pad, 1
	if p.transposed[0] {
		p.a.Row, p.a.Col = 1, p.m+pad
	}
	p.b.Row, p.b.Col = p.n+pad, 1
	if p.transposed[1] {
		p.b.Row, p.b.Col = 1, p.k+pad
	}
	p.cr = p.n + r.IntN(2)
	p.a.X = wild(r, (p.m+pad)*(p.k+pad)*Lanes, special)
	p.b.X = wild(r, (p.n+pad)*(p.k+pad)*width, special)
	p.bias = wild(r, p.n*width, special)
	p.c = wild(r, p.m*p.cr*Lanes, special)
	return p
}

// lane returns what Gemm makes of one lane.
func (p *product) lane(lane int) []float32 {
	b, bias := p.b.X, p.bias
	if !p.b.Shared {
		b, bias = laneOf(b, lane), laneOf(bias, lane)
	}
	rows := make([]float32, p.k*p.n) // Gemm's B has rows
	for l := range p.k {
		for j := range p.n {
			rows[l*p.n+j] = b[l*p.b.Row+j*p.b.Col]
		}
	}
	c := laneOf(p.c, lane)
	Gemm(p.start, bias, p.m, p.n, p.k, laneOf(p.a.X, lane), p.a.Row, p.a.Col, rows, p.n, c, p.cr)
	return c
}

// Each lane of a product over lanes has the bits of the product over that lane.
func TestContract_LaneGemmHasTheBitsOfGemm(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(21, 22))
		try := func(p product) {
			t.Helper()
			var want [Lanes][]float32
			for lane := range want {
				want[lane] = p.lane(lane)
			}
			LaneGemm(p.start, p.bias, p.m, p.n, p.k, p.a, p.b, p.c, p.cr)
			for lane := range want {
				what := fmt.Sprintf("%dx%dx%d start %d shared %v transposed %v lane %d", p.m, p.n, p.k, p.start, p.b.Shared, p.transposed, lane)
				sameLane(t, what, laneOf(p.c, lane), want[lane])
			}
		}
		for i := range 150 {
			try(randomProduct(r, 13, i%2 == 0))
		}
		for _, k := range []int{256, 257, 600, 1100} {
			p := randomProduct(r, 6, false)
			p.n, p.k, p.cr = 1+r.IntN(40), k, 41
			p.a = Operand{X: wild(r, p.m*k*Lanes, false), Row: k, Col: 1}
			p.b = Operand{X: wild(r, p.n*k*Lanes, false), Row: p.n, Col: 1}
			p.bias, p.c = wild(r, p.n*Lanes, false), wild(r, p.m*p.cr*Lanes, false)
			try(p)
		}
	})
}

func TestContract_LaneDotHasTheBitsOfDot(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(23, 24))
		for _, n := range []int{0, 1, 15, 16, 17, 33, 160, 4096, 4097, 9000} {
			x, y := wild(r, n*Lanes, false), wild(r, n*Lanes, false)
			var got [Lanes]float32
			LaneDot(&got, x, y)
			for lane := range got {
				if want := Dot(laneOf(x, lane), laneOf(y, lane)); !sameBits(got[lane], want) {
					t.Fatalf("%d elements, lane %d: %b, want %b", n, lane, got[lane], want)
				}
			}
		}
	})
}

// treeOf is the sum over lanes lo..lo+n-1 that are there, by the tree over tasks.
func treeOf(x []float32, there func(lane int) bool, lo, n int) (sum float32, any bool) {
	if n == 1 {
		return x[lo], there(lo)
	}
	a, left := treeOf(x, there, lo, n/2)
	b, right := treeOf(x, there, lo+n/2, n/2)
	switch {
	case !right:
		return a, left
	case !left:
		return b, true
	}
	return a + b, true
}

// Zeros of both signs are among the numbers: a missing lane must change neither.
func TestContract_LaneSumIsTheTreeOverTasks(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(25, 26))
		for try := range 200 {
			n := 1 + r.IntN(11)
			x, got := wild(r, n*Lanes, try%2 == 0), make([]float32, n)
			for i := range x[:Lanes] { // -0 in every lane: a missing one must not turn the sum to +0
				x[i] = float32(math.Copysign(0, -1))
			}
			var mask LaneMask
			for lane := range Lanes {
				mask.Set(lane, try < 16 && lane <= try || try >= 16 && r.IntN(4) > 0)
			}
			LaneSum(got, x, &mask)
			for i := range got {
				want, any := treeOf(x[i*Lanes:][:Lanes], func(lane int) bool { return mask[lane] != 0 }, 0, Lanes)
				if any && !sameBits(got[i], want) {
					t.Fatalf("element %d of %d, lanes %x: %b, want %b", i, n, mask, got[i], want)
				}
			}
		}
	})
}

// Rates are one for all lanes; x is or is not.
func TestContract_LaneStepAndScaleBits(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(27, 28))
		for n := range 12 {
			rates, shared, x, g := wild(r, n, true), wild(r, n, true), wild(r, n*Lanes, true), wild(r, n*Lanes, true)
			got := make([]float32, n*Lanes)
			check := func(what string, want func(i int) float32) {
				t.Helper()
				for i := range got {
					if !sameBits(got[i], want(i)) {
						t.Fatalf("%s, element %d lane %d of %d: %b, want %b", what, i/Lanes, i%Lanes, n, got[i], want(i))
					}
				}
			}
			LaneStep(got, x, false, rates, g)
			check("LaneStep", func(i int) float32 { return x[i] - float32(rates[i/Lanes]*g[i]) })
			LaneStep(got, shared, true, rates, g)
			check("LaneStep shared", func(i int) float32 { return shared[i/Lanes] - float32(rates[i/Lanes]*g[i]) })
			LaneScale(got, rates, x)
			check("LaneScale", func(i int) float32 { return rates[i/Lanes] * x[i] })
			copy(got, x)
			SubProduct(got[:len(got)-n], g, g)
			copy(got[len(got)-n:], g)
			check("SubProduct", func(i int) float32 {
				if i >= len(got)-n {
					return g[i-len(got)+n]
				}
				return x[i] - float32(g[i]*g[i])
			})
		}
	})
}

func BenchmarkLaneGemm(b *testing.B) {
	for _, d := range []struct {
		name    string
		m, n, k int
		a, b    Operand
	}{
		{"forward", 10, 40, 40, Operand{Row: 40, Col: 1}, Operand{Row: 40, Col: 1}},
		{"forwardShared", 10, 40, 40, Operand{Row: 40, Col: 1}, Operand{Row: 40, Col: 1, Shared: true}},
		{"inputs", 10, 40, 40, Operand{Row: 40, Col: 1}, Operand{Row: 1, Col: 40}},
		{"weights", 40, 40, 10, Operand{Row: 1, Col: 40}, Operand{Row: 40, Col: 1}},
		{"forward128", 10, 128, 128, Operand{Row: 128, Col: 1}, Operand{Row: 128, Col: 1}},
		{"weights128", 128, 128, 10, Operand{Row: 1, Col: 128}, Operand{Row: 128, Col: 1}},
	} {
		b.Run(d.name, func(b *testing.B) {
			d.a.X, d.b.X = NewLanes(d.m*d.k), NewLanes(d.n*d.k)
			c := NewLanes(d.m * d.n)
			for b.Loop() {
				LaneGemm(FromZero, nil, d.m, d.n, d.k, d.a, d.b, c, d.n)
			}
			b.ReportMetric(float64(b.N)*2*Lanes*float64(d.m*d.n*d.k)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
		})
	}
}

// FuzzLaneGemm draws a product by its seed, wilder than the test.
func FuzzLaneGemm(f *testing.F) {
	f.Add(uint64(1), true)
	f.Fuzz(func(t *testing.T, seed uint64, special bool) {
		p := randomProduct(rand.New(rand.NewPCG(seed, 29)), 24, special)
		var want [Lanes][]float32
		for lane := range want {
			want[lane] = p.lane(lane)
		}
		LaneGemm(p.start, p.bias, p.m, p.n, p.k, p.a, p.b, p.c, p.cr)
		for lane := range want {
			sameLane(t, fmt.Sprintf("%dx%dx%d lane %d", p.m, p.n, p.k, lane), laneOf(p.c, lane), want[lane])
		}
	})
}
