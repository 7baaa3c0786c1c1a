//go:build !noasm && amd64

package kernel

import "unsafe"

// eachArgs says to the assembly, which knows their offsets, what an elementwise
// operation works on: n rows of full whole vectors and, where tail is not 0, one of
// the lanes in mask. Row after row is c elements on in dst and x, yr and zr in y
// and z. A slice that the operation does not read may be nil.
type eachArgs struct {
	op, n, full, tail int
	dst, x, y, z      *float32
	c, yr, zr         int
	a                 float32
	_                 float32
	mask              *uint32
}

// each32 does op on n rows of c > 0 columns and reports whether this processor has
// a kernel for it.
func each32(o op, dst, x, y, z []float32, a float32, n, c, yr, zr int) bool {
	if level == 0 || len(dst) == 0 {
		return false
	}
	var p eachArgs // filled field by field: see operands.into
	p.full, p.tail, p.mask = whole(c)
	p.op, p.n, p.c, p.yr, p.zr, p.a = int(o), n, c, yr, zr, a
	p.dst, p.x, p.y, p.z = &dst[0], &x[0], unsafe.SliceData(y), unsafe.SliceData(z)
	if level == 2 {
		eachAVX512(&p)
	} else {
		eachAVX2(&p)
	}
	return true
}

// whole returns how many whole vectors n elements fill, how many elements are
// left, and their mask.
func whole(n int) (full, tail int, mask *uint32) {
	if level == 2 {
		return n / 16, n % 16, &lanes16[n%16]
	}
	return n / 8, n % 8, &lanes8[8-n%8]
}

// vectors returns how many of n elements fill vectors of eight, where the processor
// has them.
func vectors(n int) int {
	if level == 0 {
		return 0
	}
	return n &^ 7
}

// columns32 sets dst to the sums, each one chain, of the columns of n > 0 rows of x,
// or of x times y where that is not nil, and reports whether this processor has a
// kernel for it.
func columns32(dst, x, y []float32, n, c int) bool {
	if level == 0 {
		return false
	}
	wide := 64
	if level == 2 {
		wide = 128
	}
	for j := 0; j < len(dst); j += wide {
		part := dst[j:min(j+wide, len(dst))]
		var other *float32
		if y != nil {
			other = &y[j]
		}
		if level == 2 {
			columnsAVX512(n, (len(part)+15)/16, &part[0], &x[j], other, c, &lanes16[(len(part)-1)%16+1])
		} else {
			columnsAVX2(n, (len(part)+7)/8, &part[0], &x[j], other, c, &lanes8[7-(len(part)-1)%8])
		}
	}
	return true
}

// finite32 returns how many leading elements are known to be finite.
func finite32(x []float32) int {
	n := vectors(len(x))
	if n == 0 || largestAVX2(n/8, &x[0]) >= 0x7f800000 {
		return 0
	}
	return n
}

//go:noescape
func eachAVX512(args *eachArgs)

//go:noescape
func eachAVX2(args *eachArgs)

//go:noescape
func columnsAVX512(n, vectors int, dst, x, y *float32, c int, mask *uint32)

//go:noescape
func columnsAVX2(n, vectors int, dst, x, y *float32, c int, mask *uint32)

//go:noescape
func largestAVX2(n int, x *float32) uint32
