package gorgoniaengine

import (
	"fmt"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// Of makes the net of a model of pkg/nn, its tensors cut into matrices in the
// order of the flat parameter vector. A layer that this engine has no exact
// second derivative of is an error that names it.
func Of(m *nn.Model) (Net, error) {
	c := &converter{model: m}
	for i, l := range m.Layers() {
		if err := c.layer(l); err != nil {
			return Net{}, fmt.Errorf("layer %d (%s): %w", i, l.Kind, err)
		}
	}
	return Net{Tensors: c.tensors, In: m.In(), Out: m.Out(), Forward: func(g *Graph, p []*Value, x *Value) *Value {
		s := &signal{g: g, tensors: p, input: x, at: []*Value{x}}
		for _, f := range c.passes {
			f(s)
		}
		return s.at[0]
	}}, nil
}

// signal is what passes through a model: a matrix [n][features], or one [n][channels]
// for each position.
type signal struct {
	g       *Graph
	tensors []*Value
	input   *Value
	at      []*Value
	forks   [][]*Value
}

// each applies an operation to every position.
func (s *signal) each(op func(*Value) *Value) {
	next := make([]*Value, len(s.at))
	for i, v := range s.at {
		next[i] = op(v)
	}
	s.at = next
}

// converter turns layers into tensors and passes.
type converter struct {
	model   *nn.Model
	tensors []Tensor
	passes  []func(*signal)
}

func (c *converter) pass(f func(*signal)) { c.passes = append(c.passes, f) }

// matrix adds a tensor and returns its number. Its start is the model's own, which
// fills the vector.
func (c *converter) matrix(name string, rows, cols int) int {
	c.tensors = append(c.tensors, Tensor{Name: name, Rows: rows, Cols: cols})
	return len(c.tensors) - 1
}

func (c *converter) layer(l nn.Info) error {
	channels := l.In[len(l.In)-1]
	switch l.Kind {
	case "dense":
		c.dense(l)
	case "relu":
		c.pass(func(s *signal) { s.each(s.g.Relu) })
	case "tanh":
		c.pass(func(s *signal) { s.each(s.g.Tanh) })
	case "sigmoid":
		c.pass(func(s *signal) { s.each(s.g.Sigmoid) })
	case "spread":
		positions, width := volume(l.Out)/l.Out[len(l.Out)-1], l.Out[len(l.Out)-1]
		c.pass(func(s *signal) {
			x := s.at[0]
			s.at = nil
			for p := range positions {
				s.at = append(s.at, s.g.Columns(x, p*width, width))
			}
		})
	case "flatten":
		// Dense layers read positions as they are.
	case "last":
		c.pass(func(s *signal) { s.at = s.at[len(s.at)-1:] })
	case "skip":
		more := l.Out[0] - l.In[0]
		c.pass(func(s *signal) { s.at = append(s.at, s.g.Columns(s.input, s.input.Cols-more, more)) })
	case "conv":
		c.conv(l, l.In, channels)
	case "avgpool":
		c.avgpool(l)
	case "fork":
		c.pass(func(s *signal) { s.forks = append(s.forks, s.at) })
	case "join":
		c.join(l)
	case "batchnorm":
		if l.Spec.Statistics == "stored" || l.Spec.PerStep {
			return fmt.Errorf("batch norm with stored statistics or sets per step: engine gorgonia has none; use engine lane")
		}
		c.batchNorm(l, channels)
	default:
		return fmt.Errorf("engine gorgonia cannot differentiate it twice; use engine lane")
	}
	return nil
}

func volume(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// dense reads one matrix of features or, after flatten and skip, several that
// stand side by side: the weights are cut into as many rows of blocks.
func (c *converter) dense(l nn.Info) {
	in, out := l.In[0], l.Out[0]
	widths := c.widths(in)
	var blocks []int
	for i, w := range widths {
		blocks = append(blocks, c.matrix(fmt.Sprintf("p%d.w%d", l.Lo, i), w, out))
	}
	bias := c.matrix(fmt.Sprintf("p%d.b", l.Lo), 1, out)
	c.pass(func(s *signal) {
		sum := s.g.Spread(s.tensors[bias], s.at[0].Rows)
		for i, b := range blocks {
			sum = s.g.Add(sum, s.g.MatMul(s.at[i], s.tensors[b]))
		}
		s.at = []*Value{sum}
	})
}

// widths are those of the matrices that a dense layer of so many inputs reads: what
// the layers before it leave side by side.
func (c *converter) widths(in int) []int {
	layers := c.model.Layers()
	i := slices.IndexFunc(layers, func(l nn.Info) bool { return l.Kind == "dense" && c.offset() == l.Lo })
	var widths []int
	for i--; i >= 0 && (layers[i].Kind == "skip" || layers[i].Kind == "flatten" || elementwise(layers[i].Kind)); i-- {
		l := layers[i]
		switch l.Kind {
		case "skip":
			widths = append(widths, l.Out[0]-l.In[0])
			in = l.In[0]
		case "flatten":
			channels := l.In[len(l.In)-1]
			for range volume(l.In) / channels {
				widths = append(widths, channels)
			}
			in = 0
		}
		if in == 0 {
			break
		}
	}
	if in > 0 {
		widths = append(widths, in)
	}
	slices.Reverse(widths)
	return widths
}

func elementwise(kind string) bool { return kind == "relu" || kind == "tanh" || kind == "sigmoid" }

// offset is the number of parameters so far.
func (c *converter) offset() int {
	n := 0
	for _, t := range c.tensors {
		n += t.Rows * t.Cols
	}
	return n
}

// batchNorm normalises over all positions and samples.
func (c *converter) batchNorm(l nn.Info, channels int) {
	gamma, beta := c.matrix(fmt.Sprintf("p%d.gamma", l.Lo), 1, channels), c.matrix(fmt.Sprintf("p%d.beta", l.Lo), 1, channels)
	c.pass(func(s *signal) {
		g, n := s.g, s.at[0].Rows
		total := 1 / float64(n*len(s.at))
		mean := g.Scale(s.sum(func(v *Value) *Value { return v }), total)
		s.each(func(v *Value) *Value { return g.Sub(v, g.Spread(mean, n)) })
		variance := g.Scale(s.sum(func(v *Value) *Value { return g.Times(v, v) }), total)
		factor := g.Times(g.Power(g.Shift(variance, float64(l.Spec.Eps)), -0.5), s.tensors[gamma])
		s.each(func(v *Value) *Value {
			return g.Add(g.Times(v, g.Spread(factor, n)), g.Spread(s.tensors[beta], n))
		})
	})
}

// sum adds up a function of every position over its rows.
func (s *signal) sum(of func(*Value) *Value) *Value {
	var sum *Value
	for _, v := range s.at {
		row := s.g.SumRows(of(v))
		if sum == nil {
			sum = row
		} else {
			sum = s.g.Add(sum, row)
		}
	}
	return sum
}
