package kernel

import "unsafe"

// A Tap is one offset into A and one into B, in elements: where one term block
// of a product over taps begins.
type Tap struct{ A, B int }

// operands are the two factors of a product over taps: its terms are counted tap
// by tap, k to each, and term q belongs to taps[q/k].
type operands[T Float] struct {
	k      int
	taps   []Tap
	a      []T
	ar, ac int
	b      []T
	br     int
}

// GemmTaps computes the m x n sum of products
//
//	for i, j:
//	    C[i][j] = start
//	    for t in taps; for l in 0..k-1:
//	        C[i][j] = fma(a[t.A+i*ar+l*ac], b[t.B+l*br+j], C[i][j])
//
// with C[i][j] = c[i*cr+j]. All len(taps)*k terms are one sum: blocks of Block
// terms are cut without regard to taps and joined by the contract, as Gemm, which
// is the case of one tap, does. A convolution is made of these: its taps are the
// kernel's that lie on the input (padding is skipped, not multiplied by zero), or,
// for the gradient of its weights, the positions. bias has n elements and is read
// for FromBias only. C must not overlap A or B. It panics where a slice is too
// short or an offset is negative; strides must not be.
func GemmTaps[T Float](start Start, bias []T, m, n, k int, taps []Tap, a []T, ar, ac int, b []T, br int, c []T, cr int) {
	if m <= 0 || n <= 0 {
		return
	}
	if k > 0 {
		checkTaps(taps, len(a)-(m-1)*ar-(k-1)*ac, len(b)-(k-1)*br-n+1)
	}
	var p operands[T]
	p.k, p.taps = k, taps
	p.a, p.ar, p.ac, p.b, p.br = a, ar, ac, b, br
	p.into(start, bias, m, n, c, cr)
}

// checkTaps panics unless the offsets of all taps lie in [0, la) and [0, lb).
func checkTaps(taps []Tap, la, lb int) {
	var a, b uint
	for i := range taps {
		a, b = max(a, uint(taps[i].A)), max(b, uint(taps[i].B))
	}
	if len(taps) == 0 {
		return
	}
	if a >= uint(max(la, 0)) {
		panic("kernel: a tap reaches beyond A")
	}
	if b >= uint(max(lb, 0)) {
		panic("kernel: a tap reaches beyond B")
	}
}

// into computes the product into C, panel by panel. Here and on the way to it,
// structures are filled field by field: a composite literal is copied, with loads
// that must wait until the stores before them, those of the last panel's results
// too, have left the store buffer.
func (p *operands[T]) into(start Start, bias []T, m, n int, c []T, cr int) {
	_ = c[(m-1)*cr+n-1]
	var s []T
	sr := 0
	switch start {
	case FromBias:
		_ = bias[n-1]
		s = bias[:n]
	case FromC:
		s, sr = c, cr
	}
	terms := len(p.taps) * p.k
	cols, rows := even(n, panelCols, 16), even(m, panelRows, 1)
	var t panel[T]
	t.operands = p
	for j := 0; j < n; j += cols {
		for i := 0; i < m; i += rows {
			t.i, t.j, t.m, t.n = i, j, min(rows, m-i), min(cols, n-j)
			from := s
			if s != nil {
				from = s[i*sr+j:]
			}
			t.blocks(0, terms, from, sr, c[i*cr+j:], cr)
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

// A panel is what is computed block by block; what its blocks are joined in lies on
// the stack. The assembly cuts it into tiles that registers hold.
const (
	panelRows = 48
	panelCols = 64
)

// panel is rows i..i+m-1 and columns j..j+n-1 of a product.
type panel[T Float] struct {
	*operands[T]
	i, j, m, n int
}

// blocks computes terms lo..hi-1 of a panel into c, starting from s (nil: +0). Of
// more than one block the left subtree holds the largest power of two below their
// number, which is the fixed tree.
func (t *panel[T]) blocks(lo, hi int, s []T, sr int, c []T, cr int) {
	if hi-lo <= Block {
		t.block(lo, hi, s, sr, c, cr)
		return
	}
	mid := lo + treeSplit((hi-lo+Block-1)/Block)*Block
	t.blocks(lo, mid, s, sr, c, cr)
	if hi-mid > Block || !is32[T]() || !panel32(t.as32(), mid, hi, nil, 0, f32(c), cr, 1) {
		t.join(mid, hi, c, cr)
	}
}

// join adds terms lo..hi-1 of a panel, themselves summed by blocks, to c.
func (t *panel[T]) join(lo, hi int, c []T, cr int) {
	var room [panelRows*panelCols + line]T
	right := aligned(room[:])
	t.blocks(lo, hi, nil, 0, right, t.n)
	for i := range t.m {
		AddInto(c[i*cr:][:t.n], right[i*t.n:])
	}
}

// block computes one block of a panel.
func (t *panel[T]) block(lo, hi int, s []T, sr int, c []T, cr int) {
	if is32[T]() {
		if lo == hi || !panel32(t.as32(), lo, hi, f32(s), sr, f32(c), cr, 0) {
			plain32(t.as32(), lo, hi, f32(s), sr, f32(c), cr)
		}
		return
	}
	plain64((*panel[float64])(unsafe.Pointer(t)), lo, hi, f64(s), sr, f64(c), cr)
}

// as32 views a panel that is one of float32.
func (t *panel[T]) as32() *panel[float32] { return (*panel[float32])(unsafe.Pointer(t)) }
