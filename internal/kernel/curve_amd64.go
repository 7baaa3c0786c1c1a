//go:build !noasm && amd64

package kernel

// curve32 applies a curve to every element and reports whether this processor has
// a kernel for it.
func curve32(which int, dst, x []float32) bool {
	if len(dst) == 0 {
		return true
	}
	switch level {
	case 2:
		curveAVX512(which, dst, x)
	case 1:
		curveAVX2(which, dst, x)
	}
	return level > 0
}

// curveAVX512 computes eight elements at a time, as float64.
func curveAVX512(which int, dst, x []float32) {
	n, mask := (len(dst)+7)/8, &lanes16[(len(dst)-1)%8+1]
	switch which {
	case curveExp:
		expAVX512(n, &dst[0], &x[0], mask)
	case curveTanh:
		tanhAVX512(n, &dst[0], &x[0], mask)
	case curveSigmoid:
		sigmoidAVX512(n, &dst[0], &x[0], mask)
	}
}

// curveAVX2 computes four elements at a time, as float64.
func curveAVX2(which int, dst, x []float32) {
	n, mask := (len(dst)+3)/4, &lanes8[7-(len(dst)-1)%4]
	switch which {
	case curveExp:
		expAVX2(n, &dst[0], &x[0], mask)
	case curveTanh:
		tanhAVX2(n, &dst[0], &x[0], mask)
	case curveSigmoid:
		sigmoidAVX2(n, &dst[0], &x[0], mask)
	}
}

//go:noescape
func expAVX512(n int, dst, x *float32, mask *uint32)

//go:noescape
func tanhAVX512(n int, dst, x *float32, mask *uint32)

//go:noescape
func sigmoidAVX512(n int, dst, x *float32, mask *uint32)

//go:noescape
func expAVX2(n int, dst, x *float32, mask *uint32)

//go:noescape
func tanhAVX2(n int, dst, x *float32, mask *uint32)

//go:noescape
func sigmoidAVX2(n int, dst, x *float32, mask *uint32)
