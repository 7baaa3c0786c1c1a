package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// A Tape is the work space of one goroutine for one model and one batch at a
// time. What Forward, Backward and RForward compute stays on it for the passes
// after them; the slices it returns are its own, good until its next pass of the
// same name. It grows to the largest batch it has seen, and then allocates no
// more.
type Tape[T kernel.Float] struct {
	model   *Model
	layers  []Layer[T]
	buffers []Signals[T] // at full size
	signals []Signals[T] // cut to the batch
	first   int          // the first layer with parameters: those before get Forward only
	n, rows int
}

// NewTape returns a tape for m with room for batches of maxBatch rows.
func NewTape[T kernel.Float](m *Model, maxBatch int) *Tape[T] {
	t := &Tape[T]{model: m, n: -1}
	for _, s := range m.steps {
		t.layers = append(t.layers, newLayer(s, t.layers))
		if s.hi == 0 {
			t.first++
		}
	}
	t.buffers = make([]Signals[T], len(m.steps))
	t.signals = make([]Signals[T], len(m.steps))
	t.grow(max(maxBatch, 1))
	return t
}

// grow makes room for rows rows. The last layer's gradients are the caller's.
func (t *Tape[T]) grow(rows int) {
	t.rows = rows
	for i, s := range t.model.steps {
		b := &t.buffers[i]
		in, out := volume(s.in), volume(s.out)
		if t.inPlace(i) {
			continue
		}
		b.Y = make([]T, rows*out)
		if i >= t.first {
			b.RY = make([]T, rows*out)
		}
		if i > t.first {
			b.DX, b.RDX = make([]T, rows*in), make([]T, rows*in)
		}
	}
}

// inPlace reports whether layer i works in place: a relu, which asks for its
// outputs only, after a layer that doesn't ask for its own.
func (t *Tape[T]) inPlace(i int) bool {
	if i == 0 || t.model.steps[i].kind != "relu" {
		return false
	}
	switch t.model.steps[i-1].kind {
	case "conv", "dense", "batchnorm", "layernorm":
		return true
	}
	return false
}

// cut makes the signals of a batch of n rows.
func (t *Tape[T]) cut(n int) {
	if n == t.n {
		return
	}
	if n > t.rows {
		t.grow(max(n, 2*t.rows))
	}
	t.n = n
	for i, m := range t.model.steps {
		b, s := &t.buffers[i], &t.signals[i]
		in, out := volume(m.in), volume(m.out)
		if i > 0 {
			s.X, s.RX = t.signals[i-1].Y, t.signals[i-1].RY
		}
		if t.inPlace(i) {
			s.Y, s.RY = s.X, s.RX
			continue
		}
		s.Y = b.Y[:n*out]
		if i >= t.first {
			s.RY = b.RY[:n*out]
		}
		if i > t.first {
			t.receive(i, b.DX[:n*in], b.RDX[:n*in])
		}
	}
}

// receive makes dx and rdx the gradients that layer i hands to those before it,
// past one that works in place.
func (t *Tape[T]) receive(i int, dx, rdx []T) {
	t.signals[i].DX, t.signals[i].RDX = dx, rdx
	before := &t.signals[i-1]
	before.DY, before.RDY = dx, rdx
	if t.inPlace(i - 1) {
		t.receive(i-1, dx, rdx)
	}
}

// SetStep says how many inner steps the parameters of the next Forward have behind
// them; 0 until then.
func (t *Tape[T]) SetStep(k int) {
	for i := range t.signals {
		t.signals[i].Step = k
	}
}

// Forward returns the outputs [n][out] of the model at theta for x [n][in]. x
// must stay as it is until the last pass over this batch.
func (t *Tape[T]) Forward(theta, x []T, n int) []T {
	t.cut(n)
	t.signals[0].X = x[:n*t.model.In()]
	for i, s := range t.model.steps {
		t.signals[i].Input = t.signals[0].X
		t.layers[i].Forward(theta[s.lo:s.hi], n, &t.signals[i])
	}
	return t.last().Y
}

// Backward overwrites grad (NumParams elements) with the gradient for theta,
// from dy [n][out], the gradient for the outputs. dy must stay until RBackward.
func (t *Tape[T]) Backward(theta, dy, grad []T) {
	t.last().DY = dy[:t.n*t.model.Out()]
	t.backward(theta, grad, len(t.layers)-1)
}

// BackwardFeatures is Backward from dphi [n][Features()], the gradient for the
// head's inputs: the head's own part of grad becomes zero. The linear model has
// nothing before its head.
func (t *Tape[T]) BackwardFeatures(theta, dphi, grad []T) {
	h := t.model.Head()
	clear(grad[h.Lo:h.Hi])
	if i := len(t.layers) - 2; i >= t.first {
		t.signals[i].DY = dphi[:t.n*t.model.Features()]
		t.backward(theta, grad, i)
		t.signals[i].DY = t.signals[i+1].DX
	}
}

// backward runs the layers from i down.
func (t *Tape[T]) backward(theta, grad []T, i int) {
	for ; i >= t.first; i-- {
		s := t.model.steps[i]
		t.layers[i].Backward(theta[s.lo:s.hi], grad[s.lo:s.hi], t.n, &t.signals[i])
	}
}

// RForward returns the derivative [n][out] of Forward's outputs along dir.
func (t *Tape[T]) RForward(theta, dir []T) []T {
	for i := t.first; i < len(t.layers); i++ {
		s := t.model.steps[i]
		t.layers[i].RForward(theta[s.lo:s.hi], dir[s.lo:s.hi], t.n, &t.signals[i])
	}
	return t.last().RY
}

// RBackward overwrites rgrad with the derivative of Backward's gradient along
// dir, from rdy [n][out], that of dy: the product of the Hessian with dir.
func (t *Tape[T]) RBackward(theta, dir, rdy, rgrad []T) {
	t.last().RDY = rdy[:t.n*t.model.Out()]
	for i := len(t.layers) - 1; i >= t.first; i-- {
		s := t.model.steps[i]
		t.layers[i].RBackward(theta[s.lo:s.hi], dir[s.lo:s.hi], rgrad[s.lo:s.hi], t.n, &t.signals[i])
	}
}

// Outputs returns what Forward returned for the batch at hand.
func (t *Tape[T]) Outputs() []T { return t.last().Y }

// Features returns the head's inputs [n][Features()] of Forward's batch.
func (t *Tape[T]) Features() []T { return t.last().X }

func (t *Tape[T]) last() *Signals[T] { return &t.signals[len(t.signals)-1] }
