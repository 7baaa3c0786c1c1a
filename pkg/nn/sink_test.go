package nn

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// gathered is a Sink that puts a gradient together, counting what it gets.
type gathered struct {
	grad  []float32
	times []int
}

func (s *gathered) Take(lo int, g []float32) {
	for i, v := range g {
		s.grad[lo+i] = v
		s.times[lo+i]++
		g[i] = float32(math.NaN()) // it is the sink's own
	}
}

// Room is its own for some pieces, the layer's for others.
func (s *gathered) Room(lo, n int) []float32 {
	if lo%3 == 0 {
		return nil
	}
	return make([]float32, n)
}

func (s *gathered) check(t *testing.T, pass string, want []float32) {
	t.Helper()
	for i, v := range want {
		if s.times[i] != 1 {
			t.Fatalf("%s: element %d came %d times", pass, i, s.times[i])
		}
		if math.Float32bits(v) != math.Float32bits(s.grad[i]) {
			t.Fatalf("%s: element %d is %v, expected %v", pass, i, s.grad[i], v)
		}
	}
	clear(s.times)
}

// A gradient handed over piece by piece has the bits of the whole one, each element
// once, for layers in one piece and in many.
func TestPiecesMakeTheWholeGradient(t *testing.T) {
	r := rand.New(rand.NewPCG(90, 1))
	random := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	image, series := Shape{In: []int{12, 12, 1}, Out: 3}, Shape{In: []int{9, 2}, Out: 3}
	for _, c := range []struct {
		config Config
		shape  Shape
	}{
		{Config{Name: "mlp", Hidden: []int{300, 70}}, Flat(5, 3)},
		{Config{Name: "mlp", Hidden: []int{8}, Skip: true}, Flat(5, 1)},
		{Config{Name: "conv4"}, image}, {Config{Name: "gru"}, series}, {Config{Name: "tcn"}, series},
	} {
		m, err := Build(c.config, c.shape)
		if err != nil {
			t.Fatal(err)
		}
		const n = 4
		theta, dir := make([]float32, m.NumParams()), random(m.NumParams())
		m.Init(1, theta)
		x, dy, rdy := random(n*m.In()), random(n*m.Out()), random(n*m.Out())
		tape, sink := NewTape[float32](m, n), &gathered{make([]float32, len(theta)), make([]int, len(theta))}
		want := make([]float32, len(theta))
		tape.Forward(theta, x, n)
		tape.Backward(theta, dy, want)
		tape.BackwardTo(theta, dy, sink)
		sink.check(t, c.config.Name+" backward", want)
		ry := slices.Clone(tape.RForward(theta, dir))
		tape.RBackward(theta, dir, rdy, want)
		tape.Forward(theta, x, n)
		tape.BackwardTo(theta, dy, sink)
		clear(sink.times)
		if !slices.Equal(ry, tape.RForward(theta, dir)) {
			t.Fatalf("%s: other R-values after BackwardTo", c.config.Name)
		}
		tape.RBackwardTo(theta, dir, rdy, sink)
		sink.check(t, c.config.Name+" R-backward", want)
	}
}
