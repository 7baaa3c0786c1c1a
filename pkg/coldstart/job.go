package coldstart

import (
	"fmt"
	"math"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// Where a support lies.
const (
	First  = "first"  // the first windows of a series
	Recent = "recent" // the last ones before the scored part
)

// job is one series, cut into windows and ready to be scored.
type job struct {
	name     string
	group    string // its siblings'
	interval float64
	values   []float64 // segments end to end
	begins   []int     // first position of each segment
	ws       *taskshards.Windows
	scored   []int     // windows, ascending
	x        []float32 // inputs of the scored windows [len(scored)][ws.In]
	scale    float64   // mean absolute difference of neighbouring observed values
	positive bool      // no value is below 0

	mid central // which outputs forecast
}

// Why a series is left out.
type unfit int

const (
	fit unfit = iota
	constant
	short
)

// newJob lays a series out. most is the largest support, score the share of its
// windows to score, 0 for all after the support; at most limit windows are
// scored, evenly spread, 0 for all.
func newJob(w *taskshards.Windower, s *taskshards.Series, most int, score float64, limit int) (*job, unfit) {
	j := &job{name: s.Name, group: s.Group, interval: s.Interval, scale: lastValueError(s), positive: true}
	if !(j.scale > 0) {
		return nil, constant
	}
	j.ws = w.Windows(s)
	from := most
	if score > 0 {
		from = j.ws.N - int(math.Floor(score*float64(j.ws.N)+1e-9))
	}
	n := j.ws.N - from
	if n < 1 || from < most {
		return nil, short
	}
	for _, g := range s.Segments {
		j.begins = append(j.begins, len(j.values))
		j.values = append(j.values, g.Values...)
	}
	j.positive = slices.Min(j.values) >= 0
	if limit == 0 || limit > n {
		limit = n
	}
	for i := range limit {
		k := from + i*n/limit
		j.scored = append(j.scored, k)
		j.x = append(j.x, j.ws.X[k*j.ws.In:(k+1)*j.ws.In]...)
	}
	return j, fit
}

// lastValueError is the last value's mean absolute error over the whole series:
// over all observed values but the first of each segment.
func lastValueError(s *taskshards.Series) float64 {
	sum, n := 0.0, 0
	for _, g := range s.Segments {
		held := g.Held
		for i, v := range g.Values {
			if len(held) > 0 && held[0] == i {
				held = held[1:]
				continue
			}
			if i > 0 {
				sum += math.Abs(v - g.Values[i-1])
				n++
			}
		}
	}
	return sum / float64(max(n, 1))
}

// support is the batch of k windows to adapt on.
func (j *job) support(k int, where string) learner.Batch[float32] {
	lo := j.supportFrom(k, where)
	return batch(j.ws, lo, lo+k)
}

// supportFrom is the first window of a support of k.
func (j *job) supportFrom(k int, where string) int {
	if where == Recent {
		return j.scored[0] - k
	}
	return 0
}

func batch(ws *taskshards.Windows, lo, hi int) learner.Batch[float32] {
	var b taskshards.Batch
	ws.Batch(lo, hi, &b)
	return learner.Batch[float32]{N: b.N, X: b.X, Y: b.Y, W: b.W}
}

// last, seasonal and ses forecast the scored windows.

func (j *job) last() []float64 {
	p := make([]float64, len(j.scored))
	for i, k := range j.scored {
		p[i] = j.ws.Last[k]
	}
	return p
}

// seasonal is the value one day earlier. Where the segment does not reach back so
// far, or a day is less than two values, it is the last value.
func (j *job) seasonal() []float64 {
	p := j.last()
	day := int(math.Round(86400 / j.interval))
	if day < 2 {
		return p
	}
	for i, k := range j.scored {
		if at := j.ws.Index[k] - day; at >= j.begins[j.ws.Segment[k]] {
			p[i] = j.values[at]
		}
	}
	return p
}

// ses is simple exponential smoothing, level += alpha (value - level), which
// starts with the first value of each segment.
func (j *job) ses(alpha float64) []float64 {
	p := make([]float64, len(j.scored))
	level, at, next := 0.0, 0, 0
	for i, k := range j.scored {
		for ; at < j.ws.Index[k]; at++ {
			if next < len(j.begins) && at == j.begins[next] {
				level = j.values[at]
				next++
				continue
			}
			level += float64(alpha * (j.values[at] - level))
		}
		p[i] = level
	}
	return p
}

// chunk is how many windows are predicted at a time: their activations stay in
// the cache.
const chunk = 256

// predict forecasts the scored windows with an adapted model.
func (j *job) predict(p *learner.Predictor[float32]) []float64 {
	n, in, per := len(j.scored), j.ws.In, p.Outputs()
	y := make([]float32, n*per)
	for i := 0; i < n; i += chunk {
		m := min(chunk, n-i)
		p.Predict(j.x[i*in:], m, y[i*per:])
	}
	if per > 1 {
		y = j.mid.pick(y)
	}
	f := make([]float64, n)
	for i, k := range j.scored {
		f[i] = j.ws.Forecast(k, y[i])
	}
	return f
}

// failure are the errors of one method on one job, in units of its scale.
type failure struct {
	mase, rmse, smape float64
}

// score compares forecasts of the scored windows with what came.
func (j *job) score(p []float64) failure {
	var abs, square, symmetric float64
	for i, k := range j.scored {
		t := j.ws.Target[k]
		e := math.Abs(t - p[i])
		abs += e
		square += float64(e / j.scale * (e / j.scale))
		if size := math.Abs(t) + math.Abs(p[i]); size > 0 {
			symmetric += e / size
		}
	}
	n := float64(len(j.scored))
	return failure{mase: abs / n / j.scale, rmse: math.Sqrt(square / n), smape: 100 * symmetric / n}
}

func checkShots(shots []int) error {
	if len(shots) == 0 {
		return fmt.Errorf("shots: found none, expected one or more numbers of samples")
	}
	for i, k := range shots {
		if k < 0 || k > 1_000_000 || slices.Contains(shots[:i], k) {
			return fmt.Errorf("shots: found %v, expected numbers of samples from 0 to 1000000, each once", shots)
		}
	}
	return nil
}
