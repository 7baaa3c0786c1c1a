package taskshards

import (
	"fmt"
	"slices"
)

// Load is the family of load forecasting: each task is one job, its support the
// windows of a few consecutive moments, its query later ones of the same job.
// Targets of the two are disjoint, lags may overlap.
//
// A training task comes from a generated series, from a mixture (see mixer) or
// from a trace, by the shares of the configuration; traces are drawn by group
// first, so that a job with many siblings counts no more than another. Tasks of
// the other splits come from traces of that split, and where it has none, from
// generated series of its own.
//
// Weights: 1/n in the support; in the query s_i / sum_j s_j |y_j|, so that the
// sum of W |f - Y| is the mean absolute error over that of the last value, both
// of clipped residuals: 1 for f = 0. Where the last value errs by less than a
// tenth of s on average, that tenth stands in the denominator, so that a query in
// which next to nothing moves has no outsized weights. Constant windows weigh 0.
type Load struct {
	*Windower
	shots    []int
	query    int
	division Division
	domains  [3]string
	splits   [3]splitPools
}

var _ Family = (*Load)(nil)

// splitPools is what one split draws from.
type splitPools struct {
	groups    [][]*slot // traces, by group
	generated *pool
	mixed     *pool

	shareGenerated, shareMixed float64
}

// heldOutSeries is the number of generated series of the other splits.
const heldOutSeries = 256

// NewLoad builds the family over a data set, which may be nil.
func NewLoad(c Config, ds *DataSet) (*Load, error) {
	w, err := NewWindower(c)
	if err != nil {
		return nil, err
	}
	if ds == nil {
		ds = &DataSet{}
	}
	f := &Load{Windower: w, shots: c.Shots, query: c.Query, domains: domains("load")}
	f.division = Divide(ds.Groups(), c.Division)
	if len(ds.Series) == 0 && c.Generator.Share == 0 {
		return nil, fmt.Errorf("build family load: found neither traces nor a share of generated series; expected family.path or family.generator.share")
	}
	for _, split := range []Split{Train, Validate, Test} {
		f.splits[split] = f.pools(c, ds, split)
	}
	if p := &f.splits[Train]; len(p.groups) == 0 && p.generated == nil {
		return nil, fmt.Errorf("build family load: found no job to train on among %d groups, each %d values or more; expected family.lags = %d to be less than a segment's length",
			len(f.division.Groups[Train]), c.Lags+1, c.Lags)
	}
	return f, nil
}

// pools gathers what a split draws from.
func (f *Load) pools(c Config, ds *DataSet, split Split) splitPools {
	p := splitPools{groups: f.traces(ds, split)}
	if c.Generator.Share > 0 && (split == Train || len(p.groups) == 0) {
		n := c.Generator.Series
		if split != Train {
			n = min(n, heldOutSeries)
		}
		domain := "generate/" + split.String()
		p.generated = newPool(n, func(i int) *slot {
			s := Generate(c.Generator.Seed, domain, uint64(i))
			return f.made(&s)
		})
		p.shareGenerated = c.Generator.Share
	}
	if split == Train && c.Mixture.Share > 0 {
		p.shareMixed = c.Mixture.Share
		m := &mixer{seed: c.Generator.Seed, domain: "mix/" + split.String(), least: f.least()}
		parts := p // without mixtures: a mixture is not made of mixtures
		parts.shareMixed = 0
		m.draw = func(st *Stream) *part { return &parts.draw(st).part }
		p.mixed = newPool(c.Mixture.Series, func(i int) *slot {
			s := m.mix(i)
			return f.made(&s)
		})
	}
	return p
}

// least is the number of values that hold a window, the most shots and a query
// of as many.
func (f *Load) least() int { return f.lags + 2*max(slices.Max(f.shots), 10) }

// made lays out a series that was made here; one too short for a window, which
// takes absurd settings, gives a slot without windows that sampling passes over.
func (f *Load) made(s *Series) *slot {
	if sl := newSlot(f.Windower, s, nil, Train); sl != nil {
		return sl
	}
	return &slot{framed: &framed{}}
}

