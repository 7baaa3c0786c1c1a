package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestContract_SinIntoHasTheBitsOfSin(t *testing.T) {
	forEachLevel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(33, 34))
		odd := []float64{0, math.Copysign(0, -1), 5e-324, -1e-310, math.Pi, -math.Pi / 2, math.Inf(1), math.NaN(), 1e300, 1 << 20, -halfPi1, 3 * halfPi1}
		for n := range 300 {
			x, got := make([]float64, n%21), make([]float64, n%21)
			for i := range x {
				x[i] = math.Ldexp(r.NormFloat64(), r.IntN(24)-4)
				if r.IntN(8) == 0 {
					x[i] = odd[r.IntN(len(odd))]
				}
			}
			SinInto(got, x)
			for i := range x {
				if want := Sin(x[i]); math.Float64bits(got[i]) != math.Float64bits(want) && (got[i] == got[i] || want == want) {
					t.Fatalf("element %d of %d: sine of %v is %v, want %v", i, len(x), x[i], got[i], want)
				}
			}
		}
	})
}
