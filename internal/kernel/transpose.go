package kernel

// Transpose sets dst [cols][rows] to the transpose of src [rows][cols]. They must
// not overlap.
func Transpose[T Float](dst, src []T, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	_, _ = dst[rows*cols-1], src[rows*cols-1]
	transpose(dst, rows, src, cols, rows, cols)
}

// transpose is Transpose with strides: of dst's rows dr, of src's sr.
func transpose[T Float](dst []T, dr int, src []T, sr int, rows, cols int) {
	if is32[T]() && transpose32(f32(dst), dr, f32(src), sr, rows, cols) {
		return
	}
	i := 0
	for ; i+4 <= rows; i += 4 { // four rows at a time
		a, b := src[i*sr:][:cols], src[(i+1)*sr:][:cols]
		c, d := src[(i+2)*sr:][:cols], src[(i+3)*sr:][:cols]
		for j := range a {
			to := dst[j*dr+i:][:4]
			to[0], to[1], to[2], to[3] = a[j], b[j], c[j], d[j]
		}
	}
	for ; i < rows; i++ {
		for j, v := range src[i*sr:][:cols] {
			dst[j*dr+i] = v
		}
	}
}
