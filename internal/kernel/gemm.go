package kernel

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
	if n == 1 && ar == 1 && cr == 1 && start != FromBias {
		// A column: its transpose is a row, which fills the lanes.
		a, ar, ac, b, br = b, 0, br, a, ac
		m, n, cr = 1, m, m
	}
	var one [1]Tap
	var p operands[T]
	p.k, p.taps = k, one[:]
	p.a, p.ar, p.ac, p.b, p.br = a, ar, ac, b, br
	p.into(start, bias, m, n, c, cr)
}
