package taskshards

import "sync/atomic"

// pool holds series that are made when they are first asked for. Making one
// twice, when two goroutines ask at once, gives the same bits and is harmless.
type pool struct {
	slots []atomic.Pointer[slot]
	build func(i int) *slot
}

// slot is a series ready for sampling.
type slot struct {
	framed *framed
	lo, hi int // windows of the split, as a range of framed.targets
	part   part
}

func newPool(n int, build func(i int) *slot) *pool {
	return &pool{slots: make([]atomic.Pointer[slot], n), build: build}
}

// get returns slot i.
func (p *pool) get(i int) *slot {
	if s := p.slots[i].Load(); s != nil {
		return s
	}
	s := p.build(i)
	p.slots[i].Store(s)
	return s
}

// draw returns a slot at random.
func (p *pool) draw(st *Stream) *slot { return p.get(st.Intn(len(p.slots))) }

// newSlot lays out a series for a split; nil where it has no window there.
func newSlot(w *Windower, s *Series, d *Division, split Split) *slot {
	f := w.frame(s)
	lo, hi := 0, len(f.targets)
	if d != nil {
		lo, hi = d.Range(split, len(f.targets))
	}
	if hi-lo < 1 {
		return nil
	}
	return &slot{framed: f, lo: lo, hi: hi, part: part{interval: s.Interval, values: f.longest(hi)}}
}

// longest returns the values of the segment with the most windows among the
// first hi, up to the last target of these: what lies behind belongs to another
// split.
func (f *framed) longest(hi int) []float64 {
	var best []float64
	for i := 0; i < hi; {
		begin := f.begins[i]
		end := i
		for end < hi && f.begins[end] == begin {
			end++
		}
		if v := f.values[begin : f.targets[end-1]+1]; len(v) > len(best) {
			best = v
		}
		i = end
	}
	return best
}
