package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// checkGemmT compares GemmT with the contract read off a transposed copy of b.
func checkGemmT(t *testing.T, r *rand.Rand, e *edges, m, n, k int, start Start, special bool) {
	t.Helper()
	ar, ac, br, cr := k+r.IntN(3), 1, k+r.IntN(3)*r.IntN(2), n+r.IntN(3)
	if special {
		ar, ac = 1, m+r.IntN(3)
	}
	a, b := wild(r, (m-1)*ar+max(k-1, 0)*ac+1, special), wild(r, (n-1)*br+k, special)
	bias, got := wild(r, n, special), wild(r, (m-1)*cr+n, special)
	want, bT := append([]float32(nil), got...), make([]float32, n*k)
	for j := range n {
		for l := range k {
			bT[l*n+j] = b[j*br+l]
		}
	}
	naive(start, bias, m, n, k, a, ar, ac, bT, n, want, cr)
	got = e.put(got)
	GemmT(start, e.put(bias), m, n, k, e.put(a), ar, ac, e.put(b), br, got, cr)
	for i := range want {
		if !sameBits(got[i], want[i]) {
			t.Fatalf("%dx%dx%d start %d: element %d is %b, want %b", m, n, k, start, i, got[i], want[i])
		}
	}
}

func TestContract_GemmTBits(t *testing.T) {
	e := newEdges(t)
	forEachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(31, 32))
		for _, s := range [][3]int{{1, 1, 0}, {1, 1, 1}, {7, 33, 1}, {5, 256, 128}, {25, 64, 5}, {3, 70, 257}, {50, 65, 600}, {49, 20, 64}, {2, 3, 1100}} {
			for start := FromZero; start <= FromC; start++ {
				e.atEnd = start != FromBias
				checkGemmT(t, r, e, s[0], s[1], s[2], start, false)
				checkGemmT(t, r, e, s[0], s[1], s[2], start, true)
			}
		}
		for range 200 {
			checkGemmT(t, r, e, 1+r.IntN(20), 1+r.IntN(80), r.IntN(80), Start(r.IntN(3)), r.IntN(2) == 0)
		}
	})
}

func TestGemmTRefusesShortSlices(t *testing.T) {
	x := make([]float32, 12)
	for name, f := range map[string]func(){
		"a":    func() { GemmT(FromZero, nil, 3, 4, 3, x[:8:8], 3, 1, x, 3, make([]float32, 12), 4) },
		"b":    func() { GemmT(FromZero, nil, 3, 4, 3, x, 3, 1, x[:11:11], 3, make([]float32, 12), 4) },
		"c":    func() { GemmT(FromZero, nil, 3, 4, 3, x, 3, 1, x, 3, x[:11:11], 4) },
		"bias": func() { GemmT(FromBias, x[:3], 3, 4, 3, x, 3, 1, x, 3, make([]float32, 12), 4) },
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

func TestGemmTAllocatesNothing(t *testing.T) {
	a, b, c := make([]float32, 5*700), make([]float32, 700*64), make([]float32, 320)
	if n := testing.AllocsPerRun(10, func() { GemmT(FromC, nil, 5, 64, 700, a, 700, 1, b, 700, c, 64) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkGemmT(b *testing.B) {
	for _, s := range [][3]int{{5, 256, 128}, {5, 64, 64}, {5, 64, 5}, {10, 40, 40}, {25, 256, 128}, {25, 64, 64}, {75, 256, 128}, {75, 64, 64}} {
		b.Run(fmt.Sprintf("%dx%dx%d", s[0], s[1], s[2]), func(b *testing.B) {
			m, n, k := s[0], s[1], s[2]
			x, w, y, z := make([]float32, m*n), make([]float32, n*k), make([]float32, m*k), make([]float32, m*(n+k))
			perform := func(name string, f func()) {
				b.Run(name, func(b *testing.B) {
					for b.Loop() {
						f()
					}
					b.ReportMetric(2*float64(m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
			perform("GemmT", func() { GemmT(FromZero, nil, m, n, k, y, k, 1, w, k, x, n) })
			perform("flipped", func() { // the batch is transposed instead
				Transpose(z, y, m, k)
				Gemm(FromZero, nil, n, m, k, w, k, 1, z, m, z[m*k:], m)
				Transpose(x, z[m*k:], n, m)
			})
		})
	}
}
