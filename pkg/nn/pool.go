package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// maxpool is Y[o] = the largest of X over a window, taps ascending, per sample and
// channel: a later one must be greater to win, so that the first of equals does.
// Padding is skipped. Gradients go to the winner; an input that wins in several
// windows adds them, from +0, taps ascending. R-values take the winner's way too.
type maxpool[T kernel.Float] struct {
	w        window
	channels int
	links    []link  // by output position, then tap
	byTap    []link  // by tap, then output position
	winner   []int32 // tap of each output element
}

func newMaxpool[T kernel.Float](w window, channels int) *maxpool[T] {
	l := &maxpool[T]{w: w, channels: channels, links: w.links()}
	l.byTap = by(l.links, w.taps(), byTap).links
	return l
}

func (l *maxpool[T]) Forward(_ []T, n int, s *Signals[T]) {
	row := n * l.channels
	if len(l.winner) < l.w.outputs()*row {
		l.winner = make([]int32, l.w.outputs()*row)
	}
	for i, k := range l.links {
		x := s.X[int(k.in)*row:][:row]
		y, win := s.Y[int(k.out)*row:][:row], l.winner[int(k.out)*row:][:row]
		if i == 0 || l.links[i-1].out != k.out {
			copy(y, x)
			for j := range win {
				win[j] = k.tap
			}
			continue
		}
		for j, v := range x {
			if v > y[j] {
				y[j], win[j] = v, k.tap
			}
		}
	}
}

func (l *maxpool[T]) Backward(_, _ []T, n int, s *Signals[T]) { l.scatter(n, s.DX, s.DY) }

func (l *maxpool[T]) RForward(_, _ []T, n int, s *Signals[T]) {
	row := n * l.channels
	if s.RX == nil {
		clear(s.RY)
		return
	}
	for _, k := range l.links {
		x := s.RX[int(k.in)*row:][:row]
		y, win := s.RY[int(k.out)*row:][:row], l.winner[int(k.out)*row:][:row]
		for j, w := range win {
			if w == k.tap {
				y[j] = x[j]
			}
		}
	}
}

func (l *maxpool[T]) RBackward(_, _, _ []T, n int, s *Signals[T]) { l.scatter(n, s.RDX, s.RDY) }

// scatter sets dx to the sum of what its elements won of dy.
func (l *maxpool[T]) scatter(n int, dx, dy []T) {
	row := n * l.channels
	clear(dx)
	for _, k := range l.byTap {
		x := dx[int(k.in)*row:][:row]
		y, win := dy[int(k.out)*row:][:row], l.winner[int(k.out)*row:][:row]
		for j, w := range win {
			if w == k.tap {
				x[j] += y[j]
			}
		}
	}
}

// avgpool is Y[o] = the sum, taps ascending, of X over a window times 1/m, m being
// the positions of the window that lie on the input; DX[p] = the sum, taps
// ascending, of DY over the windows that hold p times their 1/m. Each is a chain
// of fused multiply-adds. R-values are the same maps of RX and RDY.
type avgpool[T kernel.Float] struct {
	w              window
	channels       int
	n              int
	share          []T // 1/m of each output position
	forward, input table
}

func newAvgpool[T kernel.Float](w window, channels int) *avgpool[T] {
	l := &avgpool[T]{w: w, channels: channels, n: -1, share: make([]T, w.outputs())}
	l.forward = by(w.links(), w.outputs(), byOut)
	l.input = by(by(l.forward.links, w.taps(), byTap).links, w.inputs(), byIn)
	for o := range l.share {
		l.share[o] = 1 / T(len(l.forward.of(o)))
	}
	return l
}

func (l *avgpool[T]) Forward(_ []T, n int, s *Signals[T]) {
	if n != l.n {
		l.n = n
		row := n * l.channels
		l.forward.fill(scale{out: 1}, scale{in: row})
		l.input.fill(scale{out: 1}, scale{out: row})
	}
	l.mean(&l.forward, s.Y, s.X)
}

func (l *avgpool[T]) Backward(_, _ []T, _ int, s *Signals[T])     { l.mean(&l.input, s.DX, s.DY) }
func (l *avgpool[T]) RBackward(_, _, _ []T, _ int, s *Signals[T]) { l.mean(&l.input, s.RDX, s.RDY) }

func (l *avgpool[T]) RForward(_, _ []T, _ int, s *Signals[T]) {
	if s.RX == nil {
		clear(s.RY)
		return
	}
	l.mean(&l.forward, s.RY, s.RX)
}

// mean sets each position of dst to the weighted sum of src over its taps.
func (l *avgpool[T]) mean(t *table, dst, src []T) {
	row := l.n * l.channels
	for i := range t.ends {
		kernel.GemmTaps(kernel.FromZero, nil, 1, row, 1, t.of(i), l.share, 0, 0, src, row, dst[i*row:], row)
	}
}
