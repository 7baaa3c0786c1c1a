package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// conv is a convolution over time or space, positions first: X [in][n][cin] to Y
// [out][n][cout], theta = W [tap][cin][cout], b [cout], taps being (ky, kx).
//
//	Y[o][s]  = b + sum over valid taps t, channels i:  X[in(o,t)][s][i] * W[t][i]
//	dW[t][i] = sum over positions o that t is valid for, samples s:  X[in(o,t)][s][i] * DY[o][s]
//	db       = sum over positions o, samples s:  DY[o][s]
//	DX[p][s] = sum over taps t with in(o,t) = p, output channels j:  DY[o][s][j] * W[t][.][j]
//
// Every sum ascends in the order written and is cut into blocks over its valid
// terms. An R-value that is the sum of two products starts with the one that holds
// the direction or the R-gradient and goes on with the other.
type conv[T kernel.Float] struct {
	w         window
	cin, cout int
	n         int // batch that the tables are filled for
	// forward lists the taps of each output position, weights the positions of
	// each tap, input the taps of each input position.
	forward, weights, input table
	spare                   *spare[T]
}

// spare is work space that the layers of a tape use one after the other, and those
// of tapes beside it: what lies in it is good within a pass of a layer.
type spare[T kernel.Float] struct{ x []T }

func newConv[T kernel.Float](w window, cin, cout int) *conv[T] {
	l := &conv[T]{w: w, cin: cin, cout: cout, n: -1, spare: new(spare[T])}
	l.forward = by(w.links(), w.outputs(), byOut)
	l.weights = by(l.forward.links, w.taps(), byTap)
	l.input = by(l.weights.links, w.inputs(), byIn)
	return l
}

// batch fills the tables for n samples.
func (l *conv[T]) batch(n int) {
	if n == l.n {
		return
	}
	l.n = n
	in, out := scale{in: n * l.cin}, scale{out: n * l.cout}
	each := scale{tap: l.cin * l.cout}
	l.forward.fill(in, each)
	l.weights.fill(in, out)
	l.input.fill(out, each)
}

// size is the number of weights; the bias follows them.
func (l *conv[T]) size() int { return l.w.taps() * l.cin * l.cout }

func (l *conv[T]) Forward(theta []T, n int, s *Signals[T]) {
	l.batch(n)
	l.apply(kernel.FromBias, theta, s.X, s.Y)
}

func (l *conv[T]) Backward(theta, grad []T, n int, s *Signals[T]) {
	l.outer(kernel.FromZero, grad, s.X, s.DY)
	l.columns(grad, s.DY)
	if s.DX != nil {
		l.back(kernel.FromZero, theta, s.DY, s.DX)
	}
}

func (l *conv[T]) RForward(theta, dir []T, n int, s *Signals[T]) {
	l.apply(kernel.FromBias, dir, s.X, s.RY)
	if s.RX != nil {
		l.apply(kernel.FromC, theta, s.RX, s.RY)
	}
}

func (l *conv[T]) RBackward(theta, dir, rgrad []T, n int, s *Signals[T]) {
	l.outer(kernel.FromZero, rgrad, s.X, s.RDY)
	if s.RX != nil {
		l.outer(kernel.FromC, rgrad, s.RX, s.DY)
	}
	l.columns(rgrad, s.RDY)
	if s.RDX != nil {
		l.back(kernel.FromZero, theta, s.RDY, s.RDX)
		l.back(kernel.FromC, dir, s.DY, s.RDX)
	}
}

// apply sets y to the convolution of x by theta, or adds it.
func (l *conv[T]) apply(start kernel.Start, theta, x, y []T) {
	for o := range l.w.outputs() {
		to := y[o*l.n*l.cout:]
		kernel.GemmTaps(start, theta[l.size():], l.n, l.cout, l.cin, l.forward.of(o), x, l.cin, 1, theta, l.cout, to, l.cout)
	}
}

// outer sets grad's weights to the sum over positions of x dy^T, or adds it.
func (l *conv[T]) outer(start kernel.Start, grad, x, dy []T) {
	for t := range l.w.taps() {
		to := grad[t*l.cin*l.cout:]
		kernel.GemmTaps(start, nil, l.cin, l.cout, l.n, l.weights.of(t), x, 1, l.cin, dy, l.cout, to, l.cout)
	}
}

// columns sets grad's bias.
func (l *conv[T]) columns(grad, dy []T) {
	kernel.ColumnSums(grad[l.size():], dy, l.w.outputs()*l.n, l.cout)
}

// back sets dx to the gradient for the input by weights, or adds it.
func (l *conv[T]) back(start kernel.Start, weights, dy, dx []T) {
	flipped := l.flip(weights)
	for p := range l.w.inputs() {
		to := dx[p*l.n*l.cin:]
		kernel.GemmTaps(start, nil, l.n, l.cin, l.cout, l.input.of(p), dy, l.cout, 1, flipped, l.cin, to, l.cin)
	}
}

// flip returns weights with their channels transposed, [tap][cout][cin].
func (l *conv[T]) flip(weights []T) []T {
	l.spare.x = room(l.spare.x, l.size())
	x, each := l.spare.x, l.cin*l.cout
	for t := range l.w.taps() {
		kernel.Transpose(x[t*each:][:each], weights[t*each:][:each], l.cin, l.cout)
	}
	return x
}

// borrow makes s the layer's spare work space.
func (l *conv[T]) borrow(s *spare[T]) { l.spare = s }
