package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// naive is Gemm read off the contract, with no thought for speed.
func naive(start Start, bias []float32, m, n, k int, a []float32, ar, ac int, b []float32, br int, c []float32, cr int) {
	for i := range m {
		for j := range n {
			var blocks []float32
			for lo := 0; lo == 0 || lo < k; lo += 256 {
				acc := float32(0)
				if lo == 0 && start == FromBias {
					acc = bias[j]
				}
				if lo == 0 && start == FromC {
					acc = c[i*cr+j]
				}
				for l := lo; l < min(lo+256, k); l++ {
					acc = FMA32(a[i*ar+l*ac], b[l*br+j], acc)
				}
				blocks = append(blocks, acc)
			}
			c[i*cr+j] = pairs(blocks)
		}
	}
}

// pairs joins leaves level by level: a lone child passes unchanged.
func pairs(x []float32) float32 {
	for len(x) > 1 {
		var up []float32
		for i := 0; i < len(x); i += 2 {
			if i+1 < len(x) {
				up = append(up, x[i]+x[i+1])
			} else {
				up = append(up, x[i])
			}
		}
		x = up
	}
	return x[0]
}

// wild draws values with zeros of both signs, subnormals and infinities among them.
func wild(r *rand.Rand, n int, special bool) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
		if !special {
			continue
		}
		switch r.IntN(12) {
		case 0:
			x[i] = 0
		case 1:
			x[i] = float32(math.Copysign(0, -1))
		case 2:
			x[i] = math.Float32frombits(r.Uint32() & 0x807fffff)
		case 3:
			x[i] *= 0x1p-70
		case 4:
			x[i] *= 0x1p100
		case 5:
			if r.IntN(40) == 0 {
				x[i] = float32(math.Inf(1 - 2*r.IntN(2)))
			}
		}
	}
	return x
}

// sameBits compares bits, except that any NaN equals any other.
func sameBits(x, y float32) bool {
	return math.Float32bits(x) == math.Float32bits(y) || x != x && y != y
}

func checkGemm(t *testing.T, r *rand.Rand, m, n, k int, start Start, transposed, special bool) {
	t.Helper()
	ar, ac := k+r.IntN(3), 1
	if transposed {
		ar, ac = 1, m+r.IntN(3)*r.IntN(2)
	}
	br, cr := n+r.IntN(3), n+r.IntN(3)*r.IntN(2)
	a, b := wild(r, (m+3)*(k+3), special), wild(r, (k+1)*br, special)
	bias, got := wild(r, n, special), wild(r, m*cr+7, special)
	want := append([]float32(nil), got...)
	Gemm(start, bias, m, n, k, a, ar, ac, b, br, got, cr)
	naive(start, bias, m, n, k, a, ar, ac, b, br, want, cr)
	for i := range want {
		if !sameBits(got[i], want[i]) {
			t.Fatalf("%dx%dx%d start %d transposed %v: element %d is %b, want %b", m, n, k, start, transposed, i, got[i], want[i])
		}
	}
}

func TestContract_GemmBits(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, s := range [][3]int{{1, 1, 0}, {10, 40, 40}, {40, 40, 10}, {10, 1, 40}, {40, 1, 10}, {1, 40, 10}, {10, 40, 1}, {3, 5, 256},
			{3, 5, 257}, {9, 50, 700}, {2, 17, 1500}, {50, 64, 32}, {17, 97, 50}, {1, 100, 3000}} {
			for start := FromZero; start <= FromC; start++ {
				checkGemm(t, r, s[0], s[1], s[2], start, false, false)
				checkGemm(t, r, s[0], s[1], s[2], start, true, true)
			}
		}
		for range 1500 {
			checkGemm(t, r, 1+r.IntN(20), 1+r.IntN(70), r.IntN(40), Start(r.IntN(3)), r.IntN(2) == 0, r.IntN(2) == 0)
		}
	})
}

func TestGemmOfNoTermsIsItsStart(t *testing.T) {
	c := []float64{7, 7, 7, 7}
	Gemm(FromBias, []float64{1, 2}, 2, 2, 0, nil, 5, 1, nil, 2, c, 2)
	if c[0] != 1 || c[1] != 2 || c[2] != 1 || c[3] != 2 {
		t.Errorf("got %v, want the bias in every row", c)
	}
}

