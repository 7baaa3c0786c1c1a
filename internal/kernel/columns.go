package kernel

// ColumnSums computes, for every column of x [n][c],
//
//	dst[j] = 0; for i in 0..n-1: dst[j] = fma(1, x[i][j], dst[j])
//
// in blocks of Block rows joined by the fixed tree. dst has c elements.
func ColumnSums[T Float](dst, x []T, n, c int) { columns(dst, x, nil, n, c) }

// ColumnDots computes, for every column of x and y, both [n][c],
//
//	dst[j] = 0; for i in 0..n-1: dst[j] = fma(x[i][j], y[i][j], dst[j])
//
// in blocks of Block rows joined by the fixed tree. dst has c elements.
func ColumnDots[T Float](dst, x, y []T, n, c int) {
	if n > 0 && c > 0 {
		_ = y[n*c-1]
	}
	columns(dst, x, y, n, c)
}

// columnsWide is how many columns are reduced at a time.
const columnsWide = 128

// columns is ColumnDots, or ColumnSums where y is nil.
func columns[T Float](dst, x, y []T, n, c int) {
	if n <= 0 || c <= 0 {
		clear(dst[:max(c, 0)])
		return
	}
	_, _ = x[n*c-1], dst[c-1]
	for j := 0; j < c; j += columnsWide {
		columnBlocks(dst[j:min(j+columnsWide, c)], x, y, j, 0, n, c)
	}
}

// columnBlocks sets dst to the sums over rows lo..hi-1 of columns j and on.
func columnBlocks[T Float](dst, x, y []T, j, lo, hi, c int) {
	if hi-lo > Block {
		mid := lo + treeSplit((hi-lo+Block-1)/Block)*Block
		columnBlocks(dst, x, y, j, lo, mid, c)
		var room [columnsWide]T
		right := room[:len(dst)]
		columnBlocks(right, x, y, j, mid, hi, c)
		AddInto(dst, right)
		return
	}
	x = x[lo*c+j:]
	if y != nil {
		y = y[lo*c+j:]
	}
	if is32[T]() && columns32(f32(dst), f32(x), f32(y), hi-lo, c) {
		return
	}
	clear(dst)
	for i := range hi - lo {
		if y == nil {
			for j, v := range x[i*c:][:len(dst)] {
				dst[j] += v // as fma(1, v, dst[j])
			}
			continue
		}
		u := y[i*c:][:len(dst)]
		for j, v := range x[i*c:][:len(dst)] {
			dst[j] = FMA(v, u[j], dst[j])
		}
	}
}
