package kernel

// Transpose sets dst [cols][rows] to the transpose of src [rows][cols]. They must
// not overlap.
func Transpose[T Float](dst, src []T, rows, cols int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	_, _ = dst[rows*cols-1], src[rows*cols-1]
	if is32[T]() && transpose32(f32(dst), f32(src), rows, cols) {
		return
	}
	i := 0
	for ; i+4 <= rows; i += 4 { // four rows at a time
		a, b := src[i*cols:][:cols], src[(i+1)*cols:][:cols]
		c, d := src[(i+2)*cols:][:cols], src[(i+3)*cols:][:cols]
		for j := range a {
			to := dst[j*rows+i:][:4]
			to[0], to[1], to[2], to[3] = a[j], b[j], c[j], d[j]
		}
	}
	for ; i < rows; i++ {
		for j, v := range src[i*cols:][:cols] {
			dst[j*rows+i] = v
		}
	}
}
