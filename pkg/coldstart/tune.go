package coldstart

import (
	"fmt"
	"slices"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// Bounds of Tune, so that choosing takes seconds: it looks at so many jobs,
// evenly spread over the names, and at so many windows of each.
const (
	tuneJobs    = 24
	tuneWindows = 200
)

// Tune chooses the comparators' hyper-parameters: for each number of shots those
// with the least mean MASE over the training jobs. Options.Comparators is not
// read. With Options.Train, the same series as a rule, it chooses for nearest too.
func Tune(b *Base, series []*taskshards.Series, o Options) (Comparators, error) {
	c, err := tune(b, series, o)
	if err != nil {
		return c, fmt.Errorf("tune comparators: %w", err)
	}
	return c, nil
}

func tune(b *Base, series []*taskshards.Series, o Options) (c Comparators, err error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return c, err
	}
	jobs, out, err := newJobs(b, series, o, tuneWindows)
	if err != nil {
		return c, err
	}
	if len(jobs) == 0 {
		return c, fmt.Errorf("found no training job of %d to choose on (%v)", len(series), out)
	}
	jobs = spread(jobs, tuneJobs)
	w, err := newWorkshop(b)
	if err != nil {
		return c, err
	}
	near, err := neighbours(b, o.Train)
	if err != nil {
		return c, err
	}
	c.Jobs, c.Alpha = len(jobs), chooseAlpha(jobs)
	for _, k := range slices.Sorted(slices.Values(o.Shots)) {
		if k == 0 {
			continue // nothing to fit on
		}
		best, err := w.choose(jobs, k, o.Support, w.random, scratchSearch())
		if err != nil {
			return c, fmt.Errorf("scratch: %w", err)
		}
		c.Scratch = append(c.Scratch, best)
		if b.Pooled == nil {
			continue
		}
		if best, err = w.choose(jobs, k, o.Support, b.Pooled, fineTuneSearch()); err != nil {
			return c, fmt.Errorf("finetuned: %w", err)
		}
		c.FineTuned = append(c.FineTuned, best)
		if len(near) == 0 {
			continue
		}
		if best, err = w.chooseNearest(near, jobs, k, o.Support, best); err != nil {
			return c, fmt.Errorf("nearest: %w", err)
		}
		c.Nearest = append(c.Nearest, best)
	}
	return c, nil
}

// spread takes n of the jobs, evenly.
func spread(jobs []*job, n int) []*job {
	if len(jobs) <= n {
		return jobs
	}
	some := make([]*job, n)
	for i := range some {
		some[i] = jobs[i*len(jobs)/n]
	}
	return some
}

// chooseAlpha tries 0.05 to 1 by 0.05.
func chooseAlpha(jobs []*job) float64 {
	best, least := 1.0, 0.0
	for i := 20; i > 0; i-- {
		alpha, sum := float64(i)/20, 0.0
		for _, j := range jobs {
			sum += j.score(j.ses(alpha)).mase
		}
		if i == 20 || sum < least {
			best, least = alpha, sum
		}
	}
	return best
}

// choose returns the choice with the least mean MASE, the first of equals.
func (w *workshop) choose(jobs []*job, shots int, where string, start []float32, search []Choice) (Choice, error) {
	sums := make([]float64, len(search))
	for _, j := range jobs {
		s := j.support(shots, where)
		for i := 0; i < len(search); {
			same := i + 1
			for same < len(search) && search[same].Kind == search[i].Kind && search[same].Rate == search[i].Rate && search[i].Kind != linear {
				same++
			}
			if err := w.try(j, s, start, search[i:same], sums[i:same]); err != nil {
				return Choice{}, fmt.Errorf("job %s: %w", j.name, err)
			}
			i = same
		}
	}
	return least(search, sums, shots), nil
}

// least is the choice of the smallest sum of errors, the first of equals, made for
// so many shots.
func least(search []Choice, sums []float64, shots int) Choice {
	best := 0
	for i, sum := range sums {
		if sum < sums[best] {
			best = i
		}
	}
	c := search[best]
	c.Shots = shots
	return c
}

// try adds the MASE of choices that differ in steps alone to sums.
func (w *workshop) try(j *job, s learner.Batch[float32], start []float32, cs []Choice, sums []float64) error {
	if cs[0].Kind == linear {
		p, err := w.linear(s, cs[0].Precision)
		if err != nil {
			return err
		}
		sums[0] += j.score(j.predict(p)).mase
		return nil
	}
	var stops []int
	for _, c := range cs {
		stops = append(stops, c.Steps)
	}
	return w.descend(start, s, cs[0], stops, func(steps int, theta []float32) error {
		p, err := w.still(theta)
		if err != nil {
			return err
		}
		sums[slices.Index(stops, steps)] += j.score(j.predict(p)).mase
		return nil
	})
}

// newJobs lays out the series that can be scored, by name, and counts the rest.
func newJobs(b *Base, series []*taskshards.Series, o Options, limit int) ([]*job, LeftOut, error) {
	var out LeftOut
	w, err := taskshards.NewWindower(b.Family)
	if err != nil {
		return nil, out, err
	}
	series = slices.Clone(series)
	slices.SortStableFunc(series, func(a, b *taskshards.Series) int { return strings.Compare(a.Name, b.Name) })
	var jobs []*job
	for _, s := range series {
		j, why := newJob(w, s, slices.Max(o.Shots), o.Score, limit)
		switch why {
		case constant:
			out.Constant++
		case short:
			out.Short++
		default:
			j.mid = centralOf(b.Learner)
			jobs = append(jobs, j)
		}
	}
	return jobs, out, nil
}
