package kernel

import "math"

// AdamRates are the scalars of one step of Adam (Kingma & Ba 2015, algorithm 1).
type AdamRates struct {
	Beta1, Rest1 float32 // of the first moment's average, and 1 - Beta1
	Beta2, Rest2 float32 // of the second moment's, and 1 - Beta2
	Step         float32 // rate / (1 - Beta1^t)
	Root         float32 // 1 / sqrt(1 - Beta2^t)
	Epsilon      float32
}

// Adam does one step on all of theta, from the gradient g and the moments m and v, which it updates:
//
//	m[i] = Beta1*m[i] + Rest1*g[i]
//	v[i] = Beta2*v[i] + (Rest2*g[i])*g[i]
//	theta[i] -= Step*m[i] / (sqrt(v[i])*Root + Epsilon)
//
// each operation rounded once.
func Adam(theta, m, v, g []float32, r *AdamRates) {
	m, v, g = m[:len(theta)], v[:len(theta)], g[:len(theta)]
	for i := adam32(theta, m, v, g, r); i < len(theta); i++ {
		m[i] = float32(r.Beta1*m[i]) + float32(r.Rest1*g[i])
		v[i] = float32(r.Beta2*v[i]) + float32(float32(r.Rest2*g[i])*g[i])
		theta[i] -= float32(r.Step*m[i]) / (float32(float32(math.Sqrt(float64(v[i])))*r.Root) + r.Epsilon)
	}
}
