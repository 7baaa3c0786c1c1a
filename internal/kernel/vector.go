package kernel

// AddInto adds src to dst elementwise: dst[i] += src[i].
func AddInto[T Float](dst, src []T) {
	each(opAdd, dst, dst, src, nil, len(dst), len(dst), 0)
}

// Axpy computes dst[i] = x[i] + a*y[i], product and sum rounded each. dst may be
// x or y. A step against a gradient is Axpy(theta, theta, -rate, g).
func Axpy[T Float](dst, x []T, a T, y []T) {
	x, y = x[:len(dst)], y[:len(dst)]
	if is32[T]() && each32(opAxpy, f32(dst), f32(x), f32(y), nil, float32(a), 1, len(dst), 0, 0) {
		return
	}
	for i := range dst {
		p := T(a * y[i])
		dst[i] = x[i] + p
	}
}

// Scale computes dst[i] = a*x[i]. dst may be x.
func Scale[T Float](dst []T, a T, x []T) {
	x = x[:len(dst)]
	if is32[T]() && each32(opScale, f32(dst), f32(x), nil, nil, float32(a), 1, len(dst), 0, 0) {
		return
	}
	for i := range dst {
		dst[i] = a * x[i]
	}
}

// Relu computes dst[i] = 0 > x[i] ? 0 : x[i], so that -0 and NaN pass.
func Relu[T Float](dst, x []T) {
	x = x[:len(dst)]
	if is32[T]() && each32(opRelu, f32(dst), f32(x), nil, nil, 0, 1, len(dst), 0, 0) {
		return
	}
	for i := range dst {
		v := x[i]
		if 0 > v {
			v = 0
		}
		dst[i] = v
	}
}

// Gate computes dst[i] = y[i] > 0 ? x[i] : +0, the derivative of Relu along x
// where y is Relu's result: at zero it is zero. dst may be x.
func Gate[T Float](dst, x, y []T) {
	x, y = x[:len(dst)], y[:len(dst)]
	if is32[T]() && each32(opGate, f32(dst), f32(x), f32(y), nil, 0, 1, len(dst), 0, 0) {
		return
	}
	for i := range dst {
		v := x[i]
		if !(y[i] > 0) {
			v = 0
		}
		dst[i] = v
	}
}
