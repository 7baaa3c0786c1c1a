package nn

import "fmt"

// model appends the layers of a named model and the head.
func (b *builder) model(c Config) error {
	switch c.Name {
	case "mlp":
		return b.mlp(c)
	case "conv4":
		return b.conv4(c)
	case "tcn":
		return b.tcn(c)
	case "gru":
		return b.recurrent(c)
	}
	if c.Skip && len(c.Layers) == 0 {
		return errLinearSkip
	}
	b.spread()
	if err := b.layers(c.Layers); err != nil {
		return err
	}
	if len(b.at) > 1 {
		return fmt.Errorf("layers: the head got shape %v, expected [features]; end the list with flatten, last or a global pool", b.at)
	}
	return b.head(c)
}

var errLinearSkip = fmt.Errorf("skip: set with no hidden layer to skip; leave it out, the model is linear already")

// mlp appends dense layers over all features, with a norm and an activation after
// each, and the head.
func (b *builder) mlp(c Config) error {
	if c.Skip && len(c.Hidden) == 0 {
		return errLinearSkip
	}
	b.at = []int{b.m.shape.Size()}
	for _, h := range c.Hidden {
		if err := b.several(LayerSpec{Kind: "dense", Units: h}, c.norm(), LayerSpec{Kind: c.Activation}); err != nil {
			return err
		}
	}
	return b.head(c)
}

// conv4 appends the four convolutions of Vinyals et al. (2016) as the MAML paper
// has them: 3x3 of stride 2, or of stride 1 with a pool of 2x2 after it, a norm
// and an activation.
func (b *builder) conv4(c Config) error {
	if len(b.m.shape.In) != 3 {
		return fmt.Errorf("name: conv4 got input of shape %v, expected [height width channels]", b.m.shape.In)
	}
	b.spread()
	conv := LayerSpec{Kind: "conv2d", Filters: or(c.Filters, 64), Kernel: Dims{3}, Stride: Dims{2}, Padding: Dims{1}}
	var pool LayerSpec
	if c.Pool == "max" {
		conv.Stride = nil
		pool = LayerSpec{Kind: "maxpool", Kernel: Dims{2}}
	}
	if c.Norm == "" {
		c.Norm = "batch"
	}
	for range 4 {
		if err := b.several(conv, c.norm(), LayerSpec{Kind: c.Activation}, pool); err != nil {
			return err
		}
	}
	if err := b.layer(LayerSpec{Kind: "flatten"}); err != nil {
		return err
	}
	return b.head(c)
}

// tcn appends residual blocks of two causal convolutions each, dilated by 1, 2, 4
// and so on (Bai, Kolter and Koltun, 2018, without their relu after the sum), and
// the last time's features.
func (b *builder) tcn(c Config) error {
	if len(b.m.shape.In) != 2 {
		return fmt.Errorf("name: tcn got input of shape %v, expected [time channels]", b.m.shape.In)
	}
	b.spread()
	for i := range or(c.Levels, 3) {
		conv := LayerSpec{Kind: "conv1d", Filters: or(c.Channels, 16), Kernel: Dims{or(c.Kernel, 3)}, Dilation: Dims{1 << i}, Causal: true}
		f := present(conv, c.norm(), LayerSpec{Kind: c.Activation})
		if err := b.layer(LayerSpec{Kind: "residual", Layers: append(f, f...)}); err != nil {
			return err
		}
	}
	if err := b.layer(LayerSpec{Kind: "last"}); err != nil {
		return err
	}
	return b.head(c)
}

// recurrent appends a gated recurrent unit, of which the head gets the last state.
func (b *builder) recurrent(c Config) error {
	if len(b.m.shape.In) != 2 {
		return fmt.Errorf("name: gru got input of shape %v, expected [time channels]", b.m.shape.In)
	}
	b.spread()
	if err := b.several(LayerSpec{Kind: "gru", Units: or(c.Units, 32)}, LayerSpec{Kind: "last"}); err != nil {
		return err
	}
	return b.head(c)
}

// norm is the layer of Norm, or one of no kind.
func (c Config) norm() LayerSpec {
	switch c.Norm {
	case "batch":
		return LayerSpec{Kind: "batchnorm", Statistics: c.Statistics, PerStep: c.PerStep}
	case "layer":
		return LayerSpec{Kind: "layernorm"}
	}
	return LayerSpec{}
}

// or is n, or what stands for 0.
func or(n, absent int) int {
	if n == 0 {
		return absent
	}
	return n
}

// present leaves out layers of no kind.
func present(list ...LayerSpec) []LayerSpec {
	var some []LayerSpec
	for _, l := range list {
		if l.Kind != "" {
			some = append(some, l)
		}
	}
	return some
}

// several appends the layers that are present.
func (b *builder) several(list ...LayerSpec) error {
	for _, l := range present(list...) {
		if err := b.layer(l); err != nil {
			return err
		}
	}
	return nil
}

// head appends the last dense layer. Beside the features it gets the input's extra
// ones, or where the model skips, the whole input, with weights of zero.
func (b *builder) head(c Config) error {
	own, extra := b.at[0], 0
	switch {
	case c.Skip:
		extra = b.m.shape.Size()
	case len(b.m.shape.In) > 1 && c.Name != "mlp":
		extra = b.m.shape.Extra
	}
	if extra > 0 {
		b.append("skip", LayerSpec{}, []int{own + extra})
		if !c.Skip {
			own += extra
		}
	}
	b.dense("head", b.m.shape.Out, own)
	return nil
}
