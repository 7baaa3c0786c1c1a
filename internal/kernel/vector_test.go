package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestContract_VectorBits(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for n := range 40 {
			x, y, a := wild(r, n, true), wild(r, n, true), float32(r.NormFloat64())
			got := make([]float32, n)
			check := func(name string, want func(i int) float32) {
				t.Helper()
				for i := range got {
					if !sameBits(got[i], want(i)) {
						t.Fatalf("%s, element %d of %d: %b, want %b", name, i, n, got[i], want(i))
					}
				}
			}
			copy(got, x)
			AddInto(got, y)
			check("AddInto", func(i int) float32 { return x[i] + y[i] })
			Axpy(got, x, a, y)
			check("Axpy", func(i int) float32 { return x[i] + float32(a*y[i]) })
			Scale(got, a, x)
			check("Scale", func(i int) float32 { return a * x[i] })
			Relu(got, x)
			check("Relu", func(i int) float32 {
				if 0 > x[i] {
					return 0
				}
				return x[i]
			})
			Gate(got, x, y)
			check("Gate", func(i int) float32 {
				if y[i] > 0 {
					return x[i]
				}
				return 0
			})
		}
	})
}

func TestIsFiniteFindsEveryPlace(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		for n := range 40 {
			x, y := make([]float32, n), make([]float64, n)
			for i := range x {
				x[i], y[i] = -math.MaxFloat32, math.MaxFloat64
			}
			if !IsFinite(x) || !IsFinite(y) {
				t.Errorf("%d finite numbers are not", n)
			}
			for i := range x {
				for _, bad := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
					x[i], y[i] = float32(bad), bad
					if IsFinite(x) || IsFinite(y) {
						t.Errorf("%v at %d of %d passes", bad, i, n)
					}
					x[i], y[i] = 1, 1
				}
			}
		}
	})
}

// TestContract_ProductsRound fails where the compiler fuses T(x*y) + z, which it
// may at GOAMD64=v3 and on arm64 if the conversion is lost in generic code.
func TestContract_ProductsRound(t *testing.T) {
	x, y := float32(1+0x1p-12), float32(1+0x1p-12)
	z := -float32(x * y)
	got := []float32{0}
	Axpy(got, []float32{z}, x, []float32{y})
	if got[0] != 0 {
		t.Errorf("Axpy float32 leaves %g of a product: it was fused", got[0])
	}
	x64 := 1 + 0x1p-30
	got64 := []float64{0}
	Axpy(got64, []float64{-float64(x64 * x64)}, x64, []float64{x64})
	if got64[0] != 0 {
		t.Errorf("Axpy float64 leaves %g of a product: it was fused", got64[0])
	}
}

func TestContract_TreeAndChains(t *testing.T) { forEachLevel(t, treeAndChains) }

func treeAndChains(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{0, 1, 2, 3, 5, 16, 17, 255, 256, 257, 511, 512, 513, 1000, 1024, 1280, 4095, 4096, 4097, 9000, 12289, 20000} {
		x, y := wild(r, n, false), wild(r, n, false)
		if n > 0 {
			if got, want := TreeSum(x), pairs(x); got != want {
				t.Errorf("TreeSum of %d: %b, want %b", n, got, want)
			}
		}
		if got, want := Dot(x, y), naiveDot(x, y); got != want {
			t.Errorf("Dot of %d: %b, want %b", n, got, want)
		}
		var c Chain[float32]
		for i := range x {
			c.Add(x[i], y[i])
		}
		want := []float32{0}
		naive(FromZero, nil, 1, 1, n, x, 0, 1, y, 1, want, 1)
		if c.Sum() != want[0] {
			t.Errorf("Chain of %d: %b, want %b", n, c.Sum(), want[0])
		}
	}
	if got, want := SumSquares([]float32{3, 4}), float32(25); got != want {
		t.Errorf("SumSquares(3, 4) = %v, want %v", got, want)
	}
}

// naiveDot is Dot read off the contract.
func naiveDot(x, y []float32) float32 {
	blocks := []float32{}
	for lo := 0; lo == 0 || lo < len(x); lo += 4096 {
		chains := make([]float32, 16)
		for i := lo; i < min(lo+4096, len(x)); i++ {
			chains[(i-lo)%16] = FMA32(x[i], y[i], chains[(i-lo)%16])
		}
		blocks = append(blocks, pairs(chains))
	}
	return pairs(blocks)
}

func BenchmarkDot(b *testing.B) {
	x := make([]float32, 100_000)
	for b.Loop() {
		Dot(x, x)
	}
	b.ReportMetric(float64(len(x))*float64(b.N)/b.Elapsed().Seconds()/1e9, "G/s")
}
