package kernel

import "math"

// Sigmoid returns 1/(1+e**-x), from e**-|x|, which never overflows: for x >= 0 as
// 1/(1+e), else as e/(1+e), so that small results keep their digits.
func Sigmoid(x float64) float64 {
	e := Exp(-math.Abs(x))
	if x >= 0 {
		return 1 / (1 + e)
	}
	return e / (1 + e)
}

// TanhInto computes dst[i] = T(Tanh(float64(x[i]))). dst may be x.
func TanhInto[T Float](dst, x []T) { curve(curveTanh, Tanh, dst, x) }

// SigmoidInto computes dst[i] = T(Sigmoid(float64(x[i]))). dst may be x.
func SigmoidInto[T Float](dst, x []T) { curve(curveSigmoid, Sigmoid, dst, x) }

// ExpInto computes dst[i] = T(Exp(float64(x[i]))). dst may be x.
func ExpInto[T Float](dst, x []T) { curve(curveExp, Exp, dst, x) }

// Curves that the assembly knows.
const (
	curveExp = iota
	curveTanh
	curveSigmoid
)

// curve applies one function to every element.
func curve[T Float](which int, f func(float64) float64, dst, x []T) {
	x = x[:len(dst)]
	if is32[T]() && curve32(which, f32(dst), f32(x)) {
		return
	}
	for i, v := range x {
		dst[i] = T(f(float64(v)))
	}
}
