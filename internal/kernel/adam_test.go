package kernel

import (
	"math/rand/v2"
	"testing"
)

// TestContract_AdamBits: every instruction set gives the bits of the loop in Adam's comment, odd values included.
func TestContract_AdamBits(t *testing.T) {
	rates := AdamRates{Beta1: 0.9, Rest1: 1 - float32(0.9), Beta2: 0.999, Rest2: 1 - float32(0.999), Step: 3e-3, Root: 7, Epsilon: 1e-8}
	best := map[int][3][]float32{} // by length: what plain Go made
	eachLevel(func(level int) {
		r := rand.New(rand.NewPCG(7, 8))
		for n := range 70 {
			theta, m, v, g := wild(r, n, true), wild(r, n, true), wild(r, n, true), wild(r, n, true)
			for i := range v {
				if v[i] < 0 { // a mean of squares, whose root no NaN comes from
					v[i] = -v[i]
				}
			}
			for range 3 {
				Adam(theta, m, v, g, &rates)
			}
			got := [3][]float32{theta, m, v}
			if level == 0 {
				best[n] = got
			}
			for which, want := range best[n] {
				for i := range want {
					if !sameBits(got[which][i], want[i]) {
						t.Fatalf("level %d, n %d, %s %d: %b, want %b", level, n, [3]string{"theta", "m", "v"}[which], i, got[which][i], want[i])
					}
				}
			}
		}
	})
}
