package kernel

import (
	"math/rand/v2"
	"runtime/debug"
	"testing"
)

// guarded runs f; a fault in it ends the test, not the process.
func guarded(t *testing.T, f func()) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if e := recover(); e != nil {
			t.Fatalf("a kernel touches memory beyond a slice, or panics: %v", e)
		}
	}()
	f()
}

// FuzzGemmTaps compares products over taps of all shapes with the contract, their
// slices lying between pages that may not be touched.
func FuzzGemmTaps(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(seed, uint8(seed*7), uint8(seed*11), uint16(seed*13), uint8(seed))
	}
	e := newEdges(f)
	f.Fuzz(func(t *testing.T, seed uint64, m, n uint8, k uint16, taps uint8) {
		r := rand.New(rand.NewPCG(seed, 23))
		mm, nn, kk, tt := 1+int(m)%60, 1+int(n)%90, 1+int(k)%300, int(taps)%7
		for kk*tt*(mm+nn) > 40_000 {
			kk = (kk + 1) / 2
		}
		eachLevel(func(int) {
			c := newTapsCase(r, mm, nn, kk, tt, seed&1 == 0, seed&2 == 0)
			e.atEnd = seed&4 == 0
			c.a, c.b, c.bias = e.put(c.a), e.put(c.b), e.put(c.bias)
			c.got = e.put(c.got[:(c.m-1)*c.cr+c.n])
			c.want = c.want[:len(c.got)]
			guarded(t, func() { c.check(t) })
		})
	})
}

// FuzzRows does so with everything elementwise, the reductions of columns,
// transposes and curves.
func FuzzRows(f *testing.F) {
	for seed := range uint64(80) {
		f.Add(seed, uint16(seed*5), uint8(seed*3))
	}
	e := newEdges(f)
	f.Fuzz(func(t *testing.T, seed uint64, rows uint16, cols uint8) {
		r := rand.New(rand.NewPCG(seed, 29))
		n, c := 1+int(rows)%600, 1+int(cols)%150
		if n*c > 20_000 {
			n = 20_000 / c
		}
		x, y, z := wild(r, n*c, seed&1 == 0), wild(r, n*c, seed&1 == 0), wild(r, n*c, true)
		a, b := wild(r, c, true), wild(r, c, true)
		outputs := func(level int) [][]float32 {
			e.atEnd = seed&4 == 0
			x, y, a, b := e.put(x), e.put(y), e.put(a), e.put(b)
			var out [][]float32
			do := func(size int, f func(dst []float32)) {
				dst := e.put(z[:size])
				e.next-- // the same region again
				f(dst)
				out = append(out, append([]float32(nil), dst...))
			}
			guarded(t, func() {
				do(n*c, func(d []float32) { MulAdd(d, x, y, d) })
				do(n*c, func(d []float32) { Sub(d, x, y) })
				do(n*c, func(d []float32) { Axpy(d, x, a[0], y) })
				do(n*c, func(d []float32) { Gate(d, x, y) })
				do(n*c, func(d []float32) { MulAddRow(d, x, a, b) })
				do(n*c, func(d []float32) { SubMulRow(d, x, a, b) })
				do(n*c, func(d []float32) { AddMulRow(d, x, y, a) })
				do(c, func(d []float32) { ColumnSums(d, x, n, c) })
				do(c, func(d []float32) { ColumnDots(d, x, y, n, c) })
				do(1, func(d []float32) { d[0] = Dot(x, y) })
				do(n*c, func(d []float32) { Transpose(d, x, n, c) })
				do(n*c, func(d []float32) { TanhInto(d, x) })
				do(n*c, func(d []float32) { SigmoidInto(d, x) })
				do(n*c, func(d []float32) { ExpInto(d, x) })
			})
			return out
		}
		var want [][]float32
		eachLevel(func(level int) {
			got := outputs(level)
			if level == 0 {
				want = got
			}
			for i := range want {
				for j := range want[i] {
					if !sameBits(got[i][j], want[i][j]) {
						t.Fatalf("operation %d on %dx%d at level %d: element %d is %b, want %b", i, n, c, level, j, got[i][j], want[i][j])
					}
				}
			}
		})
	})
}
