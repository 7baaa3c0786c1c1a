package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// A Sink gets a gradient piece by piece, each element once, so that what is done
// with it finds it in the first cache. A layer's own parts of the parameters and
// of the direction are no longer read once a piece of its gradient is handed over:
// Take may change them.
type Sink[T kernel.Float] interface {
	// Take uses up elements lo..lo+len(g)-1 of the gradient. g is its own, to
	// change, until it returns. Tracked statistics (Param.Track) come whole.
	Take(lo int, g []T)
	// Room is where n elements from lo on are put before they are handed over; nil
	// leaves it to the layer.
	Room(lo, n int) []T
}

// piecewise is a layer that need not have the whole of its gradient at once.
type piecewise[T kernel.Float] interface {
	// backwardTo is Backward, rbackwardTo RBackward; room has space for a piece.
	backwardTo(theta []T, n int, s *Signals[T], to part[T])
	rbackwardTo(theta, dir []T, n int, s *Signals[T], to part[T])
	// piece is how many elements are handed over at a time, at most.
	piece() int
}

// part is where the pieces of a layer's gradient go: its parameters begin at lo.
type part[T kernel.Float] struct {
	sink Sink[T]
	lo   int
	room []T
}

// at returns room for n elements, the layer's own from i on.
func (p part[T]) at(i, n int) []T {
	if g := p.sink.Room(p.lo+i, n); g != nil {
		return g
	}
	return p.room[:n]
}

// BackwardTo hands Backward's gradient to a sink.
func (t *Tape[T]) BackwardTo(theta, dy []T, to Sink[T]) {
	t.last().DY = dy[:t.n*t.model.Out()]
	room := t.room()
	for i := len(t.layers) - 1; i >= t.first; i-- {
		s := t.model.steps[i]
		p := theta[s.lo:s.hi]
		if l := t.pieces[i]; l != nil {
			l.backwardTo(p, t.n, &t.signals[i], part[T]{to, s.lo, room})
			continue
		}
		g := part[T]{to, s.lo, room}.at(0, s.hi-s.lo)
		t.layers[i].Backward(p, g, t.n, &t.signals[i])
		if len(g) > 0 {
			to.Take(s.lo, g)
		}
	}
}

// RBackwardTo hands RBackward's product to a sink.
func (t *Tape[T]) RBackwardTo(theta, dir, rdy []T, to Sink[T]) {
	t.last().RDY = rdy[:t.n*t.model.Out()]
	room := t.room()
	for i := len(t.layers) - 1; i >= t.first; i-- {
		s := t.model.steps[i]
		p, v := theta[s.lo:s.hi], dir[s.lo:s.hi]
		if l := t.pieces[i]; l != nil {
			l.rbackwardTo(p, v, t.n, &t.signals[i], part[T]{to, s.lo, room})
			continue
		}
		g := part[T]{to, s.lo, room}.at(0, s.hi-s.lo)
		t.layers[i].RBackward(p, v, g, t.n, &t.signals[i])
		if len(g) > 0 {
			to.Take(s.lo, g)
		}
	}
}

// room returns room for any layer's piece of a gradient.
func (t *Tape[T]) room() []T {
	sh := t.shared
	if sh.piece == nil {
		most := 1
		for i, s := range t.model.steps {
			n := s.hi - s.lo
			if l := t.pieces[i]; l != nil {
				n = l.piece()
			}
			most = max(most, n)
		}
		sh.piece = make([]T, most)
	}
	return sh.piece
}

// pieceSize is about how many elements of a gradient are handed over at a time:
// with what a step reads and writes they fit in the first cache.
const pieceSize = 4096

// rows is how many inputs' weights are handed over at a time.
func (l *dense[T]) rows() int { return min(max(pieceSize/l.out, 1), l.in) }

func (l *dense[T]) piece() int { return (l.rows() + 1) * l.out }

func (l *dense[T]) backwardTo(theta []T, n int, s *Signals[T], to part[T]) {
	if s.DX != nil {
		l.back(kernel.FromZero, theta, n, s.DY, s.DX)
	}
	l.handOver(n, s.X, s.DY, nil, nil, to)
}

func (l *dense[T]) rbackwardTo(theta, dir []T, n int, s *Signals[T], to part[T]) {
	if s.RDX != nil {
		l.back(kernel.FromZero, theta, n, s.RDY, s.RDX)
		l.back(kernel.FromC, dir, n, s.DY, s.RDX)
	}
	l.handOver(n, s.X, s.RDY, s.RX, s.DY, to)
}

// handOver hands over the sum over samples of x y^T + u v^T, where u is not nil,
// and then that of y, the bias's.
func (l *dense[T]) handOver(n int, x, y, u, v []T, to part[T]) {
	rows := l.rows()
	for i := 0; i < l.in; i += rows {
		m := min(rows, l.in-i)
		all := m * l.out
		if i+m == l.in {
			all += l.out
		}
		g := to.at(i*l.out, all)
		kernel.Gemm(kernel.FromZero, nil, m, l.out, n, x[min(i, len(x)):], 1, l.in, y, l.out, g, l.out)
		if u != nil {
			kernel.Gemm(kernel.FromC, nil, m, l.out, n, u[min(i, len(u)):], 1, l.in, v, l.out, g, l.out)
		}
		if i+m == l.in {
			kernel.Gemm(kernel.FromZero, nil, 1, l.out, n, l.one, 0, 0, y, l.out, g[m*l.out:], l.out)
		}
		to.sink.Take(to.lo+i*l.out, g)
	}
}

// A convolution hands over the weights of a tap at a time.
func (l *conv[T]) piece() int { return l.cin * l.cout }

func (l *conv[T]) backwardTo(theta []T, _ int, s *Signals[T], to part[T]) {
	if s.DX != nil {
		l.back(kernel.FromZero, theta, s.DY, s.DX)
	}
	l.handOver(s.X, s.DY, nil, nil, to)
}

func (l *conv[T]) rbackwardTo(theta, dir []T, _ int, s *Signals[T], to part[T]) {
	if s.RDX != nil {
		l.back(kernel.FromZero, theta, s.RDY, s.RDX)
		l.back(kernel.FromC, dir, s.DY, s.RDX)
	}
	l.handOver(s.X, s.RDY, s.RX, s.DY, to)
}

// handOver is dense's, over positions.
func (l *conv[T]) handOver(x, y, u, v []T, to part[T]) {
	each := l.cin * l.cout
	for t := range l.w.taps() {
		g := to.at(t*each, each)
		kernel.GemmTaps(kernel.FromZero, nil, l.cin, l.cout, l.n, l.weights.of(t), x, 1, l.cin, y, l.cout, g, l.cout)
		if u != nil {
			kernel.GemmTaps(kernel.FromC, nil, l.cin, l.cout, l.n, l.weights.of(t), u, 1, l.cin, v, l.cout, g, l.cout)
		}
		to.sink.Take(to.lo+t*each, g)
	}
	g := to.at(l.size(), l.cout)
	kernel.ColumnSums(g, y, l.w.outputs()*l.n, l.cout)
	to.sink.Take(to.lo+l.size(), g)
}
