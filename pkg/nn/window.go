package nn

import (
	"fmt"
	"slices"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// window is how a kernel slides over positions: [height, width], time being a
// width of height 1. Output position o reads, for each tap t of the kernel, the
// input position o*stride - pad + t*dilation, where that lies on the input.
type window struct {
	in, out, kernel, stride, pad, dilation [2]int
}

// windowOf is the window of a convolution or pool over shape in; fields that are
// not set take their defaults.
func windowOf(l LayerSpec, in []int) (w window, err error) {
	axes := len(in) - 1
	w.in = pair(in[:axes], 1)
	if l.Global {
		w.kernel, w.stride, w.dilation, w.out = w.in, [2]int{1, 1}, [2]int{1, 1}, [2]int{1, 1}
		return w, nil
	}
	fields := []struct {
		name   string
		dims   Dims
		lo     int
		to     *[2]int
		absent Dims
	}{
		{"kernel", l.Kernel, 1, &w.kernel, nil},
		{"stride", l.Stride, 1, &w.stride, Dims{1}},
		{"padding", l.Padding, 0, &w.pad, Dims{0}},
		{"dilation", l.Dilation, 1, &w.dilation, Dims{1}},
	}
	if l.Kind == "maxpool" || l.Kind == "avgpool" {
		fields[1].absent = l.Kernel
	}
	for _, f := range fields {
		if f.dims == nil {
			f.dims = f.absent
		}
		if err := f.dims.check(f.name, axes, f.lo); err != nil {
			return w, err
		}
		*f.to = f.dims.pair(axes, f.lo)
	}
	return w, w.slide(l.Causal)
}

// check refuses sizes that do not go with a number of axes.
func (d Dims) check(name string, axes, lo int) error {
	bad := len(d) != 1 && len(d) != axes
	for _, v := range d {
		bad = bad || v < lo || v > maxWidth
	}
	if bad {
		return fmt.Errorf("%s %v, expected 1 or %d numbers from %d to %d", name, []int(d), axes, lo, maxWidth)
	}
	return nil
}

// pair is d over height and width; time leaves height at neutral.
func (d Dims) pair(axes, neutral int) [2]int {
	if axes == 2 && len(d) == 1 {
		return [2]int{d[0], d[0]}
	}
	return pair(d, neutral)
}

// pair is one or two sizes as height and width.
func pair(d []int, neutral int) [2]int {
	if len(d) == 1 {
		return [2]int{neutral, d[0]}
	}
	return [2]int{d[0], d[1]}
}

// slide sets the output's size, and the padding of a causal window.
func (w *window) slide(causal bool) error {
	for i := range w.in {
		reach := w.dilation[i]*(w.kernel[i]-1) + 1
		after := w.pad[i]
		if causal && i == 1 {
			w.pad[i], after = reach-1, 0
		}
		room := w.in[i] + w.pad[i] + after
		switch {
		case w.pad[i] >= reach:
			return fmt.Errorf("padding %d, expected less than the %d positions from a kernel's first to its last", w.pad[i], reach)
		case reach > room:
			return fmt.Errorf("kernel over %d positions, expected at most the %d of the padded input", reach, room)
		}
		w.out[i] = (room-reach)/w.stride[i] + 1
	}
	if n := w.outputs() * w.taps(); n > maxLinks {
		return fmt.Errorf("%d output positions of %d taps, expected a product of at most %d", w.outputs(), w.taps(), maxLinks)
	}
	return nil
}

func (w window) inputs() int  { return w.in[0] * w.in[1] }
func (w window) outputs() int { return w.out[0] * w.out[1] }
func (w window) taps() int    { return w.kernel[0] * w.kernel[1] }

// overlaps reports whether an input position may lie in two windows.
func (w window) overlaps() bool {
	return w.outputs() > 1 && (w.stride[0] < w.kernel[0] || w.stride[1] < w.kernel[1])
}

// link says that output position out reads input position in by a tap.
type link struct{ out, tap, in int32 }

// links lists what a window reads, output positions ascending, then taps.
func (w window) links() []link {
	var all []link
	for o := range w.outputs() {
		y, x := o/w.out[1]*w.stride[0]-w.pad[0], o%w.out[1]*w.stride[1]-w.pad[1]
		for t := range w.taps() {
			y, x := y+t/w.kernel[1]*w.dilation[0], x+t%w.kernel[1]*w.dilation[1]
			if y >= 0 && y < w.in[0] && x >= 0 && x < w.in[1] {
				all = append(all, link{int32(o), int32(t), int32(y*w.in[1] + x)})
			}
		}
	}
	return all
}

// table holds links by one of their three numbers, as the taps of products.
type table struct {
	links []link
	taps  []kernel.Tap // of links, once filled
	ends  []int        // of the links with each number
}

// by sorts links by a number below n, keeping their order.
func by(links []link, n int, number func(link) int32) table {
	t := table{links: slices.Clone(links), taps: make([]kernel.Tap, len(links)), ends: make([]int, n)}
	slices.SortStableFunc(t.links, func(a, b link) int { return int(number(a) - number(b)) })
	for _, l := range links {
		t.ends[number(l)]++
	}
	for i := 1; i < n; i++ {
		t.ends[i] += t.ends[i-1]
	}
	return t
}

func byOut(l link) int32 { return l.out }
func byTap(l link) int32 { return l.tap }
func byIn(l link) int32  { return l.in }

// fill sets the taps: a link's offsets are its numbers times what a and b say.
func (t *table) fill(a, b scale) {
	for i, l := range t.links {
		t.taps[i] = kernel.Tap{A: a.of(l), B: b.of(l)}
	}
}

// scale is what each number of a link adds to an offset.
type scale struct{ out, tap, in int }

func (s scale) of(l link) int { return s.out*int(l.out) + s.tap*int(l.tap) + s.in*int(l.in) }

// of returns the taps of the links with number i.
func (t *table) of(i int) []kernel.Tap {
	from := 0
	if i > 0 {
		from = t.ends[i-1]
	}
	return t.taps[from:t.ends[i]]
}
