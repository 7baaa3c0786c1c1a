//go:build !noasm && amd64

package kernel

// transpose32 reports whether this processor has a kernel for transposing rows x
// cols of src, whose row stride is sr, into dst, whose is dr, and if so does it,
// square by square.
func transpose32(dst []float32, dr int, src []float32, sr int, rows, cols int) bool {
	size := 8 * level
	if level == 0 {
		return false
	}
	for i := 0; i < rows; i += size {
		r, j := min(size, rows-i), 0
		if r == size && cols >= size {
			strip(cols/size, dst[i:], dr, src[i*sr:], sr)
			j = cols / size * size
		}
		for ; j < cols; j += size {
			corner(r, min(size, cols-j), dst[j*dr+i:], dr, src[i*sr+j:], sr)
		}
	}
	return true
}

// strip transposes n whole squares side by side.
func strip(n int, dst []float32, dr int, src []float32, sr int) {
	if level == 2 {
		stripAVX512(n, &dst[0], dr, &src[0], sr)
	} else {
		stripAVX2(n, &dst[0], dr, &src[0], sr)
	}
}

// corner transposes what there is of a square at an edge.
func corner(rows, cols int, dst []float32, dr int, src []float32, sr int) {
	if level == 2 {
		transposeAVX512(rows, cols, &dst[0], dr, &src[0], sr, &lanes16[rows], &lanes16[cols])
	} else {
		transposeAVX2(rows, cols, &dst[0], dr, &src[0], sr, &lanes8[8-rows], &lanes8[8-cols])
	}
}

//go:noescape
func stripAVX512(n int, dst *float32, dr int, src *float32, sr int)

//go:noescape
func stripAVX2(n int, dst *float32, dr int, src *float32, sr int)

//go:noescape
func transposeAVX512(rows, cols int, dst *float32, dr int, src *float32, sr int, rowMask, colMask *uint32)

//go:noescape
func transposeAVX2(rows, cols int, dst *float32, dr int, src *float32, sr int, rowMask, colMask *uint32)
