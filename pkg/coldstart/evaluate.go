package coldstart

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// Options say how a table is made. The zero value of a field is its default.
type Options struct {
	// Shots are the sizes of support, in samples; 0, 5, 10, 20 and 50 where empty.
	// All are scored on the windows that the largest leaves.
	Shots []int

	// Support is First (where empty), as when a job has just begun, or Recent.
	Support string

	// Score is the last share of each series' windows that is scored, below 1; 0
	// is all windows after the largest support.
	Score float64

	// Comparators are what Tune chose. nil: those of the model's config.json, and
	// where it has none untuned ones, which the table says.
	Comparators *Comparators

	// Train are the series that the base model was trained on, for the method
	// nearest, which is left out where there are none. A job's own series and its
	// siblings may be among them: they are passed by.
	Train []*taskshards.Series
}

func (o Options) withDefaults() Options {
	if len(o.Shots) == 0 {
		o.Shots = []int{0, 5, 10, 20, 50}
	}
	if o.Support == "" {
		o.Support = First
	}
	return o
}

func (o Options) check() error {
	if err := checkShots(o.Shots); err != nil {
		return err
	}
	if o.Support != First && o.Support != Recent {
		return fmt.Errorf("support: found %q, expected %s or %s", o.Support, First, Recent)
	}
	if !(o.Score >= 0 && o.Score < 1) {
		return fmt.Errorf("score: found %g, expected a share from 0 to below 1", o.Score)
	}
	if o.Comparators != nil {
		return o.Comparators.check()
	}
	return nil
}

// comparators are those of the options, of the model, or none's.
func (o Options) comparators(b *Base) (c Comparators, note string, err error) {
	if o.Comparators != nil {
		return *o.Comparators, "", nil
	}
	if len(b.Config.Comparators) > 0 && string(b.Config.Comparators) != "null" {
		if err := json.Unmarshal(b.Config.Comparators, &c); err != nil {
			return c, "", fmt.Errorf("read comparators of the model: %w", err)
		}
		return c, "", c.check()
	}
	return untuned(), "the model bears no comparators chosen on training jobs: ses, scratch and finetuned use untuned ones", nil
}

// Evaluate makes the cold-start table of the base model on series that it was not
// trained on. The order of the series does not matter.
func Evaluate(b *Base, series []*taskshards.Series, o Options) (Table, error) {
	t, err := evaluate(b, series, o)
	if err != nil {
		return t, fmt.Errorf("evaluate model: %w", err)
	}
	return t, nil
}

func evaluate(b *Base, series []*taskshards.Series, o Options) (Table, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return Table{}, err
	}
	c, note, err := o.comparators(b)
	if err != nil {
		return Table{}, err
	}
	jobs, out, err := newJobs(b, series, o, 0)
	if err != nil {
		return Table{}, err
	}
	if len(jobs) == 0 {
		return Table{}, fmt.Errorf("found no job of %d to score (%v), expected one that changes and holds %d values or more without a break", len(series), out, b.Family.Lags+slices.Max(o.Shots)+1)
	}
	w, err := newWorkshop(b)
	if err != nil {
		return Table{}, err
	}
	t := Table{Comparators: c, LeftOut: out}
	ms := w.methods(o, c)
	if b.Pooled != nil && len(o.Train) > 0 {
		near, err := w.nearestMethods(o, c)
		if err != nil {
			return Table{}, err
		}
		at := slices.IndexFunc(ms, func(m method) bool { return m.name == "adapted" })
		ms = slices.Insert(ms, at, near...)
	}
	for _, m := range ms {
		if err := t.add(b, m, jobs); err != nil {
			return Table{}, err
		}
	}
	t.annotate(b, o, note, jobs)
	return t, nil
}

// method is one row: how a job's scored windows are forecast.
type method struct {
	name     string
	shots    int
	forecast func(j *job) ([]float64, error)
}

// allHistory stands for shots of a method that uses all values before.
const allHistory = -1

