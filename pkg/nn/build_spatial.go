package nn

import (
	"fmt"
	"slices"
)

// spread brings the input to positions first, where it has any; the extra features
// wait for the head.
func (b *builder) spread() {
	in := b.m.shape.In
	b.at = []int{b.m.shape.Size()}
	if len(in) > 1 {
		b.append("spread", LayerSpec{}, in)
	}
}

// conv appends a convolution: weights [kernel...][in][out], then bias [out].
func (b *builder) conv(l LayerSpec) error {
	name := b.name(l.Kind)
	want := "[time channels]"
	if l.Kind == "conv2d" {
		want = "[height width channels]"
	}
	if fmt.Sprintf("conv%dd", len(b.at)-1) != l.Kind {
		return fmt.Errorf("layer %s: input of shape %v, expected %s", name, b.at, want)
	}
	if l.Filters < 1 || l.Filters > maxWidth {
		return fmt.Errorf("layer %s: filters %d, expected 1 to %d", name, l.Filters, maxWidth)
	}
	if l.Causal && l.Padding != nil {
		return fmt.Errorf("layer %s: padding %v beside causal, which pads by itself; leave padding out", name, []int(l.Padding))
	}
	w, err := windowOf(l, b.at)
	if err != nil {
		return fmt.Errorf("layer %s: input of shape %v: %w", name, b.at, err)
	}
	in := b.at[len(b.at)-1]
	b.append("conv", l, b.after(w, l.Filters))
	axes := w.kernel[2-(len(b.at)-1):]
	shape := append(slices.Clone(axes), in, l.Filters)
	b.linear(name, shape, w.taps()*in, w.taps()*l.Filters, volume(shape))
	b.group(name)
	return nil
}

// after is the shape that a window makes of the one at hand.
func (b *builder) after(w window, channels int) []int {
	return append(slices.Clone(w.out[2-(len(b.at)-1):]), channels)
}

// pool appends a maximum or mean over windows.
func (b *builder) pool(l LayerSpec) error {
	name := b.name(l.Kind)
	if len(b.at) < 2 {
		return fmt.Errorf("layer %s: input of shape %v, expected [time channels] or [height width channels]", name, b.at)
	}
	if l.Global && (l.Kernel != nil || l.Stride != nil || l.Padding != nil) {
		return fmt.Errorf("layer %s: kernel, stride or padding beside global, whose window is the whole input; leave them out", name)
	}
	w, err := windowOf(l, b.at)
	if err != nil {
		return fmt.Errorf("layer %s: input of shape %v: %w", name, b.at, err)
	}
	if l.Kind == "maxpool" && w.overlaps() && w.taps() > 256 {
		return fmt.Errorf("layer %s: windows of %d positions that overlap, expected at most 256", name, w.taps())
	}
	c := b.at[len(b.at)-1]
	if l.Global {
		b.append(l.Kind, l, []int{c})
		return nil
	}
	b.append(l.Kind, l, b.after(w, c))
	return nil
}

func (b *builder) flatten() error {
	name := b.name("flatten")
	if len(b.at) < 2 {
		return fmt.Errorf("layer %s: input of shape %v is flat already, expected positions and channels", name, b.at)
	}
	b.append("flatten", LayerSpec{}, []int{volume(b.at)})
	return nil
}

func (b *builder) last() error {
	name := b.name("last")
	if len(b.at) != 2 {
		return fmt.Errorf("layer %s: input of shape %v, expected [time channels]", name, b.at)
	}
	b.append("last", LayerSpec{}, b.at[1:])
	return nil
}

// residual appends the layers of f between a fork and its join.
func (b *builder) residual(l LayerSpec) error {
	name := b.name("residual")
	from := b.at
	if b.depth++; b.depth > maxDepth {
		return fmt.Errorf("layer %s: %d residuals within one another, expected at most %d", name, b.depth, maxDepth)
	}
	if len(l.Layers) == 0 {
		return fmt.Errorf("layer %s: no layers, expected at least one", name)
	}
	b.append("fork", LayerSpec{}, from)
	if err := b.layers(l.Layers); err != nil {
		return fmt.Errorf("layer %s: %w", name, err)
	}
	b.depth--
	return b.join(name, from)
}

// join adds x of shape from to f(x) of the shape at hand, by a projection where
// they differ.
func (b *builder) join(name string, from []int) error {
	if slices.Equal(from, b.at) {
		b.append("join", LayerSpec{}, b.at)
		return nil
	}
	fits := len(from) == len(b.at)
	x, f := positions(from), positions(b.at)
	for i := range x {
		_, ok := strideTo(x[i], f[i])
		fits = fits && ok
	}
	if !fits {
		return fmt.Errorf("layer %s: cannot add x of shape %v to f(x) of shape %v: no stride takes one to the other", name, from, b.at)
	}
	in, out := from[len(from)-1], b.at[len(b.at)-1]
	b.append("join", LayerSpec{}, b.at)
	b.m.steps[len(b.m.steps)-1].beside = from
	b.linear(name, []int{in, out}, in, out, in*out)
	b.group(name)
	return nil
}
