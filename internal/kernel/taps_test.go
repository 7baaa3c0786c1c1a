package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// naiveTaps is GemmTaps read off the contract: the terms of each result are
// gathered into two columns, whose product naive knows.
func naiveTaps(start Start, bias []float32, m, n, k int, taps []Tap, a []float32, ar, ac int, b []float32, br int, c []float32, cr int) {
	for i := range m {
		for j := range n {
			var x, y []float32
			for _, t := range taps {
				for l := range k {
					x, y = append(x, a[t.A+i*ar+l*ac]), append(y, b[t.B+l*br+j])
				}
			}
			one := []float32{0}
			if start == FromBias {
				one[0] = bias[j]
			} else if start == FromC {
				one[0] = c[i*cr+j]
			}
			naive(FromC, nil, 1, 1, len(x), x, 0, 1, y, 1, one, 1)
			c[i*cr+j] = one[0]
		}
	}
}

// tapsCase is a product over taps with slices that end where it does.
type tapsCase struct {
	start      Start
	m, n, k    int
	ar, ac, br int
	cr         int
	taps       []Tap
	bias, a, b []float32
	got, want  []float32
	transposed bool
}

func newTapsCase(r *rand.Rand, m, n, k, taps int, transposed, special bool) *tapsCase {
	c := &tapsCase{start: Start(r.IntN(3)), m: m, n: n, k: k, transposed: transposed}
	c.ar, c.ac = k+r.IntN(3), 1
	if transposed {
		c.ar, c.ac = 1, m+r.IntN(3)
	}
	c.br, c.cr = n+r.IntN(3), n+r.IntN(3)
	la, lb := (m-1)*c.ar+max(k-1, 0)*c.ac+1, max(k-1, 0)*c.br+n
	a, b := la+r.IntN(200), lb+r.IntN(200)
	for range taps {
		c.taps = append(c.taps, Tap{r.IntN(a - la + 1), r.IntN(b - lb + 1)})
	}
	c.a, c.b, c.bias = wild(r, a, special), wild(r, b, special), wild(r, n, special)
	c.got = wild(r, (m-1)*c.cr+n+9, special)
	c.want = append([]float32(nil), c.got...)
	return c
}

func (c *tapsCase) check(t *testing.T) {
	t.Helper()
	used := (c.m-1)*c.cr + c.n
	GemmTaps(c.start, c.bias, c.m, c.n, c.k, c.taps, c.a, c.ar, c.ac, c.b, c.br, c.got[:used], c.cr)
	naiveTaps(c.start, c.bias, c.m, c.n, c.k, c.taps, c.a, c.ar, c.ac, c.b, c.br, c.want, c.cr)
	for i := range c.want {
		if !sameBits(c.got[i], c.want[i]) {
			t.Fatalf("%dx%dx(%d taps of %d) start %d transposed %v: element %d is %b, want %b", c.m, c.n, len(c.taps), c.k, c.start, c.transposed, i, c.got[i], c.want[i])
		}
	}
}

func TestContract_GemmTapsBits(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(13, 14))
		for _, s := range [][4]int{{5, 64, 64, 9}, {5, 64, 1, 9}, {3, 5, 5, 49}, {3, 17, 5, 196}, {1, 1, 1, 256}, {1, 1, 1, 257}, {2, 3, 255, 3},
			{2, 3, 256, 2}, {9, 50, 257, 3}, {1, 64, 100, 13}, {25, 64, 25, 11}, {4, 4, 0, 3}, {4, 4, 3, 0}, {64, 20, 5, 60}} {
			newTapsCase(r, s[0], s[1], s[2], s[3], false, false).check(t)
			newTapsCase(r, s[0], s[1], s[2], s[3], true, true).check(t)
		}
		for range 600 {
			newTapsCase(r, 1+r.IntN(20), 1+r.IntN(70), 1+r.IntN(40), r.IntN(12), r.IntN(2) == 0, r.IntN(2) == 0).check(t)
		}
	})
}

