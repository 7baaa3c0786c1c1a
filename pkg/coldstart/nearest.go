package coldstart

import (
	"fmt"
	"slices"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// The method nearest: of the training jobs it takes the one whose series moves
// most like the new job's support, fine-tunes the pooled model on that job's
// latest windows, and then on the support as finetuned does. It is what one does
// without meta-learning who has kept the data of other jobs.

// neighbourWindows is how many windows of a neighbour, its latest, are looked at
// and trained on.
const neighbourWindows = 512

// markLags is up to how many lags series are compared.
const markLags = 16

// neighbour is a training job that a new one may be like.
type neighbour struct {
	name, group string
	windows     learner.Batch[float32] // the latest
	mark        []float64
	models      map[Choice][]float32 // the pooled model fine-tuned on them
}

// neighbours lays the training series out, by name; those without a window that
// moves are left out.
func neighbours(b *Base, series []*taskshards.Series) ([]*neighbour, error) {
	w, err := taskshards.NewWindower(b.Family)
	if err != nil {
		return nil, err
	}
	var ns []*neighbour
	for _, s := range series {
		ws := w.Windows(s)
		lo := max(0, ws.N-neighbourWindows)
		if m := mark(ws, b.Family.Lags, lo, ws.N); m != nil {
			ns = append(ns, &neighbour{name: s.Name, group: s.Group, windows: batch(ws, lo, ws.N), mark: m, models: map[Choice][]float32{}})
		}
	}
	slices.SortStableFunc(ns, func(a, b *neighbour) int { return strings.Compare(a.name, b.name) })
	return ns, nil
}

// mark tells how a series moves, whatever its unit and level: the autocorrelation
// of its changes. With d the first differences of a window,
//
//	mark[k-1] = mean over windows of (sum over t of d_t d_{t+k}) / (sum over t of d_t d_t)
//
// for k = 1 to 16, fewer where windows are short. Constant windows do not count;
// nil where there is no other.
func mark(ws *taskshards.Windows, lags, lo, hi int) []float64 {
	m := make([]float64, min(markLags, lags-2))
	d := make([]float64, lags-1)
	n := 0
	for i := lo; i < hi; i++ {
		v := ws.X[i*ws.In:][:lags-1] // the last value, 0, is not among the inputs
		square := 0.0
		for t := range d {
			d[t] = -float64(v[t])
			if t+1 < len(v) {
				d[t] += float64(v[t+1])
			}
			square += float64(d[t] * d[t])
		}
		if square == 0 {
			continue
		}
		n++
		for k := range m {
			for t := 0; t+k+1 < len(d); t++ {
				m[k] += float64(d[t]*d[t+k+1]) / square
			}
		}
	}
	if n == 0 {
		return nil
	}
	for k := range m {
		m[k] /= float64(n)
	}
	return m
}

// closest is the neighbour whose mark has the least squared distance from that of
// the support of k windows, the first by name of equals, or nil where there is
// none. The job itself and its siblings are not its neighbours.
func closest(ns []*neighbour, j *job, lags, k int, where string) *neighbour {
	lo := j.supportFrom(k, where)
	own := mark(j.ws, lags, lo, lo+k)
	if own == nil {
		own = make([]float64, min(markLags, lags-2)) // as if it moved at random
	}
	var best *neighbour
	least := 0.0
	for _, n := range ns {
		if n.group == j.group || n.name == j.name {
			continue
		}
		sum := 0.0
		for i, v := range n.mark {
			sum += float64((v - own[i]) * (v - own[i]))
		}
		if best == nil || sum < least {
			best, least = n, sum
		}
	}
	return best
}

// raise is the pooled model fine-tuned on a neighbour.
func (w *workshop) raise(n *neighbour, c Choice) ([]float32, error) {
	c.Shots = 0
	if theta, ok := n.models[c]; ok {
		return theta, nil
	}
	err := w.descend(w.base.Pooled, n.windows, c, []int{c.Steps}, func(_ int, theta []float32) error {
		n.models[c] = slices.Clone(theta)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("fine-tune on %s: %w", n.name, err)
	}
	return n.models[c], nil
}

// neighbourly forecasts a job by its closest neighbour's model, fine-tuned on the
// support; first is how that model is made, then how it is fine-tuned. Where no
// job is left to be a neighbour it is finetuned.
func (w *workshop) neighbourly(ns []*neighbour, j *job, k int, where string, first, then Choice) ([]float64, error) {
	start := w.base.Pooled
	if n := closest(ns, j, w.base.Family.Lags, k, where); n != nil {
		var err error
		if start, err = w.raise(n, first); err != nil {
			return nil, err
		}
	}
	p, err := w.fit(start, j.support(k, where), then)
	if err != nil {
		return nil, err
	}
	return j.predict(p), nil
}

// nearestSearch is how long to fine-tune on a neighbour.
func nearestSearch() []Choice {
	return []Choice{
		{Kind: network, Rate: 0.001, Steps: 10}, {Kind: network, Rate: 0.001, Steps: 30}, {Kind: network, Rate: 0.001, Steps: 100},
	}
}

// chooseNearest returns the choice of nearestSearch with the least mean MASE over
// the jobs, the first of equals; then is how finetuned does it.
func (w *workshop) chooseNearest(ns []*neighbour, jobs []*job, shots int, where string, then Choice) (Choice, error) {
	search := nearestSearch()
	sums := make([]float64, len(search))
	for _, j := range jobs {
		for i, c := range search {
			p, err := w.neighbourly(ns, j, shots, where, c, then)
			if err != nil {
				return Choice{}, fmt.Errorf("job %s: %w", j.name, err)
			}
			sums[i] += j.score(p).mase
		}
	}
	return least(search, sums, shots), nil
}
