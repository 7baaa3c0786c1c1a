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
	pieces  []piecewise[T] // the layers, nil where one is not
	buffers []Signals[T]   // at full size
	signals []Signals[T]   // cut to the batch
	first   int            // the first layer with parameters: those before get Forward only
	n, rows int
	shared  *shared[T]
	rn      int // the batch that the R-values are cut to, and
	rcut    int // which growth of theirs
}

// shared is what tapes beside one another share: room for the R-values of each
// layer, RY and RDX, and for a piece of a gradient, and spare work space.
type shared[T kernel.Float] struct {
	ry, rdx     [][]T
	rows, grown int
	piece       []T
	spare       spare[T]
}

// NewTape returns a tape for m with room for batches of maxBatch rows.
func NewTape[T kernel.Float](m *Model, maxBatch int) *Tape[T] {
	return newTape(m, maxBatch, &shared[T]{ry: make([][]T, len(m.steps)), rdx: make([][]T, len(m.steps))})
}

// Beside returns a tape for the model of t that shares its memory for R-values. Of
// tapes beside one another only one may be between RForward and the end of its
// RBackward, and they are of one goroutine.
func (t *Tape[T]) Beside(maxBatch int) *Tape[T] { return newTape(t.model, maxBatch, t.shared) }

func newTape[T kernel.Float](m *Model, maxBatch int, sh *shared[T]) *Tape[T] {
	t := &Tape[T]{model: m, n: -1, rn: -1, shared: sh}
	for _, s := range m.steps {
		l := newLayer(s, t.layers)
		if b, ok := l.(interface{ borrow(*spare[T]) }); ok {
			b.borrow(&sh.spare)
		}
		p, _ := l.(piecewise[T])
		t.layers, t.pieces = append(t.layers, l), append(t.pieces, p)
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
		if b := &t.buffers[i]; !t.inPlace(i) {
			b.Y = make([]T, rows*volume(s.out))
			if i > t.first {
				b.DX = make([]T, rows*volume(s.in))
			}
		}
	}
}

// inPlace reports whether layer i works in place: a relu, which asks for its
// outputs only, after a layer that doesn't ask for its own.
func (t *Tape[T]) inPlace(i int) bool { return t.model.inPlace(i) }

func (m *Model) inPlace(i int) bool {
	if i == 0 || m.steps[i].kind != "relu" {
		return false
	}
	switch m.steps[i-1].kind {
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
		if i > 0 {
			s.X = t.signals[i-1].Y
		}
		if t.inPlace(i) {
			s.Y = s.X
			continue
		}
		s.Y = b.Y[:n*volume(m.out)]
		if i > t.first {
			t.hand(i, b.DX[:n*volume(m.in)], dxOf, dyOf)
		}
	}
}

// hand makes x what layer i hands back to those before it, past what works in
// place: its in and their out.
func (t *Tape[T]) hand(i int, x []T, in, out func(*Signals[T]) *[]T) {
	*in(&t.signals[i]), *out(&t.signals[i-1]) = x, x
	if t.inPlace(i - 1) {
		t.hand(i-1, x, in, out)
	}
}

func dxOf[T kernel.Float](s *Signals[T]) *[]T  { return &s.DX }
func dyOf[T kernel.Float](s *Signals[T]) *[]T  { return &s.DY }
func rdxOf[T kernel.Float](s *Signals[T]) *[]T { return &s.RDX }
func rdyOf[T kernel.Float](s *Signals[T]) *[]T { return &s.RDY }

// growR makes room for the R-values of n rows.
func (t *Tape[T]) growR(n int) {
	r := t.shared
	if n <= r.rows {
		return
	}
	r.rows = max(n, t.rows)
	r.grown++
	for i, s := range t.model.steps {
		if i >= t.first && !t.inPlace(i) {
			r.ry[i], r.rdx[i] = make([]T, r.rows*volume(s.out)), make([]T, r.rows*volume(s.in))
		}
	}
}

// cutR makes the R-values of the batch at hand, as cut does the other signals.
func (t *Tape[T]) cutR() {
	r, n := t.shared, t.n
	t.growR(n)
	if n == t.rn && r.grown == t.rcut {
		return
	}
	t.rn, t.rcut = n, r.grown
	for i := t.first; i < len(t.layers); i++ {
		m, s := t.model.steps[i], &t.signals[i]
		if i > t.first {
			s.RX = t.signals[i-1].RY
		}
		if t.inPlace(i) {
			s.RY = s.RX
			continue
		}
		s.RY = r.ry[i][:n*volume(m.out)]
		if i > t.first {
			t.hand(i, r.rdx[i][:n*volume(m.in)], rdxOf, rdyOf)
		}
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
	t.cutR()
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
