package kernel

// SinInto computes dst[i] = Sin(x[i]). dst may be x.
func SinInto(dst, x []float64) {
	x = x[:len(dst)]
	if sine64(dst, x) {
		return
	}
	for i, v := range x {
		dst[i] = Sin(v)
	}
}
