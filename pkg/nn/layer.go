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
// input [n][in]. A nil RX is zero and a nil DX or RDX is not wanted: so for the
// first layer with parameters; those before it only get Forward. Step is the
// number of inner steps that theta has behind it, for layers with parameters or
// statistics per step.
type Signals[T kernel.Float] struct {
	Input, X, Y, DX, DY, RX, RY, RDX, RDY []T
	Step                                  int
}

// newLayer returns the layer of s; before are those of the steps before it.
func newLayer[T kernel.Float](s step, before []Layer[T]) Layer[T] {
	switch s.kind {
	case "spread":
		return &spread[T]{volume(s.out[:len(s.out)-1]), s.out[len(s.out)-1]}
	case "conv":
		w, _ := windowOf(s.spec, s.in)
		return newConv[T](w, s.in[len(s.in)-1], s.spec.Filters)
	case "maxpool":
		w, _ := windowOf(s.spec, s.in)
		return newMaxpool[T](w, s.in[len(s.in)-1])
	case "avgpool":
		w, _ := windowOf(s.spec, s.in)
		return newAvgpool[T](w, s.in[len(s.in)-1])
	case "flatten":
		return &flatten[T]{volume(s.in[:len(s.in)-1]), s.in[len(s.in)-1]}
	case "last":
		return last[T]{}
	case "fork":
		return &fork[T]{}
	case "join":
		return newJoin(s, before)
	case "dense":
		return &dense[T]{in: s.in[0], out: s.out[0], one: []T{1}}
	case "relu", "tanh", "sigmoid", "gelu":
		return newActivation[T](s.kind)
	case "gru":
		return &gru[T]{time: s.in[0], in: s.in[1], units: s.out[1]}
	case "batchnorm":
		return newBatchNorm[T](s)
	case "layernorm":
		return newLayerNorm[T](s)
	}
	return &skip[T]{hidden: s.in[0], in: s.out[0] - s.in[0]}
}
