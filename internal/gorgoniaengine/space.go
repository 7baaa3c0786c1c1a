package gorgoniaengine

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// reach lists, for every output position of a window, the input position that each
// tap reads, -1 where that is padding. It is written anew here, from the meaning of
// a spec's fields, so that lane's own arithmetic of positions has a witness.
func reach(l nn.LayerSpec, in, out []int) [][]int {
	h, w := plane(in)
	oh, ow := plane(out)
	ky, kx := size(l.Kernel, in, 1)
	sy, sx := size(l.Stride, in, 1)
	if l.Kind == "avgpool" && l.Stride == nil {
		sy, sx = ky, kx
	}
	dy, dx := size(l.Dilation, in, 1)
	py, px := size(l.Padding, in, 0)
	if l.Causal {
		px = dx * (kx - 1)
	}
	if l.Global {
		ky, kx, oh, ow = h, w, 1, 1
	}
	var all [][]int
	for y := range oh {
		for x := range ow {
			var taps []int
			for a := range ky {
				for b := range kx {
					iy, ix := y*sy-py+a*dy, x*sx-px+b*dx
					if iy < 0 || iy >= h || ix < 0 || ix >= w {
						taps = append(taps, -1)
					} else {
						taps = append(taps, iy*w+ix)
					}
				}
			}
			all = append(all, taps)
		}
	}
	return all
}

// plane is the height and width of [time channels] or [height width channels].
func plane(shape []int) (h, w int) {
	if len(shape) == 2 {
		return 1, shape[0]
	}
	return shape[0], shape[1]
}

// size is a spec's size along height and width.
func size(d nn.Dims, in []int, absent int) (y, x int) {
	switch {
	case len(d) == 0:
		return absent, absent
	case len(d) == 2:
		return d[0], d[1]
	case len(in) == 2:
		return absent, d[0]
	}
	return d[0], d[0]
}

// conv is the sum over taps of products with the weights of the tap.
func (c *converter) conv(l nn.Info, in []int, channels int) {
	out := l.Out[len(l.Out)-1]
	where := reach(l.Spec, in, l.Out)
	weights, bias := c.taps(l, len(where[0]), channels, out)
	c.pass(func(s *signal) { s.at = s.apply(s.at, where, weights, bias) })
}

// taps adds the weights of each tap, and the bias.
func (c *converter) taps(l nn.Info, n, in, out int) (weights []int, bias int) {
	for t := range n {
		weights = append(weights, c.matrix(fmt.Sprintf("p%d.w%d", l.Lo, t), in, out))
	}
	return weights, c.matrix(fmt.Sprintf("p%d.b", l.Lo), 1, out)
}

// apply is a convolution of x.
func (s *signal) apply(x []*Value, where [][]int, weights []int, bias int) []*Value {
	var y []*Value
	for _, taps := range where {
		sum := s.g.Spread(s.tensors[bias], x[0].Rows)
		for t, p := range taps {
			if p >= 0 {
				sum = s.g.Add(sum, s.g.MatMul(x[p], s.tensors[weights[t]]))
			}
		}
		y = append(y, sum)
	}
	return y
}

// avgpool is the mean of the positions that are there.
func (c *converter) avgpool(l nn.Info) {
	where := reach(l.Spec, l.In, append(l.Out[:len(l.Out):len(l.Out)], 1)[:len(l.In)])
	c.pass(func(s *signal) {
		var y []*Value
		for _, taps := range where {
			var sum *Value
			n := 0
			for _, p := range taps {
				switch {
				case p < 0:
					continue
				case sum == nil:
					sum = s.at[p]
				default:
					sum = s.g.Add(sum, s.at[p])
				}
				n++
			}
			y = append(y, s.g.Scale(sum, 1/float64(n)))
		}
		s.at = y
	})
}

// join adds what its fork remembers, by a 1x1 convolution where shapes differ.
func (c *converter) join(l nn.Info) {
	var where [][]int
	var weights []int
	var bias int
	if len(l.Beside) > 0 {
		h, w := plane(l.Beside)
		oh, ow := plane(l.Out)
		step := nn.Dims{(h + oh - 1) / oh, (w + ow - 1) / ow}
		where = reach(nn.LayerSpec{Kernel: nn.Dims{1, 1}, Stride: step}, l.Beside, l.Out)
		weights, bias = c.taps(l, 1, l.Beside[len(l.Beside)-1], l.Out[len(l.Out)-1])
	}
	c.pass(func(s *signal) {
		around := s.forks[len(s.forks)-1]
		s.forks = s.forks[:len(s.forks)-1]
		if weights != nil {
			around = s.apply(around, where, weights, bias)
		}
		for i, v := range around {
			s.at[i] = s.g.Add(s.at[i], v)
		}
	})
}
