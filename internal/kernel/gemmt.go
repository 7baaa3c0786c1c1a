package kernel

import "unsafe"

// chunk is how many terms of a transposed factor are laid out at a time.
const chunk = 64

// GemmT computes Gemm's product of a and the transpose of b:
//
//	for i, j:  C[i][j] = start; for l in 0..k-1: C[i][j] = fma(A[i][l], B[j][l], C[i][j])
//
// with A[i][l] = a[i*ar+l*ac], B[j][l] = b[j*br+l] and C[i][j] = c[i*cr+j]: a
// gradient for a layer's outputs carried back through its weights. It is Gemm on
// pieces of b transposed, which are small enough for the first cache, so that few
// rows fill vectors too. C must not overlap A or B. It panics where a slice is too
// short.
func GemmT[T Float](start Start, bias []T, m, n, k int, a []T, ar, ac int, b []T, br int, c []T, cr int) {
	if m <= 0 || n <= 0 {
		return
	}
	_ = c[(m-1)*cr+n-1]
	if k > 0 {
		_, _ = a[(m-1)*ar+(k-1)*ac], b[(n-1)*br+k-1]
	}
	if start == FromBias {
		_ = bias[n-1]
	}
	if k == 1 && br == 1 {
		Gemm(start, bias, m, n, 1, a, ar, ac, b, n, c, cr) // a column is its transpose
		return
	}
	var room [chunk*panelCols + line]T
	var t transposed[T]
	t.ar, t.ac, t.br, t.room = ar, ac, br, aligned(room[:])
	for j := 0; j < n; j += panelCols {
		t.n = min(panelCols, n-j)
		t.b = b[min(j*br, len(b)):]
		first := bias
		if start == FromBias {
			first = bias[j:]
		}
		for i := 0; i < m; i += panelRows {
			t.a = a[min(i*ar, len(a)):]
			t.blocks(start, first, min(panelRows, m-i), 0, k, c[i*cr+j:], cr)
		}
	}
}

// line is how many elements, at most, lie before the next line of the cache.
const line = 16

// aligned is x from its first whole cache line on, so that no vector lies across
// two. It is for speed alone: a stack that moves may undo it.
func aligned[T Float](x []T) []T {
	at := uintptr(unsafe.Pointer(&x[0])) / unsafe.Sizeof(x[0]) % line
	return x[(line-at)%line:]
}

// transposed is the product of a and the transpose of the n rows of b.
type transposed[T Float] struct {
	a, b       []T
	n          int
	ar, ac, br int
	room       []T
}

// blocks computes terms lo..hi-1 of m rows, joined by the fixed tree.
func (t *transposed[T]) blocks(start Start, bias []T, m, lo, hi int, c []T, cr int) {
	if hi-lo > Block {
		mid := lo + treeSplit((hi-lo+Block-1)/Block)*Block
		t.blocks(start, bias, m, lo, mid, c, cr)
		t.join(m, mid, hi, c, cr)
		return
	}
	for l := lo; l < hi || l == lo; l += chunk {
		k := min(chunk, hi-l)
		if k > 0 {
			transpose(t.room, t.n, t.b[l:], t.br, t.n, k)
		}
		Gemm(start, bias, m, t.n, k, t.a[min(l*t.ac, len(t.a)):], t.ar, t.ac, t.room, t.n, c, cr)
		start = FromC
	}
}

// join adds terms lo..hi-1, themselves summed by blocks, to c.
func (t *transposed[T]) join(m, lo, hi int, c []T, cr int) {
	var right [panelRows * panelCols]T
	t.blocks(FromZero, nil, m, lo, hi, right[:], t.n)
	for i := range m {
		AddInto(c[i*cr:][:t.n], right[i*t.n:])
	}
}
