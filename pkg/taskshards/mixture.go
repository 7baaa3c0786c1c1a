package taskshards

import (
	"math"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// mixer makes series out of others of the same split: re-sampled to a coarser
// grid, summed, or both. What a job is fed is an aggregate, so aggregates of
// traces are traces too.
type mixer struct {
	seed   uint64
	domain string
	draw   func(*Stream) *part // a series to take a piece of
	least  int                 // number of values that a mixture should have
}

// part is what a mixture may take of a series: one segment, up to the end of the
// split's own stretch.
type part struct {
	interval float64
	values   []float64
}

// partTries is how often a partner of the same sampling is looked for.
const partTries = 8

// mix returns mixture i: a sum of one to four pieces with random weights, each
// the mean of 1, 2, 3, 4, 6 or 12 neighbouring values. A piece alone is always
// re-sampled. The first part sets the sampling, and partners that have another
// one are not taken.
func (m *mixer) mix(i int) Series {
	st := NewStream(m.seed, m.domain, 1, uint64(i))
	first := m.draw(&st)
	parts := 1 + st.Intn(4)
	factor := [...]int{1, 2, 3, 4, 6, 12}[st.Intn(6)]
	if parts == 1 && factor == 1 {
		factor = 2
	}
	for factor > 1 && len(first.values)/factor < m.least {
		factor--
	}
	sum := piece(&st, first.values, factor, m.least)
	normalise(sum, 1)
	for range partTries {
		if parts--; parts <= 0 {
			break
		}
		p := m.draw(&st)
		if p.interval != first.interval || len(p.values)/factor < m.least {
			parts++
			continue
		}
		sum = m.addPiece(&st, sum, p, factor)
	}
	return Series{
		Name: m.domain, Group: m.domain, Interval: first.interval * float64(factor),
		Segments: []Segment{{Values: sum}},
	}
}

// addPiece adds a piece of p with a random weight; the sum ends where the
// shorter ends.
func (m *mixer) addPiece(st *Stream, sum []float64, p *part, factor int) []float64 {
	other := piece(st, p.values, factor, m.least)
	normalise(other, kernel.Exp(st.Normal()))
	sum = sum[:min(len(sum), len(other))]
	for t := range sum {
		sum[t] += other[t]
	}
	return sum
}

// mixLength bounds a mixture's length, and so the memory of the pool.
const mixLength = 1536

// piece re-samples by the mean of factor values, from a random start that leaves
// at least least values where there are so many.
func piece(st *Stream, v []float64, factor, least int) []float64 {
	spare := len(v) - factor*least
	start := 0
	if spare > 0 {
		start = st.Intn(spare + 1)
	}
	out := make([]float64, min(mixLength, (len(v)-start)/factor))
	for t := range out {
		sum := 0.0
		for _, x := range v[start+t*factor : start+(t+1)*factor] {
			sum += x
		}
		out[t] = sum / float64(factor)
	}
	return out
}

// normalise scales a series to the given mean of absolute values.
func normalise(v []float64, mean float64) {
	total := 0.0
	for _, x := range v {
		total += math.Abs(x)
	}
	if total == 0 {
		return
	}
	scale := float64(mean / (total / float64(len(v))))
	for t := range v {
		v[t] = float64(v[t] * scale)
	}
}
