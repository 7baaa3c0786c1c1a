package kernel

import "math"

// Block is the length of one chain: longer sums are cut into blocks of this many
// terms, joined by the fixed tree.
const Block = 256

// Start says what the sums of a product start from.
type Start uint8

const (
	FromZero Start = iota // +0
	FromBias              // a row, the same for every row of the result
	FromC                 // what C holds: the product is added to it
)

// A tile is at most tileRows by tileCols results, held in registers by the
// assembly; it is also the unit in which blocks are joined.
const (
	tileRows = 8
	tileCols = 48
)

// Gemm computes the m x n product
//
//	for i, j:  C[i][j] = start; for l in 0..k-1: C[i][j] = fma(A[i][l], B[l][j], C[i][j])
//
// with A[i][l] = a[i*ar+l*ac] (so that A and its transpose are both in reach),
// B[l][j] = b[l*br+j] and C[i][j] = c[i*cr+j]. Sums of more than Block terms are
// cut and joined by the contract. bias has n elements and is read for FromBias
// only. C must not overlap A or B. It panics where a slice is too short.
func Gemm[T Float](start Start, bias []T, m, n, k int, a []T, ar, ac int, b []T, br int, c []T, cr int) {
	if m <= 0 || n <= 0 {
		return
	}
	_ = c[(m-1)*cr+n-1]
	if k > 0 {
		_, _ = a[(m-1)*ar+(k-1)*ac], b[(k-1)*br+n-1]
	}
	if start == FromBias {
		_ = bias[n-1]
	}
	if is32[T]() {
		gemm32(start, f32(bias), m, n, k, f32(a), ar, ac, f32(b), br, f32(c), cr)
		return
	}
	gemm64(start, f64(bias), m, n, k, f64(a), ar, ac, f64(b), br, f64(c), cr)
}

// gemm32 is Gemm on checked arguments.
func gemm32(start Start, bias []float32, m, n, k int, a []float32, ar, ac int, b []float32, br int, c []float32, cr int) {
	if n == 1 && ar == 1 && cr == 1 && start != FromBias {
		// A column: its transpose is a row, which fills the lanes.
		m, n, a, b, ar, ac, br = 1, m, b, a, 0, br, ac
		cr = n
	}
	var s []float32
	sr := 0
	switch start {
	case FromBias:
		s = bias[:n]
	case FromC:
		s, sr = c, cr
	}
	rows, cols := even(m, tileRows, 1), even(n, tileCols, 16)
	for j := 0; j < n; j += cols {
		nj := min(cols, n-j)
		for i := 0; i < m; i += rows {
			t := s
			if s != nil {
				t = s[i*sr+j:]
			}
			blocks32(min(rows, m-i), nj, k, a[min(i*ar, len(a)):], ar, ac, b[min(j, len(b)):], br, t, sr, c[i*cr+j:], cr)
		}
	}
}

// even cuts n into the fewest pieces of at most size, as equal as multiples of
// unit allow, and returns the length of a piece.
func even(n, size, unit int) int {
	if n <= size {
		return n
	}
	pieces := (n + size - 1) / size
	each := (n + pieces - 1) / pieces
	return (each + unit - 1) / unit * unit
}

// blocks32 computes one tile of a product into c, starting from s (nil: +0). Of
// more than one block the left subtree holds the largest power of two below
// their number, which is the fixed tree.
func blocks32(m, n, k int, a []float32, ar, ac int, b []float32, br int, s []float32, sr int, c []float32, cr int) {
	if k <= Block {
		if k == 0 || !tile32(m, n, k, a, ar, ac, b, br, s, sr, c, cr) {
			plain32(m, n, k, a, ar, ac, b, br, s, sr, c, cr)
		}
		return
	}
	left := treeSplit((k+Block-1)/Block) * Block
	blocks32(m, n, left, a, ar, ac, b, br, s, sr, c, cr)
	var right [tileRows * tileCols]float32
	blocks32(m, n, k-left, a[left*ac:], ar, ac, b[left*br:], br, nil, 0, right[:], n)
	for i := range m {
		row := c[i*cr:][:n]
		for j, v := range right[i*n:][:n] {
			row[j] += v
		}
	}
}

// plain32 is one block of a tile in plain Go. It holds the float32 values of C
// and of a row of B as float64, in which FMA32, written out here, computes.
func plain32(m, n, k int, a []float32, ar, ac int, b []float32, br int, s []float32, sr int, c []float32, cr int) {
	var acc [tileRows][tileCols]float64
	var wide [tileCols]float64
	for i := 0; i < m && s != nil; i++ {
		widen(acc[i][:n], s[i*sr:])
	}
	for l := range k {
		row := wide[:n]
		widen(row, b[l*br:])
		for i := range m {
			x, sums := float64(a[i*ar+l*ac]), acc[i][:n]
			for j, y := range row {
				p := x * y
				q := p + sums[j]
				r := float64(float32(q))
				if math.Float64bits(q)<<36 == 0 && r != q {
					r = float64(roundOdd(p, sums[j], q))
				}
				sums[j] = r
			}
		}
	}
	for i := range m {
		to := c[i*cr:][:n]
		for j, v := range acc[i][:n] {
			to[j] = float32(v)
		}
	}
}

// widen sets dst to src.
func widen(dst []float64, src []float32) {
	for j, v := range src[:len(dst)] {
		dst[j] = float64(v)
	}
}

// gemm64 is Gemm in float64, one row of C and one block at a time.
func gemm64(start Start, bias []float64, m, n, k int, a []float64, ar, ac int, b []float64, br int, c []float64, cr int) {
	for i := 0; i < m; i++ {
		row := c[i*cr:][:n]
		switch start {
		case FromZero:
			clear(row)
		case FromBias:
			copy(row, bias[:n])
		}
		if k == 0 {
			continue
		}
		if k <= Block {
			row64(k, a[i*ar:], ac, b, br, row)
			continue
		}
		for j := range row {
			row[j] = chain64(0, (k+Block-1)/Block, k, row[j], a[i*ar:], ac, b[j:], br)
		}
	}
}

// row64 adds the k <= Block terms of one row of a product to row.
func row64(k int, a []float64, ac int, b []float64, br int, row []float64) {
	for l := 0; l < k; l++ {
		x := a[l*ac]
		for j, y := range b[l*br:][:len(row)] {
			row[j] = math.FMA(x, y, row[j])
		}
	}
}

// chain64 returns blocks lo..hi-1 of one sum of k terms, joined by the tree.
func chain64(lo, hi, k int, start float64, a []float64, ac int, b []float64, br int) float64 {
	if hi-lo > 1 {
		mid := lo + treeSplit(hi-lo)
		return chain64(lo, mid, k, start, a, ac, b, br) + chain64(mid, hi, k, 0, a, ac, b, br)
	}
	for l := lo * Block; l < min(hi*Block, k); l++ {
		start = math.FMA(a[l*ac], b[l*br], start)
	}
	return start
}
