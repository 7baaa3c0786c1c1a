//go:build !noasm && amd64

package kernel

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// level is what the processor and the system allow: 0 plain Go, 1 AVX2 and FMA,
// 2 AVX-512. It is set once and never changes bits.
var level = func() int {
	switch {
	case useAVX512 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		return 2
	case cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		return 1
	}
	return 0
}()

// tileArgs says to the assembly, which knows their offsets, what a block of a panel
// is: terms > 0 of them, of which the first tap, from its term skip on, has first
// and every other k. Start values at s, or +0 where it is nil. Where join is not 0,
// the block is added to C instead of being put there. a, c, s, m and rows are
// changed.
type tileArgs struct {
	terms, k, first, skip int
	taps                  *Tap
	a                     *float32
	ar, ac                int
	b                     *float32
	br                    int
	s                     *float32
	sr                    int
	c                     *float32
	cr                    int
	m, rows               int // of the panel, of a tile
	vectors               int
	mask                  *uint32 // of the last vector
	join                  int
}

//go:noescape
func tileAVX512(args *tileArgs)

//go:noescape
func tileAVX2(args *tileArgs)

// lanes8[8-i:] masks the first i of eight lanes; lanes16[i] the first i of sixteen.
var (
	lanes8  = [16]uint32{^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0)}
	lanes16 = [17]uint32{0, 0x1, 0x3, 0x7, 0xf, 0x1f, 0x3f, 0x7f, 0xff, 0x1ff, 0x3ff, 0x7ff, 0xfff, 0x1fff, 0x3fff, 0x7fff, 0xffff}
)

// panel32 computes terms lo < hi of a panel, starting from s (nil: +0), and reports
// whether this processor has a kernel for it. It adds the result to c where join is
// 1, else it puts it there.
func panel32(t *panel[float32], lo, hi int, s []float32, sr int, c []float32, cr, join int) bool {
	if level == 0 {
		return false
	}
	var p tileArgs
	p.terms, p.k, p.first, p.taps = hi-lo, t.k, t.k, &t.taps[0]
	if lo > 0 {
		tap := lo / t.k
		p.skip = lo - tap*t.k
		p.first, p.taps = t.k-p.skip, &t.taps[tap]
	}
	if s != nil {
		p.s, p.sr = &s[0], sr
	}
	p.a, p.ar, p.ac = &t.a[t.i*t.ar], t.ar, t.ac
	p.b, p.br = &t.b[t.j], t.br
	p.c, p.cr = &c[0], cr
	p.m, p.vectors = t.m, (t.n+15)/16
	p.rows = int(tileRows[p.vectors][t.m])
	p.mask, p.join = &lanes16[(t.n-1)%16+1], join
	if level == 2 {
		tileAVX512(&p)
	} else {
		panelAVX2(p, t.n)
	}
	return true
}

// tileRows are the rows of a tile by the panel's vectors and rows.
var tileRows = func() (rows [panelCols/16 + 1][panelRows + 1]uint8) {
	for v := 1; v < len(rows); v++ {
		for m := 1; m <= panelRows; m++ {
			rows[v][m] = uint8(even(m, min(8, 24/v), 1))
		}
	}
	return rows
}()

// panelAVX2 cuts a panel into what sixteen registers hold: 6 x 16 results.
func panelAVX2(p tileArgs, n int) {
	for j := 0; j < n; j += 16 {
		q, nj := p, min(16, n-j)
		q.rows, q.vectors, q.mask = even(p.m, 6, 1), (nj+7)/8, &lanes8[7-(nj-1)%8]
		q.b, q.c = at(p.b, j), at(p.c, j)
		if p.s != nil {
			q.s = at(p.s, j)
		}
		tileAVX2(&q)
	}
}

// at returns the place i elements after p.
func at(p *float32, i int) *float32 { return (*float32)(unsafe.Add(unsafe.Pointer(p), 4*i)) }
