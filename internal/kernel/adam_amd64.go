//go:build !noasm && amd64

package kernel

// adam32 does the leading whole vectors and returns how many elements that are.
func adam32(theta, m, v, g []float32, r *AdamRates) int {
	width := 8
	if level == 2 {
		width = 16
	}
	n := len(theta) / width
	switch {
	case level == 0 || n == 0:
		return 0
	case level == 2:
		adamAVX512(n, &theta[0], &m[0], &v[0], &g[0], &r.Beta1)
	default:
		adamAVX2(n, &theta[0], &m[0], &v[0], &g[0], &r.Beta1)
	}
	return n * width
}

//go:noescape
func adamAVX512(n int, theta, m, v, grad, rates *float32)

//go:noescape
func adamAVX2(n int, theta, m, v, grad, rates *float32)
