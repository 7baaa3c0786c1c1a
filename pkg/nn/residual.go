package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// fork and join are the two ends of a residual, y = f(x) + x or f(x) + P x: steps
// of the chain around those of f. fork passes x on and remembers it; join adds it,
// and hands its gradient back for fork to add to that of f.
type fork[T kernel.Float] struct {
	joined bool
	s      *Signals[T]
	// What join found as the gradient of the way around f, and its R-value.
	dx, rdx []T
}

func (l *fork[T]) Forward(_ []T, _ int, s *Signals[T]) {
	l.s = s
	copy(s.Y, s.X)
}

func (l *fork[T]) Backward(_, _ []T, _ int, s *Signals[T]) {
	copy(s.DX, s.DY)
	kernel.AddInto(s.DX, l.dx)
}

func (l *fork[T]) RForward(_, _ []T, _ int, s *Signals[T]) { copy(s.RY, s.RX) }

func (l *fork[T]) RBackward(_, _, _ []T, _ int, s *Signals[T]) {
	copy(s.RDX, s.RDY)
	kernel.AddInto(s.RDX, l.rdx)
}

// join is Y = X + x, where fork remembers x, or with a projection, a convolution
// of one tap with theta as its weights and bias, Y = P x + X.
type join[T kernel.Float] struct {
	fork    *fork[T]
	project *conv[T]   // nil: none
	around  Signals[T] // of the projection
	dx, rdx []T        // of the projection's input
}

// openFork is the last fork of before that has no join yet.
func openFork[T kernel.Float](before []Layer[T]) *fork[T] {
	for i := len(before) - 1; ; i-- {
		if f, ok := before[i].(*fork[T]); ok && !f.joined {
			return f
		}
	}
}

func newJoin[T kernel.Float](s step, before []Layer[T]) *join[T] {
	l := &join[T]{fork: openFork(before)}
	l.fork.joined = true
	if c := len(s.beside) - 1; c >= 0 {
		w := window{in: positions(s.beside), out: positions(s.out), kernel: [2]int{1, 1}, dilation: [2]int{1, 1}}
		for i := range w.in {
			w.stride[i], _ = strideTo(w.in[i], w.out[i])
		}
		l.project = newConv[T](w, s.beside[c], s.out[len(s.out)-1])
	}
	return l
}

// positions is a shape's height and width.
func positions(shape []int) [2]int {
	if len(shape) == 1 {
		return [2]int{1, 1}
	}
	return pair(shape[:len(shape)-1], 1)
}

// strideTo is the smallest stride that takes in positions to out with a kernel of
// one.
func strideTo(in, out int) (int, bool) {
	for s := 1; s <= in; s++ {
		if (in-1)/s+1 == out {
			return s, true
		}
	}
	return 0, false
}

func (l *join[T]) Forward(theta []T, n int, s *Signals[T]) {
	l.around.X, l.around.Y = l.fork.s.X, s.Y
	if l.project == nil {
		copy(s.Y, l.around.X)
	} else {
		l.project.Forward(theta, n, &l.around)
	}
	kernel.AddInto(s.Y, s.X)
}

func (l *join[T]) Backward(theta, grad []T, n int, s *Signals[T]) {
	copy(s.DX, s.DY)
	l.fork.dx = s.DY
	if l.project != nil {
		l.around.DY, l.around.DX = s.DY, nil
		if x := l.fork.s.DX; x != nil {
			l.dx = room(l.dx, len(x))
			l.around.DX = l.dx
		}
		l.project.Backward(theta, grad, n, &l.around)
		l.fork.dx = l.around.DX
	}
}

func (l *join[T]) RForward(theta, dir []T, n int, s *Signals[T]) {
	l.around.RX, l.around.RY = l.fork.s.RX, s.RY
	switch {
	case l.project != nil:
		l.project.RForward(theta, dir, n, &l.around)
	case l.around.RX != nil:
		copy(s.RY, l.around.RX)
	default:
		clear(s.RY)
	}
	if s.RX != nil {
		kernel.AddInto(s.RY, s.RX)
	}
}

func (l *join[T]) RBackward(theta, dir, rgrad []T, n int, s *Signals[T]) {
	copy(s.RDX, s.RDY)
	l.fork.rdx = s.RDY
	if l.project != nil {
		l.around.RDY, l.around.RDX = s.RDY, nil
		if x := l.fork.s.RDX; x != nil {
			l.rdx = room(l.rdx, len(x))
			l.around.RDX = l.rdx
		}
		l.project.RBackward(theta, dir, rgrad, n, &l.around)
		l.fork.rdx = l.around.RDX
	}
}

// borrow makes s the projection's spare work space.
func (l *join[T]) borrow(s *spare[T]) {
	if l.project != nil {
		l.project.borrow(s)
	}
}
