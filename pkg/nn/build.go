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
	depth int // of residuals
}

// Build returns the model of c for samples of a shape. Errors name the field or
// layer, the shapes, what was found and what was expected.
func Build(c Config, s Shape) (*Model, error) {
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
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Activation == "" {
		c.Activation = "relu"
	}
	s.In = slices.Clone(s.In)
	c.Hidden = slices.Clone(c.Hidden)
	b := &builder{m: &Model{config: c, shape: s}, at: s.In, named: map[string]int{}}
	if err := b.model(c); err != nil {
		return nil, err
	}
	return b.m, b.fits()
}

// layers appends a list of layers.
func (b *builder) layers(list []LayerSpec) error {
	for i, l := range list {
		if err := b.layer(l); err != nil {
			return fmt.Errorf("layers[%d]: %w", i, err)
		}
	}
	return nil
}

// layer appends the layer of a spec.
func (b *builder) layer(l LayerSpec) error {
	if err := l.check(); err != nil {
		return err
	}
	var err error
	switch l.Kind {
	case "dense":
		err = b.hidden(l)
	case "conv1d", "conv2d":
		err = b.conv(l)
	case "maxpool", "avgpool":
		err = b.pool(l)
	case "flatten":
		err = b.flatten()
	case "last":
		err = b.last()
	case "residual":
		err = b.residual(l)
	case "gru":
		err = b.gru(l)
	case "batchnorm":
		err = b.batchnorm(l)
	case "layernorm":
		err = b.layernorm(l)
	default: // elementwise, without options
		b.append(l.Kind, l, b.at)
	}
	if err != nil {
		return err
	}
	return b.fits()
}

// fits refuses a model that has grown too large.
func (b *builder) fits() error {
	last := b.m.steps[len(b.m.steps)-1]
	switch {
	case len(b.m.steps) > maxLayers:
		return fmt.Errorf("%d layers, expected at most %d", len(b.m.steps), maxLayers)
	case b.m.size > MaxParams:
		return fmt.Errorf("%d parameters, expected at most %d; narrow model.%s", b.m.size, MaxParams, b.m.Widest())
	case volume(last.out) > maxSample:
		return fmt.Errorf("shape %v of %d elements per sample, expected at most %d", last.out, volume(last.out), maxSample)
	}
	return nil
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

// dense appends a dense layer: weights [in][out], then bias [out]. Of its inputs
// the first own ones were computed; the weights of others start at zero.
func (b *builder) dense(name string, out, own int) {
	in := b.at[0]
	b.append("dense", LayerSpec{}, []int{out})
	b.linear(name, []int{in, out}, own, out, own*out)
	b.group(name)
}

// linear adds the weights of a linear map and its bias, which start as the model's
// Init says: of the weights the first n elements, by the inputs and outputs that
// meet in one of them.
func (b *builder) linear(name string, shape []int, fanIn, fanOut, n int) {
	kind, out := b.m.config.Init, shape[len(shape)-1]
	s := start{kind: kind, fan: fanIn, fanOut: fanOut, n: n}
	bias := start{}
	if kind == "" {
		s.kind = "uniform"
		bias = start{kind: "uniform", fan: fanIn, n: out}
	}
	b.param(name+".w", shape, s)
	b.param(name+".b", []int{out}, bias)
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
