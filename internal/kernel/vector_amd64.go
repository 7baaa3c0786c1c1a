//go:build !noasm && amd64

package kernel

// The functions below do as many elements as fill vectors of eight, where the
// processor has them, and return how many they did.

func addInto32(dst, src []float32) int {
	n := vectors(len(dst))
	if n > 0 {
		addAVX2(n/8, &dst[0], &src[0])
	}
	return n
}

func axpy32(dst, x []float32, a float32, y []float32) int {
	n := vectors(len(dst))
	if n > 0 {
		axpyAVX2(n/8, &dst[0], &x[0], a, &y[0])
	}
	return n
}

func scale32(dst []float32, a float32, x []float32) int {
	n := vectors(len(dst))
	if n > 0 {
		scaleAVX2(n/8, &dst[0], a, &x[0])
	}
	return n
}

func relu32(dst, x []float32) int {
	n := vectors(len(dst))
	if n > 0 {
		reluAVX2(n/8, &dst[0], &x[0])
	}
	return n
}

func gate32(dst, x, y []float32) int {
	n := vectors(len(dst))
	if n > 0 {
		gateAVX2(n/8, &dst[0], &x[0], &y[0])
	}
	return n
}

// finite32 returns how many leading elements are known to be finite.
func finite32(x []float32) int {
	n := vectors(len(x))
	if n > 0 && largestAVX2(n/8, &x[0]) >= 0x7f800000 {
		return 0
	}
	return n
}

func vectors(n int) int {
	if level == 0 {
		return 0
	}
	return n &^ 7
}

//go:noescape
func addAVX2(n int, dst, src *float32)

//go:noescape
func axpyAVX2(n int, dst, x *float32, a float32, y *float32)

//go:noescape
func scaleAVX2(n int, dst *float32, a float32, x *float32)

//go:noescape
func reluAVX2(n int, dst, x *float32)

//go:noescape
func gateAVX2(n int, dst, x, y *float32)

//go:noescape
func largestAVX2(n int, x *float32) uint32
