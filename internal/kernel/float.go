package kernel

import (
	"math"
	"unsafe"
)

// Float is the element type of everything numerical: float32 computes by the
// contract, float64 exists to check it.
type Float interface{ ~float32 | ~float64 }

// is32 reports whether T is a float32. The compiler folds it per shape.
func is32[T Float]() bool {
	var z T
	return unsafe.Sizeof(z) == 4
}

// f32 views x as []float32; the caller has asked is32.
func f32[T Float](x []T) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}

// f64 views x as []float64; the caller has asked is32.
func f64[T Float](x []T) []float64 {
	return unsafe.Slice((*float64)(unsafe.Pointer(unsafe.SliceData(x))), len(x))
}

// FMA returns a*b + c with one rounding.
func FMA[T Float](a, b, c T) T {
	if is32[T]() {
		return T(FMA32(float32(a), float32(b), float32(c)))
	}
	return T(math.FMA(float64(a), float64(b), float64(c)))
}

// FMA32 returns a*b + c with one rounding.
//
// The product is exact in float64. Rounding the float64 sum once more to float32
// is wrong only where that sum lies exactly between two float32 values, normal
// or subnormal, without being the exact sum: its low 28 bits are then zero, and it
// is no float32 itself. That rare case takes the sum rounded to odd instead
// (Boldo and Melquiond, 2008).
func FMA32(a, b, c float32) float32 {
	p := float64(a) * float64(b)
	s := p + float64(c)
	r := float32(s)
	if math.Float64bits(s)<<36 != 0 || float64(r) == s {
		return r
	}
	return roundOdd(p, float64(c), s)
}

// roundOdd rounds p + c to float32, where s is the float64 sum of the two with
// an even last bit: if s is not exact, the float64 neighbour on the side of the
// error, whose last bit is odd, rounds as the exact sum would.
func roundOdd(p, c, s float64) float32 {
	t := s - p
	e := (p - (s - t)) + (c - t)
	if e == 0 || e != e { // exact, infinite or NaN
		return float32(s)
	}
	u := math.Float64bits(s)
	if (e > 0) == (s > 0) {
		u++
	} else {
		u--
	}
	return float32(math.Float64frombits(u))
}

// IsFinite reports whether no element of x is NaN or infinite.
func IsFinite[T Float](x []T) bool {
	if is32[T]() {
		y := f32(x)
		for _, v := range y[finite32(y):] {
			if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
				return false
			}
		}
		return true
	}
	for _, v := range f64(x) {
		if math.Float64bits(v)&(0x7ff<<52) == 0x7ff<<52 {
			return false
		}
	}
	return true
}
