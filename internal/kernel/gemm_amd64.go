//go:build !noasm && amd64

package kernel

import "golang.org/x/sys/cpu"

// level is what the processor and the system allow: 0 plain Go, 1 AVX2 and FMA,
// 2 AVX-512. It is set once and never changes bits.
var level = func() int {
	switch {
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		return 2
	case cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		return 1
	}
	return 0
}()

//go:noescape
func tileAVX512(k int, a *float32, ar, ac int, b *float32, br int, s *float32, sr int, c *float32, cr int, rows, vectors int, mask *uint32)

//go:noescape
func tileAVX2(k int, a *float32, ar, ac int, b *float32, br int, s *float32, sr int, c *float32, cr int, rows, vectors int, mask *uint32)

// lanes[8-i:] masks the first i of eight lanes.
var lanes = [16]uint32{^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0)}

// tile32 computes terms lo < hi of a tile, starting from s (nil: +0), and reports
// whether this processor has a kernel for it.
func tile32(t *tile[float32], lo, hi int, s []float32, sr int, c []float32, cr int) bool {
	for level > 0 && lo < hi {
		p := t.span(lo, hi)
		lo += p.n
		span32(t, p, s, sr, c, cr)
		s, sr = c, cr
	}
	return level > 0
}

// span32 is tile32 for the terms of one tap.
func span32(t *tile[float32], p span, s []float32, sr int, c []float32, cr int) {
	if level == 1 {
		tilesAVX2(t.m, t.n, p.n, t.a[p.a:], t.ar, t.ac, t.b[p.b:], t.br, s, sr, c, cr)
		return
	}
	var start *float32
	if s != nil {
		start = &s[0]
	}
	mask := uint32(1)<<((t.n-1)%16+1) - 1
	tileAVX512(p.n, &t.a[p.a], t.ar, t.ac, &t.b[p.b], t.br, start, sr, &c[0], cr, t.m, (t.n+15)/16, &mask)
}

// tilesAVX2 cuts a tile into what sixteen registers hold: 6 x 16 results.
func tilesAVX2(m, n, k int, a []float32, ar, ac int, b []float32, br int, s []float32, sr int, c []float32, cr int) {
	rows := even(m, 6, 1)
	for j := 0; j < n; j += 16 {
		nj := min(16, n-j)
		mask := &lanes[7-(nj-1)%8]
		for i := 0; i < m; i += rows {
			var start *float32
			if s != nil {
				start = &s[i*sr+j]
			}
			tileAVX2(k, &a[i*ar], ar, ac, &b[j], br, start, sr, &c[i*cr+j], cr, min(rows, m-i), (nj+7)/8, mask)
		}
	}
}
