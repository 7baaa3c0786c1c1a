package gorgoniaengine

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// Learner is MAML or FOMAML on a net by gorgonia, behind the interface of lane's
// learners: with it a worker serves runs of this engine. It keeps a few graphs, one
// for each size of support and query it has met.
type Learner struct {
	net      Net
	start    func(seed uint64, theta []float32)
	params   []nn.Param
	inner    MAML
	second   bool
	outer    nn.Loss
	gradient cache[*Engine[float32]]
	step     cache[*program[float32]]
	forward  cache[*program[float32]]
}

var _ learner.Learner[float32] = (*Learner)(nil)

// NewLearner makes the learner of c for a net. A nil start fills the parameters as
// the net's tensors say; params name them, by default the net's own. Options that
// this engine does not have are refused by name.
func NewLearner(c learner.Config, net Net, params []nn.Param, start func(seed uint64, theta []float32)) (*Learner, error) {
	if err := net.check(); err != nil {
		return nil, fmt.Errorf("make learner: %w", err)
	}
	l := &Learner{net: net, start: start, params: params, second: c.Name == "maml"}
	l.inner = MAML{Steps: max(c.Steps, 1), Rate: float64(c.Rate), Inner: c.InnerLoss, Outer: c.OuterLoss}
	if l.inner.Rate == 0 {
		l.inner.Rate = 0.01
	}
	for _, name := range []*string{&l.inner.Inner, &l.inner.Outer} {
		if *name == "" {
			*name = "mse"
		}
		if _, err := lossOf(*name); err != nil {
			return nil, fmt.Errorf("make learner: loss: %w", err)
		}
	}
	switch {
	case c.Name == "pooled":
		l.inner.Steps = 0
	case c.Name != "maml" && c.Name != "fomaml":
		return nil, fmt.Errorf("make learner: name: found %q, expected maml or fomaml: engine gorgonia has no other; use engine lane", c.Name)
	}
	if names := others(c); len(names) > 0 {
		return nil, fmt.Errorf("make learner: %s: set, which engine gorgonia has not; leave out or use engine lane", strings.Join(names, ", "))
	}
	var err error
	if l.outer, err = nn.NewLoss(nn.LossConfig{Name: l.inner.Outer}); err != nil {
		return nil, fmt.Errorf("make learner: %w", err)
	}
	if l.params == nil {
		l.params = net.Params()
	}
	return l, nil
}

// others are the options that are set and not read here: any that learner.Config comes to have.
func others(c learner.Config) (names []string) {
	c.Name, c.Steps, c.Rate = "", 0, 0
	c.InnerLoss, c.OuterLoss, c.InnerDelta, c.HuberDelta = "", "", 0, 0 // lossOf refuses those that have a delta
	if c.Rates == learner.ScalarRate {
		c.Rates = ""
	}
	all := reflect.ValueOf(c)
	for i := range all.NumField() {
		if f := all.Field(i); !f.IsZero() && !(f.Kind() == reflect.Slice && f.Len() == 0) {
			name, _, _ := strings.Cut(all.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

// NumParams is the length of theta.
func (l *Learner) NumParams() int { return l.net.NumParams() }

// Params names the tensors of theta.
func (l *Learner) Params() []nn.Param { return l.params }

// Init fills theta from seed.
func (l *Learner) Init(seed uint64, theta []float32) {
	if l.start != nil {
		l.start(seed, theta)
		return
	}
	l.net.start(seed, theta)
}

// Gradient returns the outer loss and its gradient.
func (l *Learner) Gradient(theta []float32, task *learner.Task[float32], grad []float32) (float32, error) {
	m, at := l.inner, theta
	if task.Support.N == 0 {
		m.Steps = 0
	}
	if !l.second && m.Steps > 0 { // the gradient at the adapted parameters
		var err error
		if at, err = l.adapt(theta, &task.Support, m.Steps); err != nil {
			return 0, err
		}
		m.Steps = 0
	}
	e, err := l.gradient.get(sizes{task.Support.N * min(m.Steps, 1), task.Query.N}, func(s sizes) (*Engine[float32], error) {
		return New[float32](l.net, m, s.support, s.query)
	})
	if err != nil {
		return 0, err
	}
	loss, err := e.Gradient(at, task, grad)
	if err == nil && (!finite(loss) || !finite(grad...)) {
		err = fmt.Errorf("compute gradient: %w: the loss is %v, expected a finite number", learner.ErrDiverged, loss)
	}
	return loss, err
}

// finite reports whether no number is infinite or NaN.
func finite(x ...float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// adapt returns the parameters after so many steps on b.
func (l *Learner) adapt(theta []float32, b *learner.Batch[float32], steps int) ([]float32, error) {
	at := append([]float32(nil), theta...)
	if b.N == 0 {
		return at, nil
	}
	p, err := l.step.get(sizes{support: b.N}, func(s sizes) (*program[float32], error) { return newStep[float32](l.net, l.inner, s.support) })
	if err != nil {
		return nil, err
	}
	for range steps {
		if err := p.run(at, b, nil); err != nil {
			return nil, err
		}
		for i, t := range l.net.Params() {
			if err := copyOut(at[t.Offset:][:t.Size()], p.values[i]); err != nil {
				return nil, err
			}
		}
	}
	return at, nil
}

// Adapt returns the model adapted to support; below 0 steps are the learner's own.
func (l *Learner) Adapt(theta []float32, support *learner.Batch[float32], steps int) (*learner.Predictor[float32], error) {
	if steps < 0 {
		steps = l.inner.Steps
	}
	at, err := l.adapt(theta, support, steps)
	if err != nil {
		return nil, fmt.Errorf("adapt: %w", err)
	}
	return learner.NewPredictor(at, l.net.Out, l.outer, l.outputs)
}

// outputs computes the net's outputs. A graph of a size met before runs; one that
// could not be built before would have failed in training.
func (l *Learner) outputs(theta, x []float32, n int) []float32 {
	y := make([]float32, n*l.net.Out)
	p, err := l.forward.get(sizes{query: n}, func(s sizes) (*program[float32], error) { return newForward[float32](l.net, s.query) })
	if err == nil {
		b := &learner.Batch[float32]{N: n, X: x, Y: y, W: make([]float32, n)}
		if err = p.run(theta, nil, b); err == nil {
			err = copyOut(y, p.values[0])
		}
	}
	if err != nil {
		panic(err) // the worker's edge makes it the work's failure
	}
	return y
}

// sizes are those of a graph.
type sizes struct{ support, query int }

// keepGraphs is how many graphs of one kind are kept: tasks come in a few sizes.
const keepGraphs = 8

// cache holds graphs by size, the oldest leaving first.
type cache[G interface{ Close() error }] struct {
	by    map[sizes]G
	order []sizes
}

func (c *cache[G]) get(s sizes, make func(sizes) (G, error)) (G, error) {
	if g, ok := c.by[s]; ok {
		return g, nil
	}
	g, err := make(s)
	if err != nil {
		return g, err
	}
	if c.by == nil {
		c.by = map[sizes]G{}
	}
	if len(c.order) == keepGraphs {
		old := c.by[c.order[0]]
		delete(c.by, c.order[0])
		c.order = c.order[1:]
		if err := old.Close(); err != nil {
			return g, fmt.Errorf("close gorgonia graph: %w", err)
		}
	}
	c.by[s] = g
	c.order = append(c.order, s)
	return g, nil
}
