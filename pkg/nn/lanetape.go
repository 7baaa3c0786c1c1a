package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// A LaneTape is a Tape for Lanes tasks of equal sizes at once, in float32. All it
// reads and writes is interleaved: an element is Lanes numbers in a row, one for
// each task (kernel.LanePut). Each lane has the bits that a Tape has for that task
// alone. Memory: Lanes times a Tape's, which is 2 outputs and 2 inputs of each
// layer for each row.
type LaneTape struct {
	model   *Model
	layers  []LaneLayer
	buffers []Signals[float32]
	signals []Signals[float32]
	n, rows int
}

// NewLaneTape returns a tape for m, whose Lanes() holds, with room for batches of
// maxBatch rows.
func NewLaneTape(m *Model, maxBatch int) *LaneTape {
	t := &LaneTape{model: m, n: -1}
	for _, s := range m.steps {
		t.layers = append(t.layers, newLaneLayer(s))
	}
	t.buffers = make([]Signals[float32], len(m.steps))
	t.signals = make([]Signals[float32], len(m.steps))
	t.grow(max(maxBatch, 1))
	return t
}

// grow makes room for rows rows.
func (t *LaneTape) grow(rows int) {
	t.rows = rows
	for i, s := range t.model.steps {
		b := &t.buffers[i]
		in, out := volume(s.in), volume(s.out)
		b.Y, b.RY = kernel.NewLanes(rows*out), kernel.NewLanes(rows*out)
		if i > 0 {
			b.DX, b.RDX = kernel.NewLanes(rows*in), kernel.NewLanes(rows*in)
		}
	}
}

// cut makes the signals of a batch of n rows.
func (t *LaneTape) cut(n int) {
	if n == t.n {
		return
	}
	if n > t.rows {
		t.grow(max(n, 2*t.rows))
	}
	t.n = n
	for i, m := range t.model.steps {
		b, s := &t.buffers[i], &t.signals[i]
		in, out := n*volume(m.in)*Lanes, n*volume(m.out)*Lanes
		s.Y, s.RY = b.Y[:out], b.RY[:out]
		if i == 0 {
			continue
		}
		before := &t.signals[i-1]
		s.X, s.RX, s.DX, s.RDX = before.Y, before.RY, b.DX[:in], b.RDX[:in]
		before.DY, before.RDY = s.DX, s.RDX
	}
}

// Forward returns the outputs [n][out][Lanes] of the model at theta for x
// [n][in][Lanes]. x must stay as it is until the last pass over this batch.
func (t *LaneTape) Forward(theta LaneParams, x []float32, n int) []float32 {
	t.cut(n)
	t.signals[0].X = x[:n*t.model.In()*Lanes]
	for i := range t.layers {
		t.signals[i].Input = t.signals[0].X
		t.layers[i].Forward(theta, n, &t.signals[i])
	}
	return t.last().Y
}

// Backward hands the gradient for theta to a sink, from dy [n][out][Lanes], the
// gradient for the outputs. dy must stay until RBackward.
func (t *LaneTape) Backward(theta LaneParams, dy []float32, to LaneSink) {
	t.last().DY = dy[:t.n*t.model.Out()*Lanes]
	for i := len(t.layers) - 1; i >= 0; i-- {
		t.layers[i].Backward(theta, to, t.n, &t.signals[i])
	}
}

// BackwardFeatures is Backward from dphi [n][Features()][Lanes], the gradient for
// the head's inputs: nothing of the head's is handed on.
func (t *LaneTape) BackwardFeatures(theta LaneParams, dphi []float32, to LaneSink) {
	last := len(t.layers) - 2
	if last < 0 {
		return
	}
	t.signals[last].DY = dphi[:t.n*t.model.Features()*Lanes]
	for i := last; i >= 0; i-- {
		t.layers[i].Backward(theta, to, t.n, &t.signals[i])
	}
	t.signals[last].DY = t.signals[last+1].DX
}

// RForward returns the derivative [n][out][Lanes] of Forward's outputs along dir.
func (t *LaneTape) RForward(theta, dir LaneParams) []float32 {
	for i := range t.layers {
		t.layers[i].RForward(theta, dir, t.n, &t.signals[i])
	}
	return t.last().RY
}

// RBackward hands the product of the Hessian with dir to a sink, from rdy
// [n][out][Lanes], the derivative of dy along dir.
func (t *LaneTape) RBackward(theta, dir LaneParams, rdy []float32, to LaneSink) {
	t.last().RDY = rdy[:t.n*t.model.Out()*Lanes]
	for i := len(t.layers) - 1; i >= 0; i-- {
		t.layers[i].RBackward(theta, dir, to, t.n, &t.signals[i])
	}
}

// Outputs returns what Forward returned for the batch at hand.
func (t *LaneTape) Outputs() []float32 { return t.last().Y }

// Features returns the head's inputs [n][Features()][Lanes] of Forward's batch.
func (t *LaneTape) Features() []float32 { return t.last().X }

func (t *LaneTape) last() *Signals[float32] { return &t.signals[len(t.signals)-1] }
