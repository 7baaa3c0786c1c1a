package kernel

import "math"

// span is a run of terms of one tap: where it begins in A and B, and how many.
type span struct{ a, b, n int }

// span returns the run of terms that begins at lo and ends before hi.
func (t *panel[T]) span(lo, hi int) span {
	tap, l := t.taps[lo/t.k], lo%t.k
	return span{tap.A + t.i*t.ar + l*t.ac, tap.B + t.j + l*t.br, min(t.k-l, hi-lo)}
}

// plainRows is how many rows plain32 computes at a time.
const plainRows = 8

// plain32 is one block of a panel in plain Go.
func plain32(t *panel[float32], lo, hi int, s []float32, sr int, c []float32, cr int) {
	for i := 0; i < t.m; i += plainRows {
		u := *t
		u.i, u.m = t.i+i, min(plainRows, t.m-i)
		if s != nil && i > 0 {
			s = s[plainRows*sr:]
		}
		plainTile(&u, lo, hi, s, sr, c[i*cr:], cr)
	}
}

// plainTile is plain32 for at most plainRows rows. It holds the float32 values of C and
// of a row of B as float64, in which FMA32, written out in madd, computes.
func plainTile(t *panel[float32], lo, hi int, s []float32, sr int, c []float32, cr int) {
	var acc [plainRows][panelCols]float64
	for i := 0; i < t.m && s != nil; i++ {
		widen(acc[i][:t.n], s[i*sr:])
	}
	var wide [panelCols]float64
	for lo < hi {
		p := t.span(lo, hi)
		lo += p.n
		for l := range p.n {
			row := wide[:t.n]
			widen(row, t.b[p.b+l*t.br:])
			for i := range t.m {
				madd(acc[i][:t.n], float64(t.a[p.a+i*t.ar+l*t.ac]), row)
			}
		}
	}
	for i := range t.m {
		to := c[i*cr:][:t.n]
		for j, v := range acc[i][:t.n] {
			to[j] = float32(v)
		}
	}
}

// madd adds x*row to sums, all of float32 values, with one rounding to float32.
func madd(sums []float64, x float64, row []float64) {
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

// widen sets dst to src.
func widen(dst []float64, src []float32) {
	for j, v := range src[:len(dst)] {
		dst[j] = float64(v)
	}
}

// plain64 is one block of a panel in float64.
func plain64(t *panel[float64], lo, hi int, s []float64, sr int, c []float64, cr int) {
	for i := range t.m {
		row := c[i*cr:][:t.n]
		if s == nil {
			clear(row)
		} else {
			copy(row, s[i*sr:])
		}
	}
	for lo < hi {
		p := t.span(lo, hi)
		lo += p.n
		for i := range t.m {
			row := c[i*cr:][:t.n]
			for l := range p.n {
				x := t.a[p.a+i*t.ar+l*t.ac]
				for j, y := range t.b[p.b+l*t.br:][:len(row)] {
					row[j] = math.FMA(x, y, row[j])
				}
			}
		}
	}
}
