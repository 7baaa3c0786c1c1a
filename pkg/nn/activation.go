package nn

import "github.com/warmstart-ml/warmstart/internal/kernel"

// activations are the names of the elementwise layers without parameters.
var activations = []string{"relu", "tanh", "sigmoid", "gelu"}

// newActivation returns the layer of an activation.
func newActivation[T kernel.Float](name string) Layer[T] {
	switch name {
	case "relu":
		return relu[T]{}
	case "tanh":
		return &curved[T]{curve: kernel.TanhInto[T], slope: tanhSlope[T], turn: tanhTurn[T]}
	case "sigmoid":
		return &curved[T]{curve: kernel.SigmoidInto[T], slope: sigmoidSlope[T], turn: sigmoidTurn[T]}
	}
	return &gelu[T]{}
}

// relu is y = 0 > x ? 0 : x; its derivative at zero is zero.
type relu[T kernel.Float] struct{}

func (relu[T]) Forward(_ []T, _ int, s *Signals[T])     { kernel.Relu(s.Y, s.X) }
func (relu[T]) Backward(_, _ []T, _ int, s *Signals[T]) { kernel.Gate(s.DX, s.DY, s.Y) }

func (relu[T]) RForward(_, _ []T, _ int, s *Signals[T]) {
	if s.RX == nil {
		clear(s.RY)
		return
	}
	kernel.Gate(s.RY, s.RX, s.Y)
}

func (relu[T]) RBackward(_, _, _ []T, _ int, s *Signals[T]) { kernel.Gate(s.RDX, s.RDY, s.Y) }

// curved is y = f(x) where both derivatives of f are functions of y alone.
type curved[T kernel.Float] struct {
	curve func(y, x []T)
	slope func(dst, y []T) // f'
	turn  func(dst, y []T) // f''/f'
	kept  []T              // f' of the batch, from Backward on
}

func tanhSlope[T kernel.Float](dst, y []T) {
	for i, y := range y[:len(dst)] {
		sq := T(y * y)
		dst[i] = 1 - sq
	}
}

func tanhTurn[T kernel.Float](dst, y []T) { kernel.Scale(dst, -2, y) }

func sigmoidSlope[T kernel.Float](dst, y []T) {
	kernel.Mul(dst, y, y)
	kernel.Sub(dst, y, dst)
}

func sigmoidTurn[T kernel.Float](dst, y []T) {
	for i, y := range y[:len(dst)] {
		dst[i] = 1 - T(2*y)
	}
}

func (l *curved[T]) Forward(_ []T, _ int, s *Signals[T]) { l.curve(s.Y, s.X) }

func (l *curved[T]) Backward(_, _ []T, _ int, s *Signals[T]) {
	l.kept = room(l.kept, len(s.Y))
	l.slope(l.kept, s.Y)
	kernel.Mul(s.DX, s.DY, l.kept)
}

func (l *curved[T]) RForward(_, _ []T, _ int, s *Signals[T]) {
	if s.RX == nil {
		clear(s.RY)
		return
	}
	kernel.Mul(s.RY, s.RX, l.kept)
}

// RBackward:
//
//	rdx = f' rdy + f'' rx dy,   f'' rx = (f''/f') ry
func (l *curved[T]) RBackward(_, _, _ []T, _ int, s *Signals[T]) {
	if s.RDX == nil {
		return
	}
	l.turn(s.RDX, s.Y)
	kernel.Mul(s.RDX, s.RDX, s.RY)
	kernel.Mul(s.RDX, s.RDX, s.DY)
	kernel.MulAdd(s.RDX, l.kept, s.RDY, s.RDX)
}

// gelu is y = x/2 (1 + tanh u) with u = sqrt(2/pi) (x + 0.044715 x^3): the tanh
// form of Hendrycks and Gimpel, "Gaussian error linear units", 2016.
type gelu[T kernel.Float] struct{ th, slope []T }

const (
	geluScale = 0.797884560802865355879892119868763737 // sqrt(2/pi)
	geluCube  = 0.044715
)

func (l *gelu[T]) Forward(_ []T, _ int, s *Signals[T]) {
	l.th, l.slope = room(l.th, len(s.X)), room(l.slope, len(s.X))
	for i, x := range s.X {
		cube := T(T(x*x) * x)
		l.th[i] = T(geluScale * T(x+T(geluCube*cube)))
	}
	kernel.TanhInto(l.th, l.th)
	for i, x := range s.X {
		s.Y[i] = T(T(x/2) * T(1+l.th[i]))
	}
}

// Backward: f' = (1 + t)/2 + x/2 s u', where t = tanh u and s = 1 - t*t.
func (l *gelu[T]) Backward(_, _ []T, _ int, s *Signals[T]) {
	for i, x := range s.X {
		t := l.th[i]
		steep, rise := l.parts(x, t)
		l.slope[i] = T(T(1+t)/2) + T(T(x/2)*T(steep*rise))
	}
	kernel.Mul(s.DX, s.DY, l.slope)
}

// parts returns s and u'.
func (l *gelu[T]) parts(x, t T) (steep, rise T) {
	sq := T(t * t)
	return 1 - sq, T(geluScale * T(1+T(3*geluCube*T(x*x))))
}

func (l *gelu[T]) RForward(_, _ []T, _ int, s *Signals[T]) {
	if s.RX == nil {
		clear(s.RY)
		return
	}
	kernel.Mul(s.RY, s.RX, l.slope)
}

// RBackward:
//
//	rdx = f' rdy + f'' rx dy,   f'' = s (u' + x/2 (u'' - 2 t u'^2)),   u'' = 6 sqrt(2/pi) 0.044715 x
func (l *gelu[T]) RBackward(_, _, _ []T, _ int, s *Signals[T]) {
	if s.RX == nil {
		kernel.Mul(s.RDX, s.RDY, l.slope)
		return
	}
	for i := range s.RDX {
		x, t := s.X[i], l.th[i]
		steep, rise := l.parts(x, t)
		sq := T(rise * rise)
		turn := T(6*geluScale*geluCube*x) - T(T(2*t)*sq)
		bend := T(steep * T(rise+T(T(x/2)*turn)))
		s.RDX[i] = T(l.slope[i]*s.RDY[i]) + T(T(bend*s.RX[i])*s.DY[i])
	}
}

// room returns x cut or grown to n elements; grown ones hold anything.
func room[T kernel.Float](x []T, n int) []T {
	if cap(x) < n {
		return make([]T, n)
	}
	return x[:n]
}