// methods lists the rows in the order of the table.
func (w *workshop) methods(o Options, c Comparators) []method {
	history := func(f func(*job) []float64) func(*job) ([]float64, error) {
		return func(j *job) ([]float64, error) { return f(j), nil }
	}
	ms := []method{
		{"last", allHistory, history((*job).last)},
		{"seasonal", allHistory, history((*job).seasonal)},
		{"ses", allHistory, history(func(j *job) []float64 { return j.ses(c.Alpha) })},
	}
	fitted := func(name string, k int, fit func(learner.Batch[float32]) (*learner.Predictor[float32], error)) {
		ms = append(ms, method{name, k, func(j *job) ([]float64, error) {
			p, err := fit(j.support(k, o.Support))
			if err != nil {
				return nil, err
			}
			return j.predict(p), nil
		}})
	}
	from := func(start []float32, c Choice) func(learner.Batch[float32]) (*learner.Predictor[float32], error) {
		return func(s learner.Batch[float32]) (*learner.Predictor[float32], error) { return w.fit(start, s, c) }
	}
	shots := slices.Sorted(slices.Values(o.Shots))
	some := slices.DeleteFunc(slices.Clone(shots), func(k int) bool { return k == 0 })
	for _, k := range some {
		if len(c.Scratch) > 0 {
			fitted("scratch", k, from(w.random, nearest(c.Scratch, k)))
		}
	}
	if w.base.Pooled != nil {
		fitted("pooled", 0, func(learner.Batch[float32]) (*learner.Predictor[float32], error) { return w.still(w.base.Pooled) })
		for _, k := range some {
			if len(c.FineTuned) > 0 {
				fitted("finetuned", k, from(w.base.Pooled, nearest(c.FineTuned, k)))
			}
		}
	}
	for _, k := range shots {
		fitted("adapted", k, w.adapted)
	}
	return ms
}

// nearestMethods are the rows of nearest.
func (w *workshop) nearestMethods(o Options, c Comparators) (ms []method, err error) {
	ns, err := neighbours(w.base, o.Train)
	if err != nil || len(c.FineTuned) == 0 {
		return nil, err
	}
	if len(c.Nearest) == 0 {
		c.Nearest = untunedNearest()
	}
	for _, k := range slices.Sorted(slices.Values(o.Shots)) {
		if k == 0 {
			continue // nothing to be near to
		}
		ms = append(ms, method{"nearest", k, func(j *job) ([]float64, error) {
			return w.neighbourly(ns, j, k, o.Support, nearest(c.Nearest, k), nearest(c.FineTuned, k))
		}})
	}
	return ms, nil
}

// add scores a method on all jobs and appends its row. The last value is first,
// so that the others can be held against it.
func (t *Table) add(b *Base, m method, jobs []*job) error {
	row := Row{Method: m.name, Jobs: len(jobs)}
	if m.shots != allHistory {
		row.Shots = &m.shots
	}
	all := make([]failure, len(jobs))
	for i, j := range jobs {
		if err := b.wanted(); err != nil {
			return err
		}
		p, err := m.forecast(j)
		if err != nil {
			return fmt.Errorf("%s of %d shots: job %s: %w", m.name, m.shots, j.name, err)
		}
		all[i] = j.score(p)
		if m.name == "last" {
			t.PerJob = append(t.PerJob, newJobScores(j, all[i]))
		}
		own := &t.PerJob[i]
		own.Rows = append(own.Rows, newJobRow(row, all[i], all[i].mase/own.last, j.positive))
		if r := own.Rows[len(own.Rows)-1].VsLast; r != nil {
			row.WorstVsLast = math.Max(row.WorstVsLast, *r)
		}
	}
	row.average(all, jobs)
	t.Rows = append(t.Rows, row)
	return nil
}

// average fills the means over jobs.
func (r *Row) average(all []failure, jobs []*job) {
	var mase, rmse, smape mean
	each := make([]float64, len(all))
	for i, f := range all {
		each[i] = f.mase
		mase.add(f.mase)
		rmse.add(f.rmse)
		if jobs[i].positive {
			smape.add(f.smape)
		}
	}
	r.MASE, r.RMSE = rounded(mase.value()), rounded(rmse.value())
	r.MASECI = interval(each)
	if smape.n > 0 {
		v := rounded(smape.value())
		r.SMAPE = &v
	}
}

type mean struct {
	sum float64
	n   int
}

func (m *mean) add(v float64)  { m.sum += v; m.n++ }
func (m *mean) value() float64 { return m.sum / float64(m.n) }

// rounded keeps six decimals: what is printed is what is compared.
func rounded(v float64) float64 {
	if math.Abs(v) > 1e9 {
		return v
	}
	return math.Round(v*1e6) / 1e6
}

// Resampling of the jobs: percentiles of the mean over so many samples of jobs
// with replacement (Efron, 1979), from a stream of its own.
const (
	resamples     = 2000
	bootstrapSeed = 1
)

// interval is the 95 % bootstrap interval of the mean over jobs, given their
// values by name.
func interval(v []float64) [2]float64 {
	st := taskshards.NewStream(bootstrapSeed, "coldstart/bootstrap", 0, 0)
	means := make([]float64, resamples)
	for i := range means {
		sum := 0.0
		for range v {
			sum += v[st.Intn(len(v))]
		}
		means[i] = sum / float64(len(v))
	}
	slices.Sort(means)
	tail := resamples * 25 / 1000
	return [2]float64{rounded(means[tail-1]), rounded(means[resamples-tail])}
}
