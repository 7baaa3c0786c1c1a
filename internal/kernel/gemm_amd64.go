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
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX2 && cpu.X86.HasFMA:
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
	tap, skip := 0, 0
	if lo > 0 {
		tap, skip = lo/t.k, lo%t.k
	}
	var start *float32
	if s != nil {
		start = &s[0]
	}
	vectors := (t.n + 15) / 16
	rows := even(t.m, min(8, 24/vectors), 1)
	p := tileArgs{hi - lo, t.k, t.k - skip, skip, &t.taps[tap], &t.a[t.i*t.ar], t.ar, t.ac, &t.b[t.j], t.br, start, sr, &c[0], cr,
		t.m, rows, vectors, &lanes16[(t.n-1)%16+1], join}
	if level == 2 {
		tileAVX512(&p)
	} else {
		panelAVX2(p, t.n)
	}
	return true
}

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
