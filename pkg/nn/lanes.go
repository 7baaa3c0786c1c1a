package nn

import (
	"slices"

	"github.com/warmstart-ml/warmstart/internal/kernel"
)

// Lanes is how many tasks a LaneTape runs at once.
const Lanes = kernel.Lanes

// LaneParams is a parameter vector as a LaneTape reads it: element i stands once
// for all tasks, or Lanes times, once for each.
type LaneParams struct {
	X      []float32
	Shared bool
}

// From is the part from element lo on.
func (p LaneParams) From(lo int) LaneParams { return LaneParams{p.from(lo), p.Shared} }

// Matrix is the vector as a matrix of these strides.
func (p LaneParams) Matrix(row, col int) kernel.Operand { return p.matrix(0, row, col) }

// matrix is the part from element lo on as an operand with these strides.
func (p LaneParams) matrix(lo, row, col int) kernel.Operand {
	return kernel.Operand{X: p.from(lo), Row: row, Col: col, Shared: p.Shared}
}

func (p LaneParams) from(lo int) []float32 {
	if p.Shared {
		return p.X[lo:]
	}
	return p.X[lo*Lanes:]
}

// A LaneSink gets a gradient piece by piece, each element once, so that what is
// done with it is done while it is near.
type LaneSink interface {
	// Take gets the elements from lo on, len(g)/Lanes of them, all of one layer. g
	// may be written to, and is good until Take returns. Nothing more of the pass
	// reads this part of the parameters or of the direction.
	Take(lo int, g []float32)
}

// A LaneLayer is one step of a network over Lanes tasks at once: a Layer whose
// every number is Lanes numbers in a row. What it computes has, in each lane, the
// bits of the Layer's passes over that task.
type LaneLayer interface {
	Forward(theta LaneParams, n int, s *Signals[float32])
	Backward(theta LaneParams, to LaneSink, n int, s *Signals[float32])
	RForward(theta, dir LaneParams, n int, s *Signals[float32])
	RBackward(theta, dir LaneParams, to LaneSink, n int, s *Signals[float32])
}

// newLaneLayer returns the layer of s over lanes, nil where there is none.
func newLaneLayer(s step) LaneLayer {
	switch {
	case s.kind == "dense":
		return newLaneDense(s)
	case slices.Contains(activations, s.kind):
		return wide{newActivation[float32](s.kind)}
	case s.kind == "skip":
		return wide{&skip[float32]{hidden: s.in[0] * Lanes, in: (s.out[0] - s.in[0]) * Lanes}}
	}
	return nil
}

// Lanes reports whether every layer of m has a form over lanes.
func (m *Model) Lanes() bool {
	for _, s := range m.steps {
		if newLaneLayer(s) == nil {
			return false
		}
	}
	return true
}

// wide is a layer without parameters to which a batch over lanes is but a wider
// one.
type wide struct{ layer Layer[float32] }

func (w wide) Forward(_ LaneParams, n int, s *Signals[float32]) { w.layer.Forward(nil, n, s) }

func (w wide) Backward(_ LaneParams, _ LaneSink, n int, s *Signals[float32]) {
	if s.DX != nil {
		w.layer.Backward(nil, nil, n, s)
	}
}

func (w wide) RForward(_, _ LaneParams, n int, s *Signals[float32]) {
	w.layer.RForward(nil, nil, n, s)
}

func (w wide) RBackward(_, _ LaneParams, _ LaneSink, n int, s *Signals[float32]) {
	if s.RDX != nil {
		w.layer.RBackward(nil, nil, nil, n, s)
	}
}

// laneDense is dense over lanes. Its gradient is made in panels that stay in the
// first cache. The weights are walked in chunks that stay in the second: all that
// a pass does with a chunk is done before the next.
type laneDense struct {
	lo, in, out int
	one         []float32 // a single element of ones
	panel       []float32
	rows, cols  int // of a panel
	inputs      int // of a chunk of rows of the weights, whole panels
	outputs     int // of a chunk of columns
}

// A panel has at most panelElements (16 kB), a chunk chunkElements (128 kB).
const (
	panelElements = 256
	chunkElements = 2048
)

func newLaneDense(s step) *laneDense {
	l := &laneDense{lo: s.lo, in: s.in[0], out: s.out[0], one: kernel.NewLanes(1), panel: kernel.NewLanes(panelElements)}
	for i := range l.one {
		l.one[i] = 1
	}
	strip := kernel.LaneStrip()
	l.rows, l.cols = panelElements/l.out/strip*strip, l.out
	if l.rows == 0 {
		l.rows, l.cols = strip, panelElements/strip/strip*strip
	}
	l.inputs = max(chunkElements/l.out/l.rows, 1) * l.rows
	l.outputs = max(chunkElements/l.in/strip, 1) * strip
	return l
}

