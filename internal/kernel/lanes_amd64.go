//go:build !noasm && amd64

package kernel

// maxLaneRows is the most rows of a strip.
const maxLaneRows = 5

// laneRows is how many rows of a product a strip has: what the registers hold.
func laneRows() int {
	if level == 1 {
		return 4
	}
	return maxLaneRows
}

//go:noescape
func laneTileAVX512(n, k int, a *float32, ar, ac int, b *float32, br, bc int, s *float32, mode int, c *float32, cr, rows int)

//go:noescape
func laneTileSharedAVX512(n, k int, a *float32, ar, ac int, b *float32, br, bc int, s *float32, mode int, c *float32, cr, rows int)

//go:noescape
func laneTileAVX2(n, k int, a *float32, ar, ac int, b *float32, br, bc int, s *float32, mode int, c *float32, cr, rows int)

//go:noescape
func laneTileSharedAVX2(n, k int, a *float32, ar, ac int, b *float32, br, bc int, s *float32, mode int, c *float32, cr, rows int)

//go:noescape
func laneDotAVX512(n int, x, y, acc *float32)

//go:noescape
func laneDotAVX2(n int, x, y, acc *float32)

//go:noescape
func laneSumAVX2(n int, dst, x *float32, mask *uint32)

// laneStrips computes a product of k > 0 terms in one block, and reports whether
// this processor has a kernel for it.
func laneStrips(start Start, bias []float32, m, n, k int, a, b *Operand, c []float32, cr int) bool {
	if level == 0 {
		return false
	}
	var s *float32
	if start == FromBias {
		s = &bias[0]
	}
	const bytes = 4 * Lanes
	wb := 4 * b.width()
	ar, ac, br, bc := a.Row*bytes, a.Col*bytes, b.Row*wb, b.Col*wb
	rows := even(m, laneRows(), 1)
	for i := 0; i < m; i += rows {
		x, y, z := &a.X[i*a.Row*Lanes], &b.X[0], &c[i*cr*Lanes]
		strip := min(rows, m-i)
		switch {
		case level == 2 && b.Shared:
			laneTileSharedAVX512(n, k, x, ar, ac, y, br, bc, s, int(start), z, cr*bytes, strip)
		case level == 2:
			laneTileAVX512(n, k, x, ar, ac, y, br, bc, s, int(start), z, cr*bytes, strip)
		case b.Shared:
			laneTileSharedAVX2(n, k, x, ar, ac, y, br, bc, s, int(start), z, cr*bytes, strip)
			x, z = &a.X[i*a.Row*Lanes+8], &c[i*cr*Lanes+8]
			laneTileSharedAVX2(n, k, x, ar, ac, y, br, bc, s, int(start), z, cr*bytes, strip)
		default:
			laneTileAVX2(n, k, x, ar, ac, y, br, bc, s, int(start), z, cr*bytes, strip)
			x, y, z = &a.X[i*a.Row*Lanes+8], &b.X[8], &c[i*cr*Lanes+8]
			upper := s
			if s != nil {
				upper = &bias[8]
			}
			laneTileAVX2(n, k, x, ar, ac, y, br, bc, upper, int(start), z, cr*bytes, strip)
		}
	}
	return true
}

// laneDot32 sets the chains to those of as many whole rounds as there are, and
// returns the number of float32 done.
func laneDot32(chain *[dotChains * Lanes]float32, x, y []float32) int {
	rounds := len(x) / len(chain)
	if level == 0 || rounds == 0 {
		return 0
	}
	for at := 0; at < len(chain); at += len(chain) / 2 {
		if level == 2 {
			laneDotAVX512(rounds, &x[at], &y[at], &chain[at])
			continue
		}
		laneDotAVX2(rounds, &x[at], &y[at], &chain[at])
		laneDotAVX2(rounds, &x[at+8], &y[at+8], &chain[at+8])
	}
	return rounds * len(chain)
}

// laneSum32 does as many elements as make fours and returns how many.
func laneSum32(dst, x []float32, mask *LaneMask) int {
	n := len(dst) / 4
	if level == 0 || n == 0 {
		return 0
	}
	laneSumAVX2(n, &dst[0], &x[0], &mask[0])
	return n * 4
}

//go:noescape
func laneStepAVX512(n int, dst, x, r, by *float32)

//go:noescape
func laneStepSharedAVX512(n int, dst, x, r, by *float32)

//go:noescape
func laneStepAVX2(n int, dst, x, r, by *float32)

//go:noescape
func laneStepSharedAVX2(n int, dst, x, r, by *float32)

//go:noescape
func laneScaleAVX512(n int, dst, r, x *float32)

//go:noescape
func laneScaleAVX2(n int, dst, r, x *float32)

// laneStep32 is LaneStep where the processor has it.
func laneStep32(dst, x []float32, shared bool, r, g []float32) bool {
	switch {
	case len(r) == 0 || level == 0:
		return len(r) == 0
	case level == 2 && shared:
		laneStepSharedAVX512(len(r), &dst[0], &x[0], &r[0], &g[0])
	case level == 2:
		laneStepAVX512(len(r), &dst[0], &x[0], &r[0], &g[0])
	case shared:
		laneStepSharedAVX2(len(r), &dst[0], &x[0], &r[0], &g[0])
	default:
		laneStepAVX2(len(r), &dst[0], &x[0], &r[0], &g[0])
	}
	return true
}

// laneScale32 is LaneScale where the processor has it.
func laneScale32(dst, r, x []float32) bool {
	switch {
	case len(r) == 0 || level == 0:
		return len(r) == 0
	case level == 2:
		laneScaleAVX512(len(r), &dst[0], &r[0], &x[0])
	default:
		laneScaleAVX2(len(r), &dst[0], &r[0], &x[0])
	}
	return true
}

//go:noescape
func subProductAVX2(n int, dst, x, y *float32)

// subProduct32 does as many elements as fill vectors of eight.
func subProduct32(dst, x, y []float32) int {
	n := vectors(len(dst))
	if n > 0 {
		subProductAVX2(n/8, &dst[0], &x[0], &y[0])
	}
	return n
}

// Level names the instruction set in use.
func Level() string { return [...]string{"plain", "avx2", "avx512"}[level] }