func TestGemm64FollowsTheSameOrder(t *testing.T) {
	// Whole numbers are exact in both, so a wrong term or index shows; a sum
	// that loses bits shows a wrong order.
	for _, k := range []int{5, 300, 1100} {
		a, b := make([]float64, 3*k), make([]float64, k*2)
		for i := range a {
			a[i] = float64(i%7) + 1e-9*float64(i)
		}
		for i := range b {
			b[i] = float64(i%5) - 2
		}
		c, bias := make([]float64, 6), []float64{1, 2}
		Gemm(FromBias, bias, 3, 2, k, a, k, 1, b, 2, c, 2)
		for i := range 3 {
			for j := range 2 {
				var blocks []float64
				acc := bias[j]
				for l := range k {
					if l > 0 && l%256 == 0 {
						blocks, acc = append(blocks, acc), 0
					}
					acc = math.FMA(a[i*k+l], b[l*2+j], acc)
				}
				if want := TreeSum(append(blocks, acc)); c[i*2+j] != want {
					t.Errorf("k=%d: C[%d][%d] = %v, want %v", k, i, j, c[i*2+j], want)
				}
			}
		}
	}
}

func TestGemmRefusesShortSlices(t *testing.T) {
	x := make([]float32, 12)
	for name, f := range map[string]func(){
		"a":    func() { Gemm(FromZero, nil, 3, 4, 5, x, 5, 1, make([]float32, 20), 4, x, 4) },
		"b":    func() { Gemm(FromZero, nil, 3, 4, 3, x, 3, 1, x[:11], 4, make([]float32, 12), 4) },
		"c":    func() { Gemm(FromZero, nil, 3, 4, 3, x, 3, 1, x, 4, x[:11], 4) },
		"bias": func() { Gemm(FromBias, x[:3], 3, 4, 3, x, 3, 1, x, 4, make([]float32, 12), 4) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a short %s was not refused", name)
				}
			}()
			f()
		}()
	}
}

func TestGemmAllocatesNothing(t *testing.T) {
	a, b, c := make([]float32, 10*700), make([]float32, 700*40), make([]float32, 400)
	if n := testing.AllocsPerRun(10, func() { Gemm(FromC, nil, 10, 40, 700, a, 700, 1, b, 40, c, 40) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkGemm(b *testing.B) {
	for _, s := range [][3]int{{10, 40, 40}, {40, 40, 10}, {10, 1, 40}, {10, 40, 1}, {50, 64, 64}, {128, 128, 128}, {240, 480, 256}} {
		b.Run(fmt.Sprintf("%dx%dx%d", s[0], s[1], s[2]), func(b *testing.B) {
			m, n, k := s[0], s[1], s[2]
			x, y, z := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
			for b.Loop() {
				Gemm(FromZero, nil, m, n, k, x, k, 1, y, n, z, n)
			}
			b.ReportMetric(2*float64(m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}

// The products of an MLP 784-256-128-64-64-5 on a batch of 5, 25 or 75: forward,
// gradient of the weights, and gradient of the inputs (transposed).
func BenchmarkGemmMLP(b *testing.B) {
	for _, rows := range []int{5, 25, 75} {
		for _, l := range [][2]int{{784, 256}, {256, 128}, {64, 64}, {64, 5}} {
			in, out := l[0], l[1]
			x, w, y := make([]float32, rows*in), make([]float32, in*out), make([]float32, rows*out)
			for name, f := range map[string]func(){
				"forward":  func() { Gemm(FromZero, nil, rows, out, in, x, in, 1, w, out, y, out) },
				"weights":  func() { Gemm(FromZero, nil, in, out, rows, x, 1, in, y, out, w, out) },
				"backward": func() { Gemm(FromZero, nil, in, rows, out, w, out, 1, y, rows, x, rows) },
			} {
				b.Run(fmt.Sprintf("%s/%dx%dx%d", name, rows, in, out), func(b *testing.B) {
					for b.Loop() {
						f()
					}
					b.ReportMetric(2*float64(rows*in*out)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
		}
	}
}
