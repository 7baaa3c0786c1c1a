package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// A Layer is one step of a network, with the work space of one tape. Every pass
// gets the layer's own part of the parameter vector and of its companions, and
// the signals of the batch. Passes are called in the order Forward, Backward,
// RForward, RBackward, of which a suffix may be left out; a pass may rely on the
// signals and on what the layer kept from those before it.
type Layer[T kernel.Float] interface {
	// Forward fills Y from X.
	Forward(theta []T, n int, s *Signals[T])
	// Backward overwrites grad with the gradient for theta, and DX unless nil,
	// from DY.
	Backward(theta, grad []T, n int, s *Signals[T])
	// RForward fills RY, the derivative of Y along dir (in theta) and RX (in X).
	RForward(theta, dir []T, n int, s *Signals[T])
	// RBackward overwrites rgrad with the derivative of grad, and RDX unless nil
	// with that of DX, along the same direction, from RDY.
	RBackward(theta, dir, rgrad []T, n int, s *Signals[T])
}

// Signals are what passes through one layer for a batch of n samples: X and Y, of
// n times the layer's in and out elements (see step for their order), their
// gradients DX and DY, and the R-values of all four. Input is the model's own
// input [n][in]. A nil RX is zero; a nil DX or RDX is not wanted. Step is the
// number of inner steps that theta has behind it, for layers with parameters or
// statistics per step.
type Signals[T kernel.Float] struct {
	Input, X, Y, DX, DY, RX, RY, RDX, RDY []T
	Step                                  int
}

// newLayer returns the layer of s; before are those of the steps before it.
func newLayer[T kernel.Float](s step, _ []Layer[T]) Layer[T] {
	switch s.kind {
	case "dense":
		return &dense[T]{in: s.in[0], out: s.out[0], one: []T{1}}
	case "relu", "tanh", "sigmoid", "gelu":
		return newActivation[T](s.kind)
	case "batchnorm":
		return newBatchNorm[T](s)
	case "layernorm":
		return newLayerNorm[T](s)
	}
	return &skip[T]{hidden: s.in[0], in: s.out[0] - s.in[0]}
}

// skip widens the last hidden layer by the model's input: Y = [X, Input].
type skip[T kernel.Float] struct{ hidden, in int }

func (l *skip[T]) Forward(_ []T, n int, s *Signals[T]) { l.widen(n, s.Y, s.X, s.Input) }

func (l *skip[T]) Backward(_, _ []T, n int, s *Signals[T]) { l.narrow(n, s.DX, s.DY) }

func (l *skip[T]) RForward(_, _ []T, n int, s *Signals[T]) { l.widen(n, s.RY, s.RX, nil) }

func (l *skip[T]) RBackward(_, _, _ []T, n int, s *Signals[T]) { l.narrow(n, s.RDX, s.RDY) }

// widen sets each row of y to that of x, then that of more (nil: zeros).
func (l *skip[T]) widen(n int, y, x, more []T) {
	w := l.hidden + l.in
	for i := range n {
		row := y[i*w:][:w]
		copy(row, x[i*l.hidden:][:l.hidden])
		if more == nil {
			clear(row[l.hidden:])
		} else {
			copy(row[l.hidden:], more[i*l.in:])
		}
	}
}

// narrow sets each row of x to the first part of that of y.
func (l *skip[T]) narrow(n int, x, y []T) {
	for i := range n {
		copy(x[i*l.hidden:][:l.hidden], y[i*(l.hidden+l.in):])
	}
}