func (l *laneDense) Forward(theta LaneParams, n int, s *Signals[float32]) {
	l.forward(kernel.FromBias, theta, n, s.X, s.Y)
}

func (l *laneDense) RForward(theta, dir LaneParams, n int, s *Signals[float32]) {
	l.forward(kernel.FromBias, dir, n, s.X, s.RY)
	if s.RX != nil {
		l.forward(kernel.FromC, theta, n, s.RX, s.RY)
	}
}

func (l *laneDense) forward(start kernel.Start, w LaneParams, n int, x, y []float32) {
	for j := 0; j < l.out; j += l.outputs {
		bias := w.from(l.lo + l.in*l.out + j)
		kernel.LaneGemm(start, bias, n, min(l.outputs, l.out-j), l.in, rows(x, l.in), w.matrix(l.lo+j, l.out, 1), y[j*Lanes:], l.out)
	}
}

func (l *laneDense) Backward(theta LaneParams, to LaneSink, n int, s *Signals[float32]) {
	for i := 0; i < l.in; i += l.inputs {
		m := min(l.inputs, l.in-i)
		if s.DX != nil {
			l.back(kernel.FromZero, theta, n, i, m, s.DY, s.DX)
		}
		l.gradient(to, n, i, m, s.X, s.DY, nil, nil)
	}
	l.bias(to, n, s.DY)
}

func (l *laneDense) RBackward(theta, dir LaneParams, to LaneSink, n int, s *Signals[float32]) {
	for i := 0; i < l.in; i += l.inputs {
		m := min(l.inputs, l.in-i)
		if s.RDX != nil {
			l.back(kernel.FromZero, theta, n, i, m, s.RDY, s.RDX)
			l.back(kernel.FromC, dir, n, i, m, s.DY, s.RDX)
		}
		l.gradient(to, n, i, m, s.X, s.RDY, s.RX, s.DY)
	}
	l.bias(to, n, s.RDY)
}

// back starts or goes on with y W^T for the m inputs from i on.
func (l *laneDense) back(start kernel.Start, w LaneParams, n, i, m int, y, x []float32) {
	kernel.LaneGemm(start, nil, n, m, l.out, rows(y, l.out), w.matrix(l.lo+i*l.out, 1, l.out), x[i*Lanes:], l.in)
}

// gradient hands on the sums over samples of x y^T + u v^T (nil u: the first
// alone) for the inputs from lo on, many of them.
func (l *laneDense) gradient(to LaneSink, n, lo, many int, x, y, u, v []float32) {
	for i := lo; i < lo+many; i += l.rows {
		m := min(l.rows, lo+many-i)
		for j := 0; j < l.out; j += l.cols {
			w := min(l.cols, l.out-j)
			kernel.LaneGemm(kernel.FromZero, nil, m, w, n, turned(x, l.in, i), from(y, l.out, j), l.panel, w)
			if u != nil {
				kernel.LaneGemm(kernel.FromC, nil, m, w, n, turned(u, l.in, i), from(v, l.out, j), l.panel, w)
			}
			l.hand(to, i, j, m, w)
		}
	}
}

// bias hands on the sums over samples of y.
func (l *laneDense) bias(to LaneSink, n int, y []float32) {
	for j := 0; j < l.out; j += panelElements {
		w := min(panelElements, l.out-j)
		kernel.LaneGemm(kernel.FromZero, nil, 1, w, n, kernel.Operand{X: l.one}, from(y, l.out, j), l.panel, w)
		to.Take(l.lo+l.in*l.out+j, l.panel[:w*Lanes])
	}
}

// hand hands on the panel's m x w gradients of the weights from (i, j) on.
func (l *laneDense) hand(to LaneSink, i, j, m, w int) {
	if w == l.out {
		to.Take(l.lo+i*l.out, l.panel[:m*w*Lanes])
		return
	}
	for r := range m {
		to.Take(l.lo+(i+r)*l.out+j, l.panel[r*w*Lanes:][:w*Lanes])
	}
}

// rows is a batch [n][width] as an operand.
func rows(x []float32, width int) kernel.Operand { return kernel.Operand{X: x, Row: width, Col: 1} }

// from is a batch from column j on.
func from(x []float32, width, j int) kernel.Operand {
	return kernel.Operand{X: x[j*Lanes:], Row: width, Col: 1}
}

// turned is a batch from column i on, transposed.
func turned(x []float32, width, i int) kernel.Operand {
	return kernel.Operand{X: x[i*Lanes:], Row: 1, Col: width}
}