func TestGemmTaps64FollowsTheSameOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for range 50 {
		// Small whole numbers times a power of two per term: float64 rounds as
		// float32 would with 29 fewer bits, so only the order is compared, by a
		// float64 Gemm over gathered terms.
		k, taps := 1+r.IntN(90), 1+r.IntN(9)
		a, b := make([]float64, 2*k+50), make([]float64, 3*k+50)
		for i := range a {
			a[i] = r.NormFloat64()
		}
		for i := range b {
			b[i] = r.NormFloat64()
		}
		var list []Tap
		x, y := [2][]float64{}, []float64{}
		for range taps {
			at := Tap{r.IntN(50), r.IntN(50)}
			list = append(list, at)
			for l := range k {
				x[0], x[1] = append(x[0], a[at.A+l]), append(x[1], a[at.A+k+l])
				y = append(y, b[at.B+3*l:][:3]...)
			}
		}
		got, want := make([]float64, 6), make([]float64, 6)
		GemmTaps(FromZero, nil, 2, 3, k, list, a, k, 1, b, 3, got, 3)
		Gemm(FromZero, nil, 2, 3, k*taps, append(x[0], x[1]...), k*taps, 1, y, 3, want, 3)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%d taps of %d: element %d is %v, want %v", taps, k, i, got[i], want[i])
			}
		}
	}
}

func TestGemmTapsRefusesShortSlices(t *testing.T) {
	x := make([]float32, 100)
	run := func(tap Tap, a, b, c, bias int) {
		GemmTaps(FromBias, x[:bias], 3, 4, 5, []Tap{{}, tap}, x[:a], 5, 1, x[:b], 4, make([]float32, c), 4)
	}
	run(Tap{2, 3}, 17, 23, 12, 4)
	for name, f := range map[string]func(){
		"a":          func() { run(Tap{2, 3}, 16, 23, 12, 4) },
		"b":          func() { run(Tap{2, 3}, 17, 22, 12, 4) },
		"c":          func() { run(Tap{2, 3}, 17, 23, 11, 4) },
		"bias":       func() { run(Tap{2, 3}, 17, 23, 12, 3) },
		"negative A": func() { run(Tap{-1, 3}, 17, 23, 12, 4) },
		"negative B": func() { run(Tap{2, -1}, 17, 23, 12, 4) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: not refused", name)
				}
			}()
			f()
		}()
	}
}

func TestGemmTapsAllocatesNothing(t *testing.T) {
	taps := []Tap{{0, 0}, {64, 64}, {128, 128}}
	a, b, c := make([]float32, 5*200), make([]float32, 200*64), make([]float32, 320)
	if n := testing.AllocsPerRun(10, func() { GemmTaps(FromC, nil, 5, 64, 64, taps, a, 192, 1, b, 64, c, 64) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkGemmTaps(b *testing.B) {
	for _, s := range []struct{ m, n, k, taps, ar, ac int }{
		{5, 64, 64, 9, 64, 1}, {25, 64, 64, 9, 64, 1}, {75, 64, 64, 9, 64, 1}, {5, 64, 64, 4, 64, 1}, {5, 64, 1, 9, 1, 1},
		{64, 64, 5, 49, 1, 64}, {64, 64, 25, 49, 1, 64}, {1, 64, 5, 196, 1, 1},
	} {
		b.Run(fmt.Sprintf("%dx%dx%dx%d", s.m, s.n, s.k, s.taps), func(b *testing.B) {
			var taps []Tap
			for t := range s.taps {
				if s.ac == 1 {
					taps = append(taps, Tap{t * s.m * s.k, t * s.k * s.n})
				} else {
					taps = append(taps, Tap{t * s.m * s.k, t * s.n * s.k})
				}
			}
			x, y, z := make([]float32, s.m*s.k*s.taps), make([]float32, s.k*s.n*s.taps), make([]float32, s.m*s.n)
			for b.Loop() {
				GemmTaps(FromZero, nil, s.m, s.n, s.k, taps, x, s.ar, s.ac, y, s.n, z, s.n)
			}
			b.ReportMetric(2*float64(s.m*s.n*s.k*s.taps)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
