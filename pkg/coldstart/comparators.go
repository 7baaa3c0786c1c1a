package coldstart

import (
	"fmt"
	"math"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// Comparators are the hyper-parameters of the methods that the base model is
// compared with, chosen on training jobs (Tune).
type Comparators struct {
	Jobs      int      `json:"jobs"`      // training jobs they were chosen on
	Alpha     float64  `json:"ses_alpha"` // weight of the newest value, 0 to 1
	Scratch   []Choice `json:"scratch"`   // by shots, ascending
	FineTuned []Choice `json:"finetuned"` // by shots, ascending; empty without a pooled model

	// Nearest is how the pooled model is fine-tuned on the nearest job, by shots,
	// ascending; empty where Tune had no training series to be near.
	Nearest []Choice `json:"nearest,omitempty"`
}

// Choice is a way to fit a model to a support of so many shots.
//
// Kind linear is ridge regression of the residual on the inputs, around 0, which
// is the last value: Precision is the weight of that prior in samples. The others
// are Steps of Adam at Rate on the whole support and the outer loss: network on
// all parameters, head on the last layer's.
type Choice struct {
	Shots     int     `json:"shots"`
	Kind      string  `json:"kind"`
	Precision float64 `json:"precision,omitempty"`
	Steps     int     `json:"steps,omitempty"`
	Rate      float64 `json:"rate,omitempty"`
}

// Kinds of Choice.
const (
	linear  = "linear"
	network = "network"
	head    = "head"
)

// untuned stands in where a version bears no comparators: middling choices, of
// which a table says that nobody tuned them.
func untuned() Comparators {
	return Comparators{
		Alpha:     0.8,
		Scratch:   []Choice{{Kind: linear, Precision: 1000}},
		FineTuned: []Choice{{Kind: network, Steps: 10, Rate: 0.001}},
	}
}

// untunedNearest stands in where comparators were chosen without training series.
func untunedNearest() []Choice { return []Choice{{Kind: network, Steps: 30, Rate: 0.001}} }

// scratchSearch is the small search of the method scratch: a linear model on the
// window, and the base model's own network from random parameters.
func scratchSearch() []Choice {
	var s []Choice
	for _, p := range []float64{1, 10, 100, 1000, 10000} {
		s = append(s, Choice{Kind: linear, Precision: p})
	}
	return append(s, descents([]string{network}, []float64{0.001, 0.01})...)
}

// fineTuneSearch is the search of the method finetuned: all layers or the last.
func fineTuneSearch() []Choice {
	return descents([]string{network, head}, []float64{0.0003, 0.001, 0.003, 0.01})
}

// descents lists the longer after the shorter of each kind and rate, so that one
// descent serves them all.
func descents(kinds []string, rates []float64) []Choice {
	var s []Choice
	for _, kind := range kinds {
		for _, rate := range rates {
			for _, steps := range []int{1, 3, 10, 30, 100} {
				s = append(s, Choice{Kind: kind, Rate: rate, Steps: steps})
			}
		}
	}
	return s
}

// nearest is the choice for so many shots, or for the number next to it.
func nearest(cs []Choice, shots int) Choice {
	return slices.MinFunc(cs, func(a, b Choice) int {
		return abs(a.Shots-shots) - abs(b.Shots-shots)
	})
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// check refuses what Tune never writes.
func (c *Comparators) check() error {
	if !(c.Alpha > 0 && c.Alpha <= 1) {
		return fmt.Errorf("comparators: ses_alpha: found %g, expected above 0, up to 1", c.Alpha)
	}
	for _, x := range slices.Concat(c.Scratch, c.FineTuned, c.Nearest) {
		known := x.Kind == linear && x.Precision > 0 || (x.Kind == network || x.Kind == head) && x.Rate > 0 && x.Steps > 0 && x.Steps <= 100_000
		if !known {
			return fmt.Errorf("comparators: found %+v, expected linear with a precision, or network or head with steps and rate", x)
		}
	}
	return nil
}

// workshop makes the models of all methods for one base model. It is work space
// of one call.
type workshop struct {
	base   *Base
	own    learner.Learner[float32] // the base model's
	pooled learner.Learner[float32] // its network without adaptation
	line   *nn.Model                // from the inputs straight to the output
	random []float32                // untrained parameters of the network
	slope  []float32
	stats  []metatrain.View // the network's tracked statistics
}

// scratchSeed starts the network that is trained from scratch.
const scratchSeed = 1

func newWorkshop(b *Base) (*workshop, error) {
	w := &workshop{base: b}
	var err error
	if w.own, err = learner.New[float32](b.Learner, b.Model); err != nil {
		return nil, err
	}
	if w.pooled, err = learner.New[float32](b.Learner.Pooled(), b.Model); err != nil {
		return nil, err
	}
	if w.line, err = nn.Build(nn.Config{Name: "mlp"}, nn.Flat(b.Model.In(), centralOf(b.Learner).targets(b.Model.Out()))); err != nil {
		return nil, err
	}
	w.random = make([]float32, b.Model.NumParams())
	b.Model.Init(scratchSeed, w.random)
	w.slope = make([]float32, b.Model.NumParams())
	for _, p := range b.Model.Params() {
		if p.Track {
			w.stats = append(w.stats, metatrain.View{Name: p.Name, Offset: p.Offset, Shape: p.Shape, Tracked: true})
		}
	}
	return w, nil
}

// adapted is the base model's own way with a support.
func (w *workshop) adapted(s learner.Batch[float32]) (*learner.Predictor[float32], error) {
	return w.own.Adapt(w.base.Theta, &s, -1)
}

// still is the network at theta.
func (w *workshop) still(theta []float32) (*learner.Predictor[float32], error) {
	return w.pooled.Adapt(theta, &learner.Batch[float32]{}, 0)
}

// linear fits a linear model to the support, around 0.
func (w *workshop) linear(s learner.Batch[float32], precision float64) (*learner.Predictor[float32], error) {
	c := w.base.Learner
	if c.OuterLoss == "pinball" { // of which ridge has none
		c.OuterLoss = "abs"
	}
	ridge, err := learner.New[float32](learner.Config{
		Name: "ridge", Precision: float32(precision), OuterLoss: c.OuterLoss, HuberDelta: c.HuberDelta, Clip: c.Clip,
	}, w.line)
	if err != nil {
		return nil, err
	}
	theta := make([]float32, ridge.NumParams())
	ridge.Init(scratchSeed, theta)
	clear(theta[:w.line.NumParams()])
	return ridge.Adapt(theta, &s, -1)
}

// descend takes steps of Adam on the support from start, and calls at with the
// parameters after each number of steps in stops, which ascends. Tracked
// statistics follow the support, unless the head alone is tuned.
func (w *workshop) descend(start []float32, s learner.Batch[float32], c Choice, stops []int, at func(steps int, theta []float32) error) error {
	theta := slices.Clone(start)
	spec := metatrain.OptimizerSpec{Name: "adam", Rate: c.Rate, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Schedule: "constant"}
	adam := metatrain.NewOptimizer(spec, len(theta))
	task := learner.Task[float32]{Query: s}
	last := w.base.Model.Head()
	for step := 1; step <= stops[len(stops)-1]; step++ {
		if err := w.base.wanted(); err != nil {
			return err
		}
		if _, err := w.pooled.Gradient(theta, &task, w.slope); err != nil {
			return err
		}
		if c.Kind == head {
			clear(w.slope[:last.Lo])
		}
		spec.Settle(w.stats, theta, w.slope)
		adam.Step(theta, w.slope, int64(step-1), math.MaxInt32)
		if slices.Contains(stops, step) {
			if err := at(step, theta); err != nil {
				return err
			}
		}
	}
	return nil
}

// fit makes the model of a choice; start is where a descent begins.
func (w *workshop) fit(start []float32, s learner.Batch[float32], c Choice) (p *learner.Predictor[float32], err error) {
	if c.Kind == linear {
		return w.linear(s, c.Precision)
	}
	err = w.descend(start, s, c, []int{c.Steps}, func(_ int, theta []float32) error {
		p, err = w.still(theta)
		return err
	})
	return p, err
}