// traces returns the split's series by group.
func (f *Load) traces(ds *DataSet, split Split) [][]*slot {
	index := make(map[string]int)
	var groups [][]*slot
	for i := range ds.Series {
		s := &ds.Series[i]
		if !f.division.Has(split, s.Group) {
			continue
		}
		sl := newSlot(f.Windower, s, &f.division, split)
		if sl == nil {
			continue
		}
		k, ok := index[s.Group]
		if !ok {
			k = len(groups)
			index[s.Group] = k
			groups = append(groups, nil)
		}
		groups[k] = append(groups[k], sl)
	}
	return groups
}

// Shape is a window of lags, oldest first, the features beside it, and one target.
func (f *Load) Shape() Shape {
	return Shape{In: []int{f.Lags(), 1}, Extra: f.In() - f.Lags(), Out: 1}
}

// Division returns how the jobs are divided.
func (f *Load) Division() Division { return f.division }

// draw picks a series. Where the split has no traces, or no generated series,
// the other kind takes their share.
func (p *splitPools) draw(st *Stream) *slot {
	u := st.Float64()
	if u < p.shareMixed {
		return p.mixed.draw(st)
	}
	if p.generated != nil && (len(p.groups) == 0 || u < p.shareMixed+p.shareGenerated) {
		return p.generated.draw(st)
	}
	g := p.groups[st.Intn(len(p.groups))]
	return g[st.Intn(len(g))]
}

// taskTries is how often a task in whose query nothing moves is drawn anew.
const taskTries = 4

// Sample draws a series, a number of shots, a position, and the query.
func (f *Load) Sample(split Split, seed, step, task uint64, into *Task) error {
	p := &f.splits[split]
	if len(p.groups) == 0 && p.generated == nil {
		return fmt.Errorf("sample task: found no job in split %s; expected more jobs, a larger share for it, or the generator turned on", split)
	}
	st := NewStream(seed, f.domains[split], step, task)
	for range taskTries {
		if f.episode(&st, p.draw(&st), into) {
			break
		}
	}
	return nil
}

// episode cuts one task from a series and reports whether its query has anything
// to learn. A series too short for the drawn shots takes the most of the set that
// leave a query.
func (f *Load) episode(st *Stream, s *slot, into *Task) bool {
	shots := f.shots[st.Intn(len(f.shots))]
	n := s.hi - s.lo
	if shots >= n {
		shots = fittingShots(f.shots, n)
	}
	if n <= shots {
		into.Support.Resize(0, f.in, 1)
		into.Query.Resize(0, f.in, 1)
		return false
	}
	// The query needs room too: leave it as many windows as it wants, or, in a
	// short series, half of what the support does not take.
	room := n - shots
	start := st.Intn(room - min(f.query, (room+1)/2) + 1)
	first := s.lo + start
	birth := 0
	if st.Chance(newborn) {
		birth = int(s.framed.targets[first]) - f.lags
	}
	f.fillSupport(s, birth, first, shots, &into.Support)
	return f.fillQuery(st, s, birth, first+shots, &into.Query)
}

// newborn is the share of tasks whose job begins with its support: no window of
// it knows an earlier day, and those of the query know more and more, as in the
// use on a new job. In the others the job is an old one.
const newborn = 0.8

// fittingShots is the largest number of a set below n; 0 where there is none.
func fittingShots(set []int, n int) int {
	most := 0
	for _, k := range set {
		if k < n {
			most = max(most, k)
		}
	}
	return most
}

func (f *Load) fillSupport(s *slot, birth, first, n int, b *Batch) {
	b.Resize(n, f.in, 1)
	for i := range n {
		r := f.window(s.framed, birth, first+i, b.X[i*f.in:(i+1)*f.in])
		b.Y[i], b.W[i] = float32(r.target()), supportWeight(r.scale, n)
	}
}

// fillQuery takes up to f.query of the windows from first on: one at random from
// each of as many equal stretches, so that they are distinct and in order.
func (f *Load) fillQuery(st *Stream, s *slot, birth, first int, b *Batch) bool {
	later := s.hi - first
	n := min(f.query, later)
	b.Resize(n, f.in, 1)
	b.scale = b.scale[:0]
	for i := range n {
		lo, hi := i*later/n, (i+1)*later/n
		k := first + lo + st.Intn(hi-lo)
		r := f.window(s.framed, birth, k, b.X[i*f.in:(i+1)*f.in])
		b.Y[i] = float32(r.target())
		b.scale = append(b.scale, r.scale)
	}
	return b.weighByScale()
}
