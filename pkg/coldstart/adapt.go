package coldstart

import (
	"fmt"
	"slices"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// AdaptOptions say what to adapt to.
type AdaptOptions struct {
	// Shots is how many of the latest samples are adapted to: AllSamples, or a
	// number; more than there are is all of them, 0 leaves the base model as it is.
	Shots int

	// Clock measures how long adapting takes; nil: not measured.
	Clock func() time.Time
}

// AllSamples makes Adapt use every window of the series.
const AllSamples = -1

// Adapted is the base model fitted to one job, and what it says of it.
type Adapted struct {
	Job   string
	Shots int           // windows the model was adapted to
	Took  time.Duration // adapting alone, by the caller's clock

	// Theta are the adapted parameters of the network.
	Theta []float32

	// Check is how a model adapted to the samples before the latest fifth did on
	// that fifth.
	Check Check

	// FellBack says that it did worse than the last value, which forecasts instead.
	FellBack bool

	// Forecasts are one step ahead, for the windows of the latest fifth, by the
	// model of the check, and last of all for the first value that is not known
	// yet, by the adapted model.
	Forecasts []Forecast

	params *Base
}

// Check compares a model with the last value on the latest fifth of the windows.
// Errors are mean absolute ones over the last value's own over the whole series
// (1 where the series does not move).
type Check struct {
	Windows     int // 0: the series is too short to check
	Shots       int // windows it was adapted to, all before
	Model, Last float64
}

// Forecast is one step ahead.
type Forecast struct {
	Time     int64    // Unix milliseconds
	Actual   *float64 // nil: not known yet
	Forecast float64
}

// Adapt fits the base model to one series and forecasts with it. The last value
// takes over where it would have done better on the latest fifth of the samples.
func Adapt(b *Base, s *taskshards.Series, o AdaptOptions) (*Adapted, error) {
	a, err := adapt(b, s, o)
	if err != nil {
		return nil, fmt.Errorf("adapt to %s: %w", s.Name, err)
	}
	return a, nil
}

func adapt(b *Base, s *taskshards.Series, o AdaptOptions) (*Adapted, error) {
	w, err := taskshards.NewWindower(b.Family)
	if err != nil {
		return nil, err
	}
	own, err := learner.New[float32](b.Learner, b.Model)
	if err != nil {
		return nil, err
	}
	next, ok := w.Next(s)
	if !ok {
		return nil, fmt.Errorf("found %d values in the last unbroken stretch, expected the %d of a window or more", lastStretch(s), b.Family.Lags)
	}
	ws := w.Windows(s)
	a := &Adapted{Job: s.Name, params: b}
	if err := a.check(b, own, ws, s, o.Shots); err != nil {
		return nil, err
	}
	clock := o.Clock
	if clock == nil {
		clock = func() time.Time { return time.Time{} }
	}
	began := clock()
	p, shots, err := adaptTo(b, own, ws, ws.N, o.Shots)
	if err != nil {
		return nil, err
	}
	a.Took, a.Shots, a.Theta = clock().Sub(began), shots, slices.Clone(p.Theta())
	a.foresee(p, next, s)
	return a, nil
}

func lastStretch(s *taskshards.Series) int {
	if len(s.Segments) == 0 {
		return 0
	}
	return len(s.Segments[len(s.Segments)-1].Values)
}

// adaptTo adapts to the shots windows before window end.
func adaptTo(b *Base, own learner.Learner[float32], ws *taskshards.Windows, end, shots int) (*learner.Predictor[float32], int, error) {
	if shots < 0 || shots > end {
		shots = end
	}
	support := batch(ws, end-shots, end)
	p, err := own.Adapt(b.Theta, &support, -1)
	return p, shots, err
}

// check forecasts the latest fifth of the windows with a model that has not seen
// them, and decides who forecasts from here on.
func (a *Adapted) check(b *Base, own learner.Learner[float32], ws *taskshards.Windows, s *taskshards.Series, shots int) error {
	from := ws.N - ws.N/5
	if from == ws.N {
		return nil
	}
	p, used, err := adaptTo(b, own, ws, from, shots)
	if err != nil {
		return err
	}
	j := &job{ws: ws, x: ws.X[from*ws.In:], scale: lastValueError(s), mid: centralOf(b.Learner)}
	if j.scale == 0 {
		j.scale = 1
	}
	for k := from; k < ws.N; k++ {
		j.scored = append(j.scored, k)
	}
	forecasts, last := j.predict(p), j.last()
	a.Check = Check{Windows: len(j.scored), Shots: used, Model: j.score(forecasts).mase, Last: j.score(last).mase}
	if a.Check.Model > a.Check.Last {
		a.FellBack, forecasts = true, last
	}
	for i, k := range j.scored {
		a.Forecasts = append(a.Forecasts, Forecast{Time: ws.Time[k], Actual: &ws.Target[k], Forecast: forecasts[i]})
	}
	return nil
}

// foresee appends the forecast beyond the end.
func (a *Adapted) foresee(p *learner.Predictor[float32], next taskshards.Next, s *taskshards.Series) {
	mid := centralOf(a.params.Learner)
	y := make([]float32, mid.outputs(1))
	p.Predict(next.X, 1, y)
	y = mid.pick(y)
	f := Forecast{Time: endOf(s), Forecast: next.Forecast(y[0])}
	if a.FellBack {
		f.Forecast = next.Last
	}
	a.Forecasts = append(a.Forecasts, f)
}

// endOf is the time of the first value that is not known.
func endOf(s *taskshards.Series) int64 {
	g := s.Segments[len(s.Segments)-1]
	return g.Start + int64(float64(float64(len(g.Values))*s.Interval)*1000+0.5)
}

// Encode is the adapted network as safetensors, under the names of the base
// model's tensors; metadata says what was adapted to.
func (a *Adapted) Encode() ([]byte, error) {
	var ts []checkpoint.Tensor
	for _, p := range a.params.Model.Params() {
		ts = append(ts, checkpoint.Tensor{Name: p.Name, Shape: p.Shape, F32: a.Theta[p.Offset : p.Offset+p.Size()]})
	}
	meta := map[string]string{"contract": metatrain.Contract, "job": a.Job, "shots": fmt.Sprint(a.Shots)}
	data, err := checkpoint.EncodeTensors(meta, ts)
	if err != nil {
		return nil, fmt.Errorf("encode model adapted to %s: %w", a.Job, err)
	}
	return data, nil
}
