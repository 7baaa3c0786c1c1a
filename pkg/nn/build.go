package nn

import (
	"fmt"
	"slices"
)

// builder appends layers to a model; at is the shape that the next one gets, and
// named counts layers by kind.
type builder struct {
	m     *Model
	at    []int
	named map[string]int
}

// Build returns the model of c for samples of a shape. Errors name the field or
// layer, the shapes, what was found and what was expected.
func Build(c Config, s Shape) (*Model, error) {
	if c.Activation == "" {
		c.Activation = "relu"
	}
	m, err := build(c, s)
	if err != nil {
		return nil, fmt.Errorf("build model: %w", err)
	}
	return m, nil
}

func build(c Config, s Shape) (*Model, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	s.In = slices.Clone(s.In)
	c.Hidden = slices.Clone(c.Hidden)
	b := &builder{m: &Model{config: c, shape: s}, at: s.In, named: map[string]int{}}
	var err error
	switch c.Name {
	case "mlp":
		err = b.mlp(c)
	case "layers":
		err = b.layers(c.Layers)
	default:
		err = unknown("name", c.Name, "mlp", "layers")
	}
	if err != nil {
		return nil, err
	}
	if b.m.size > maxParams {
		return nil, fmt.Errorf("%d parameters, expected at most %d", b.m.size, maxParams)
	}
	return b.m, nil
}

// mlp appends dense layers with an activation after each, and the head.
func (b *builder) mlp(c Config) error {
	if !slices.Contains(activations, c.Activation) {
		return unknown("activation", c.Activation, activations...)
	}
	if c.Skip && len(c.Hidden) == 0 {
		return fmt.Errorf("skip: set with no hidden layer to skip; leave it out, the model is linear already")
	}
	in := b.m.shape.Size()
	b.at = []int{in}
	for _, h := range c.Hidden {
		if err := b.layer(LayerSpec{Kind: "dense", Units: h}); err != nil {
			return err
		}
		if err := b.layer(LayerSpec{Kind: c.Activation}); err != nil {
			return err
		}
	}
	own := b.at[0]
	if c.Skip {
		b.append("skip", LayerSpec{}, []int{own + in})
	}
	b.head(own)
	return nil
}

// layers appends a list of layers and the head.
func (b *builder) layers(list []LayerSpec) error {
	for i, l := range list {
		if err := b.layer(l); err != nil {
			return fmt.Errorf("layers[%d]: %w", i, err)
		}
	}
	if len(b.at) > 1 {
		return fmt.Errorf("layers: the head got shape %v, expected [features]; end the list with flatten or a pool over everything", b.at)
	}
	b.head(b.at[0])
	return nil
}

// head appends the last dense layer. Of its inputs the first own ones were
// computed; a skip's start with weights of zero.
func (b *builder) head(own int) {
	b.dense("head", b.m.shape.Out, own)
}

// layer appends the layer of a spec.
func (b *builder) layer(l LayerSpec) error {
	switch l.Kind {
	case "dense":
		return b.hidden(l)
	case "relu", "tanh", "sigmoid", "gelu":
		b.append(l.Kind, l, b.at)
		return nil
	case "batchnorm":
		return b.batchnorm(l)
	case "layernorm":
		return b.layernorm(l)
	}
	return unknown("kind", l.Kind, "dense", "batchnorm", "layernorm", "relu", "tanh", "sigmoid", "gelu")
}

// hidden appends a dense layer named by its number.
func (b *builder) hidden(l LayerSpec) error {
	name := b.name("dense")
	if len(b.at) != 1 {
		return fmt.Errorf("layer %s: input of shape %v, expected [features]; put flatten before it", name, b.at)
	}
	if l.Units < 1 || l.Units > maxWidth {
		return fmt.Errorf("layer %s: shape [%d][%d], expected [%d][1 to %d]", name, b.at[0], l.Units, b.at[0], maxWidth)
	}
	b.dense(name, l.Units, b.at[0])
	return nil
}

// dense appends a dense layer: weights [in][out], then bias [out].
func (b *builder) dense(name string, out, own int) {
	in := b.at[0]
	b.append("dense", LayerSpec{}, []int{out})
	b.param(name+".w", []int{in, out}, start{kind: "uniform", fan: own, n: own * out})
	b.param(name+".b", []int{out}, start{kind: "uniform", fan: own, n: out})
	b.group(name)
}

// name numbers the layers of a kind.
func (b *builder) name(kind string) string {
	n := b.named[kind]
	b.named[kind]++
	return fmt.Sprintf("%s%d", kind, n)
}

// append adds a step without parameters that ends in shape out.
func (b *builder) append(kind string, l LayerSpec, out []int) {
	b.m.steps = append(b.m.steps, step{kind: kind, spec: l, in: b.at, out: out, lo: b.m.size, hi: b.m.size})
	b.at = out
}

// param adds a tensor to the last step.
func (b *builder) param(name string, shape []int, s start) {
	b.m.params = append(b.m.params, Param{Name: name, Offset: b.m.size, Shape: shape})
	b.m.starts = append(b.m.starts, s)
	b.m.size += volume(shape)
	b.m.steps[len(b.m.steps)-1].hi = b.m.size
}

// track adds a tracked statistic to the last step.
func (b *builder) track(name string, shape []int, s start) {
	b.param(name, shape, s)
	b.m.params[len(b.m.params)-1].Track = true
}

// group makes the last step's parameters a layer of that name.
func (b *builder) group(name string) {
	s := b.m.steps[len(b.m.steps)-1]
	b.m.groups = append(b.m.groups, Group{name, s.lo, s.hi})
}
