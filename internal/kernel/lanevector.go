package kernel

// LaneStep computes dst[i] = x[i] - r[i]*g[i] in every lane, product and
// difference rounded each: a step against a gradient, at rates r that all lanes
// share. x is shared too where said. dst may be x.
func LaneStep(dst, x []float32, shared bool, r, g []float32) {
	n := len(dst) / Lanes
	g, r = g[:n*Lanes], r[:n]
	if shared {
		x = x[:n]
	} else {
		x = x[:n*Lanes]
	}
	if laneStep32(dst, x, shared, r, g) {
		return
	}
	for i, rate := range r {
		to, by := (*[Lanes]float32)(dst[i*Lanes:]), (*[Lanes]float32)(g[i*Lanes:])
		if shared {
			for lane, v := range by {
				p := float32(rate * v)
				to[lane] = x[i] - p
			}
			continue
		}
		at := (*[Lanes]float32)(x[i*Lanes:])
		for lane, v := range by {
			p := float32(rate * v)
			to[lane] = at[lane] - p
		}
	}
}

// LaneScale computes dst[i] = r[i]*x[i] in every lane, r shared by all. dst may be
// x.
func LaneScale(dst, r, x []float32) {
	n := len(dst) / Lanes
	x, r = x[:n*Lanes], r[:n]
	if laneScale32(dst, r, x) {
		return
	}
	for i, rate := range r {
		to, v := (*[Lanes]float32)(dst[i*Lanes:]), (*[Lanes]float32)(x[i*Lanes:])
		for lane := range Lanes {
			to[lane] = rate * v[lane]
		}
	}
}

// LaneDot sets dot to the Dot of each lane of x and y, vectors of len(x)/Lanes
// elements.
func LaneDot(dot *[Lanes]float32, x, y []float32) {
	if len(x) > dotBlock*Lanes {
		s := treeSplit((len(x)/Lanes+dotBlock-1)/dotBlock) * dotBlock * Lanes
		var right [Lanes]float32
		LaneDot(dot, x[:s], y[:s])
		LaneDot(&right, x[s:], y[s:])
		AddInto(dot[:], right[:])
		return
	}
	y = y[:len(x)]
	var chain [dotChains * Lanes]float32
	// Element i of a block is chain i%16's: whole rounds of the chains stand one
	// after the other.
	const round = dotChains * Lanes
	done := laneDot32(&chain, x, y)
	for ; done < len(x); done += round {
		for i, v := range x[done:min(done+round, len(x))] {
			chain[i] = FMA32(v, y[done+i], chain[i])
		}
	}
	for n := dotChains; n > 1; n /= 2 {
		for i := range n / 2 {
			to := chain[i*Lanes:][:Lanes]
			copy(to, chain[2*i*Lanes:][:Lanes])
			AddInto(to, chain[(2*i+1)*Lanes:][:Lanes])
		}
	}
	*dot = [Lanes]float32(chain[:])
}

// SubProduct computes dst[i] -= x[i]*y[i], product and difference rounded each.
func SubProduct(dst, x, y []float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	for i := subProduct32(dst, x, y); i < len(dst); i++ {
		p := float32(x[i] * y[i])
		dst[i] -= p
	}
}
