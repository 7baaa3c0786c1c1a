package kernel

// Elementwise operations, each rounding once. dst may be any of the operands; all
// slices have dst's length. The forms named Row work on dst [n][len(row)], and
// every one of the n rows meets the same per-column vector.

// Mul computes dst[i] = x[i] * y[i].
func Mul[T Float](dst, x, y []T) { each(opMul, dst, x, y, nil, len(dst), len(dst), len(dst)) }

// Sub computes dst[i] = x[i] - y[i].
func Sub[T Float](dst, x, y []T) { each(opSub, dst, x, y, nil, len(dst), len(dst), len(dst)) }

// MulAdd computes dst[i] = T(x[i]*y[i]) + z[i], two roundings.
func MulAdd[T Float](dst, x, y, z []T) {
	each(opMulAdd, dst, x, y, z, len(dst), len(dst), len(dst))
}

// AddRow computes dst[i][j] = x[i][j] + row[j].
func AddRow[T Float](dst, x, row []T) { each(opAdd, dst, x, row, nil, len(row), 0, 0) }

// SubRow computes dst[i][j] = x[i][j] - row[j].
func SubRow[T Float](dst, x, row []T) { each(opSub, dst, x, row, nil, len(row), 0, 0) }

// MulRow computes dst[i][j] = x[i][j] * row[j].
func MulRow[T Float](dst, x, row []T) { each(opMul, dst, x, row, nil, len(row), 0, 0) }

// SubMulRow computes dst[i][j] = T(x[i][j]-a[j]) * b[j], two roundings: a
// column's values less their mean, times what makes their variance one.
func SubMulRow[T Float](dst, x, a, b []T) { each(opSubMul, dst, x, a, b, len(a), 0, 0) }

// MulAddRow computes dst[i][j] = T(x[i][j]*a[j]) + b[j], two roundings.
func MulAddRow[T Float](dst, x, a, b []T) { each(opMulAdd, dst, x, a, b, len(a), 0, 0) }

// AddMulRow computes dst[i][j] = z[i][j] + T(x[i][j]*a[j]), two roundings.
func AddMulRow[T Float](dst, z, x, a []T) { each(opMulAdd, dst, x, a, z, len(a), 0, len(a)) }

// op is an elementwise operation of x, y, z and a scalar a.
type op uint8

// The assembly knows their order.
const (
	opAdd    op = iota // x + y
	opSub              // x - y
	opMul              // x * y
	opAxpy             // x + T(a*y)
	opGate             // y > 0 ? x : +0
	opScale            // a * x
	opRelu             // 0 > x ? 0 : x
	opSubMul           // (x - y) * z
	opMulAdd           // x*y + z
)

// each does op on rows of c columns; y and z advance by yr and zr from row to row.
// It panics where dst is no whole number of rows or a slice is too short.
func each[T Float](o op, dst, x, y, z []T, c, yr, zr int) {
	if len(dst) == 0 {
		return
	}
	n := 1
	if c != len(dst) {
		if n = len(dst) / c; n*c != len(dst) {
			panic("kernel: rows of unlike length")
		}
	}
	_, _ = x[len(dst)-1], y[(n-1)*yr+c-1]
	if o >= opSubMul {
		_ = z[(n-1)*zr+c-1]
	}
	if is32[T]() && each32(o, f32(dst), f32(x), f32(y), f32(z), 0, n, c, yr, zr) {
		return
	}
	for i := range n {
		to, x, y := dst[i*c:][:c], x[i*c:][:c], y[i*yr:][:c]
		if o < opSubMul {
			pairwise(o, to, x, y)
		} else {
			triple(o, to, x, y, z[i*zr:][:c])
		}
	}
}

// pairwise is one row of an operation on two.
func pairwise[T Float](o op, dst, x, y []T) {
	switch o {
	case opAdd:
		for i := range dst {
			dst[i] = x[i] + y[i]
		}
	case opSub:
		for i := range dst {
			dst[i] = x[i] - y[i]
		}
	case opMul:
		for i := range dst {
			dst[i] = x[i] * y[i]
		}
	}
}

// triple is one row of an operation on three.
func triple[T Float](o op, dst, x, y, z []T) {
	switch o {
	case opSubMul:
		for i := range dst {
			dst[i] = T(x[i]-y[i]) * z[i]
		}
	case opMulAdd:
		for i := range dst {
			dst[i] = T(x[i]*y[i]) + z[i]
		}
	}
}
