package kernel

// AddInto adds src to dst elementwise: dst[i] += src[i].
func AddInto[T Float](dst, src []T) {
	src = src[:len(dst)]
	i := 0
	if is32[T]() {
		i = addInto32(f32(dst), f32(src))
	}
	for ; i < len(dst); i++ {
		dst[i] += src[i]
	}
}

// Axpy computes dst[i] = x[i] + a*y[i], product and sum rounded each. dst may be
// x or y. A step against a gradient is Axpy(theta, theta, -rate, g).
func Axpy[T Float](dst, x []T, a T, y []T) {
	x, y = x[:len(dst)], y[:len(dst)]
	i := 0
	if is32[T]() {
		i = axpy32(f32(dst), f32(x), float32(a), f32(y))
	}
	for ; i < len(dst); i++ {
		p := T(a * y[i])
		dst[i] = x[i] + p
	}
}

// Scale computes dst[i] = a*x[i]. dst may be x.
func Scale[T Float](dst []T, a T, x []T) {
	x = x[:len(dst)]
	i := 0
	if is32[T]() {
		i = scale32(f32(dst), float32(a), f32(x))
	}
	for ; i < len(dst); i++ {
		dst[i] = a * x[i]
	}
}

// Relu computes dst[i] = 0 > x[i] ? 0 : x[i], so that -0 and NaN pass.
func Relu[T Float](dst, x []T) {
	x = x[:len(dst)]
	i := 0
	if is32[T]() {
		i = relu32(f32(dst), f32(x))
	}
	for ; i < len(dst); i++ {
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
	i := 0
	if is32[T]() {
		i = gate32(f32(dst), f32(x), f32(y))
	}
	for ; i < len(dst); i++ {
		v := x[i]
		if !(y[i] > 0) {
			v = 0
		}
		dst[i] = v
	}
}
