//go:build !noasm && amd64

package kernel

//go:noescape
func sineAVX2(n int, dst, x, table *float64)

// sineTable holds the constants of trig.go in the order in which sineAVX2 reads
// them.
var sineTable = [25]float64{
	twoByPi, halfPi1, halfPi2, halfPi3, 0.25, 4,
	-1.0 / 121645100408832000, 1.0 / 355687428096000, -1.0 / 1307674368000, 1.0 / 6227020800, -1.0 / 39916800, 1.0 / 362880, -1.0 / 5040, 1.0 / 120, -1.0 / 6,
	-1.0 / 6402373705728000, 1.0 / 20922789888000, -1.0 / 87178291200, 1.0 / 479001600, -1.0 / 3628800, 1.0 / 40320, -1.0 / 720, 1.0 / 24, -0.5,
	1,
}

// sine64 is SinInto where the processor has it.
func sine64(dst, x []float64) bool {
	if level == 0 {
		return false
	}
	n := len(dst) / 4
	if n > 0 {
		sineAVX2(n, &dst[0], &x[0], &sineTable[0])
	}
	if rest := dst[4*n:]; len(rest) > 0 {
		var last [4]float64
		copy(last[:], x[4*n:])
		sineAVX2(1, &last[0], &last[0], &sineTable[0])
		copy(rest, last[:])
	}
	return true
}
