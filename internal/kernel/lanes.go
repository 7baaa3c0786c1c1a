package kernel

import (
	"math"
	"unsafe"
)

// Lanes is how many tasks the lane kernels compute at once. An element of a lane
// vector is Lanes float32 in a row, one for each task: x[i*Lanes+lane]. Every
// operation is elementwise over lanes, so that a task's bits are those of the
// kernels over one task.
const Lanes = 16

// NewLanes returns n elements of zeros at an address that vector loads like: one
// of a cache line.
func NewLanes(n int) []float32 {
	const line = 64 / 4
	x := make([]float32, n*Lanes+line)
	at := uintptr(unsafe.Pointer(unsafe.SliceData(x))) / 4 % line
	skip := int((line - at) % line)
	return x[skip:][: n*Lanes : n*Lanes]
}

// Operand is a matrix that a product over lanes reads: element (i, j) starts at
// X[(i*Row+j*Col)*Lanes], or is X[i*Row+j*Col] in all lanes where Shared is set.
type Operand struct {
	X        []float32
	Row, Col int
	Shared   bool
}

// at is the operand from row i, column j on.
func (o Operand) at(i, j int) Operand {
	o.X = o.X[min((i*o.Row+j*o.Col)*o.width(), len(o.X)):]
	return o
}

// width is the number of float32 of one element.
func (o Operand) width() int {
	if o.Shared {
		return 1
	}
	return Lanes
}

// LaneGemm is Gemm for each lane: for i < m, j < n, and each lane,
//
//	C[i][j] = start; for l in 0..k-1: C[i][j] = fma(A[i][l], B[l][j], C[i][j])
//
// with C[i][j] the element i*cr+j of c, in blocks joined as in Gemm. A is never
// shared. FromBias starts column j from element j of bias, which is shared where B
// is. C must not overlap the operands. It panics where a slice is too short.
func LaneGemm(start Start, bias []float32, m, n, k int, a, b Operand, c []float32, cr int) {
	if m <= 0 || n <= 0 {
		return
	}
	_ = c[((m-1)*cr+n)*Lanes-1]
	if k > 0 {
		_ = a.X[((m-1)*a.Row+(k-1)*a.Col+1)*Lanes-1]
		_ = b.X[((k-1)*b.Row+(n-1)*b.Col+1)*b.width()-1]
	}
	if start == FromBias {
		_ = bias[n*b.width()-1]
	}
	if n == 1 && cr == 1 && start != FromBias && !b.Shared {
		// A column: its transpose is a row, of which one call does all.
		a, b = Operand{X: b.X, Col: b.Row}, Operand{X: a.X, Row: a.Col, Col: a.Row}
		m, n, cr = 1, m, m
	}
	if k > 0 && k <= Block && laneStrips(start, bias, m, n, k, &a, &b, c, cr) {
		return
	}
	rows := even(m, laneRows(), 1)
	for i := 0; i < m; i += rows {
		laneBlocks(start, bias, min(rows, m-i), n, k, a.at(i, 0), b, c[i*cr*Lanes:], cr)
	}
}

// LaneStrip is how many rows of a product are computed together: a good unit to
// cut a result into.
func LaneStrip() int { return laneRows() }

// laneJoin is how many columns of a strip are joined at a time, where a sum has
// more than one block.
const laneJoin = 16

// laneBlocks computes a strip of at most laneRows rows.
func laneBlocks(start Start, bias []float32, m, n, k int, a, b Operand, c []float32, cr int) {
	if k <= Block {
		if k == 0 || !laneStrips(start, bias, m, n, k, &a, &b, c, cr) {
			lanePlain(start, bias, m, n, k, a, b, c, cr)
		}
		return
	}
	left := treeSplit((k+Block-1)/Block) * Block
	laneBlocks(start, bias, m, n, left, a, b, c, cr)
	var right [maxLaneRows * laneJoin * Lanes]float32
	for j := 0; j < n; j += laneJoin {
		nj := min(laneJoin, n-j)
		laneBlocks(FromZero, nil, m, nj, k-left, a.at(0, left), b.at(left, j), right[:], nj)
		for i := range m {
			AddInto(c[(i*cr+j)*Lanes:][:nj*Lanes], right[i*nj*Lanes:][:nj*Lanes])
		}
	}
}

// lanePlain is one block of a strip in plain Go.
func lanePlain(start Start, bias []float32, m, n, k int, a, b Operand, c []float32, cr int) {
	for i := range m {
		for j := range n {
			to := (*[Lanes]float32)(c[(i*cr+j)*Lanes:])
			switch {
			case start == FromZero:
				*to = [Lanes]float32{}
			case start == FromBias && b.Shared:
				*to = everyLane(bias[j])
			case start == FromBias:
				*to = [Lanes]float32(bias[j*Lanes:])
			}
			for l := range k {
				x := (*[Lanes]float32)(a.X[(i*a.Row+l*a.Col)*Lanes:])
				at := l*b.Row + j*b.Col
				if b.Shared {
					y := b.X[at]
					for lane, v := range x {
						to[lane] = FMA32(v, y, to[lane])
					}
					continue
				}
				y := (*[Lanes]float32)(b.X[at*Lanes:])
				for lane, v := range x {
					to[lane] = FMA32(v, y[lane], to[lane])
				}
			}
		}
	}
}

func everyLane(x float32) (v [Lanes]float32) {
	for i := range v {
		v[i] = x
	}
	return v
}

// A LaneMask says which lanes count: all bits of lane i are set where it does.
type LaneMask [Lanes]uint32

// Set says whether a lane counts.
func (m *LaneMask) Set(lane int, counts bool) {
	m[lane] = 0
	if counts {
		m[lane] = ^uint32(0)
	}
}

// negZero is what adds to anything without changing it.
var negZero = math.Float32frombits(1 << 31)

// LaneSum sets dst[i] to the sum of element i of x over the lanes of the mask, by
// the fixed tree over lanes in which a node without lanes of the mask below passes
// its sibling's value unchanged. So it is the sum over tasks of an aligned group,
// some of which may be missing. Of no lanes it is -0.
func LaneSum(dst, x []float32, mask *LaneMask) {
	x = x[:len(dst)*Lanes]
	for i := laneSum32(dst, x, mask); i < len(dst); i++ {
		var v [Lanes]float32
		for lane, y := range x[i*Lanes:][:Lanes] {
			if v[lane] = negZero; mask[lane] != 0 {
				v[lane] = y
			}
		}
		for n := Lanes / 2; n > 0; n /= 2 {
			for k := range n {
				v[k] = v[2*k] + v[2*k+1]
			}
		}
		dst[i] = v[0]
	}
}

// LanePut sets the given lane of dst to src: dst[i*Lanes+lane] = src[i].
func LanePut(dst []float32, lane int, src []float32) {
	if len(src) == 0 {
		return
	}
	dst = dst[lane:]
	_ = dst[(len(src)-1)*Lanes]
	for i, v := range src {
		dst[i*Lanes] = v
	}
}

// LaneGet is LanePut's opposite: dst[i] = src[i*Lanes+lane].
func LaneGet(dst, src []float32, lane int) {
	for i := range dst {
		dst[i] = src[i*Lanes+lane]
	}
}
