package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// spread brings the model's inputs, rows [n][in + extra], to positions first,
// [position][n][channels], without the extra ones. It is the first step of a model
// over time or space, so only its Forward has something to do.
type spread[T kernel.Float] struct{ positions, channels int }

func (l *spread[T]) Forward(_ []T, n int, s *Signals[T]) {
	for i := range n {
		row := s.X[i*(len(s.X)/n):]
		for p := range l.positions {
			copy(s.Y[(p*n+i)*l.channels:][:l.channels], row[p*l.channels:])
		}
	}
}

func (*spread[T]) Backward(_, _ []T, _ int, _ *Signals[T])     {}
func (*spread[T]) RForward(_, _ []T, _ int, _ *Signals[T])     {}
func (*spread[T]) RBackward(_, _, _ []T, _ int, _ *Signals[T]) {}

// flatten brings positions first back to rows [n][position*channels].
type flatten[T kernel.Float] struct{ positions, channels int }

func (l *flatten[T]) Forward(_ []T, n int, s *Signals[T])         { l.gather(n, s.Y, s.X) }
func (l *flatten[T]) Backward(_, _ []T, n int, s *Signals[T])     { l.scatter(n, s.DX, s.DY) }
func (l *flatten[T]) RForward(_, _ []T, n int, s *Signals[T])     { l.gather(n, s.RY, s.RX) }
func (l *flatten[T]) RBackward(_, _, _ []T, n int, s *Signals[T]) { l.scatter(n, s.RDX, s.RDY) }

// gather sets rows from x (nil: zeros).
func (l *flatten[T]) gather(n int, rows, x []T) {
	if x == nil {
		clear(rows)
		return
	}
	for p := range l.positions {
		for i := range n {
			copy(rows[(i*l.positions+p)*l.channels:][:l.channels], x[(p*n+i)*l.channels:])
		}
	}
}

func (l *flatten[T]) scatter(n int, x, rows []T) {
	for p := range l.positions {
		for i := range n {
			copy(x[(p*n+i)*l.channels:][:l.channels], rows[(i*l.positions+p)*l.channels:])
		}
	}
}

// last takes the last position: [position][n][channels] to rows [n][channels].
type last[T kernel.Float] struct{}

func (last[T]) Forward(_ []T, _ int, s *Signals[T])         { copy(s.Y, s.X[len(s.X)-len(s.Y):]) }
func (last[T]) Backward(_, _ []T, _ int, s *Signals[T])     { ending(s.DX, s.DY) }
func (last[T]) RBackward(_, _, _ []T, _ int, s *Signals[T]) { ending(s.RDX, s.RDY) }

func (last[T]) RForward(_, _ []T, _ int, s *Signals[T]) {
	if s.RX == nil {
		clear(s.RY)
		return
	}
	copy(s.RY, s.RX[len(s.RX)-len(s.RY):])
}

// ending sets dx to zeros that end in dy.
func ending[T kernel.Float](dx, dy []T) {
	rest := len(dx) - len(dy)
	clear(dx[:rest])
	copy(dx[rest:], dy)
}

// skip widens the head's features by the last in of each row of the model's
// input, which may be all: Y = [X, Input].
type skip[T kernel.Float] struct{ hidden, in int }

func (l *skip[T]) Forward(_ []T, n int, s *Signals[T]) { l.widen(n, s.Y, s.X, s.Input) }

func (l *skip[T]) Backward(_, _ []T, n int, s *Signals[T]) { l.narrow(n, s.DX, s.DY) }

func (l *skip[T]) RForward(_, _ []T, n int, s *Signals[T]) { l.widen(n, s.RY, s.RX, nil) }

func (l *skip[T]) RBackward(_, _, _ []T, n int, s *Signals[T]) { l.narrow(n, s.RDX, s.RDY) }

// widen sets each row of y to that of x, then the end of that of more (nil: zeros).
func (l *skip[T]) widen(n int, y, x, more []T) {
	w := l.hidden + l.in
	for i := range n {
		row := y[i*w:][:w]
		copy(row, x[i*l.hidden:][:l.hidden])
		if more == nil {
			clear(row[l.hidden:])
		} else {
			wide := len(more) / n
			copy(row[l.hidden:], more[(i+1)*wide-l.in:])
		}
	}
}

// narrow sets each row of x to the first part of that of y.
func (l *skip[T]) narrow(n int, x, y []T) {
	for i := range n {
		copy(x[i*l.hidden:][:l.hidden], y[i*(l.hidden+l.in):])
	}
}
