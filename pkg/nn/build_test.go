package nn

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// features are the head's inputs for a row of numbers 1, 2, 3 and so on.
func features(t *testing.T, c shapedModel, n int) ([]float32, *Model) {
	t.Helper()
	m, err := Build(c.Config, c.Shape)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, n*m.In())
	for i := range x {
		x[i] = float32(i + 1)
	}
	tape := NewTape[float32](m, n)
	tape.Forward(make([]float32, m.NumParams()), x, n)
	return tape.Features(), m
}

func TestFeaturesKeepTheOrderOfARow(t *testing.T) {
	got, m := features(t, listed(series, flat), 2)
	want := make([]float32, 2*m.In())
	for i := range want {
		want[i] = float32(i + 1)
	}
	if !slices.Equal(got, want) {
		t.Errorf("flattened rows with their extra features are %v, expected %v", got, want)
	}
	got, _ = features(t, listed(series, LayerSpec{Kind: "last"}), 2)
	if want := []float32{17, 18, 19, 20, 21, 38, 39, 40, 41, 42}; !slices.Equal(got, want) {
		t.Errorf("last times with extra features are %v, expected %v", got, want)
	}
	c := listed(series, LayerSpec{Kind: "last"})
	c.Skip = true
	got, _ = features(t, c, 1)
	if len(got) != 23 || got[0] != 17 || got[2] != 1 || got[22] != 21 {
		t.Errorf("last time beside the whole input is %v", got)
	}
}

// Weights of a skip start at zero; those of extra features are inputs as others.
func TestHeadStartsBySkipOrExtra(t *testing.T) {
	for _, skip := range []bool{false, true} {
		c := listed(series, LayerSpec{Kind: "last"})
		c.Skip = skip
		m, err := Build(c.Config, c.Shape)
		if err != nil {
			t.Fatal(err)
		}
		theta := make([]float32, m.NumParams())
		m.Init(1, theta)
		zero := func(v float32) bool { return v == 0 }
		own, beside := theta[:2*2], theta[2*2:m.NumParams()-2]
		if slices.ContainsFunc(own, zero) || slices.ContainsFunc(beside, zero) != skip || slices.ContainsFunc(beside, func(v float32) bool { return v != 0 }) == skip {
			t.Errorf("skip %v: weights of features %v, beside them %v", skip, own, beside)
		}
		if limit := 1 / math.Sqrt(5); !skip && math.Abs(float64(slices.Max(theta))) > limit {
			t.Errorf("largest %v, expected within %v", slices.Max(theta), limit)
		}
	}
}

// A tcn's last time reads 1 + 2*(kernel-1)*(2^levels-1) times and no more.
func TestTCNReadsAsFarAsItSays(t *testing.T) {
	c := Config{Name: "tcn", Channels: 2, Kernel: 3, Levels: 2, Activation: "tanh"}
	m, err := Build(c, Shape{In: []int{16, 1}, Out: 1})
	if err != nil {
		t.Fatal(err)
	}
	theta, x := normal(rand.New(rand.NewPCG(1, 2)), m.NumParams()), make([]float64, 16)
	tape := NewTape[float64](m, 1)
	at := func(time int) float64 {
		x[time] = 1
		y := tape.Forward(theta, x, 1)[0]
		x[time] = 0
		return y
	}
	const field = 1 + 2*2*3
	if none, edge, before := tape.Forward(theta, x, 1)[0], at(16-field), at(16-field-1); edge == none || before != none {
		t.Errorf("output %v at rest, %v with the first time it reads, %v with the one before", none, edge, before)
	}
}

func TestConvNamesItsTensors(t *testing.T) {
	m, err := Build(Config{Name: "conv4", Norm: "none"}, Shape{In: []int{28, 28, 1}, Extra: 2, Out: 5})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]int{"conv2d0.w": {3, 3, 1, 64}, "conv2d3.w": {3, 3, 64, 64}, "conv2d3.b": {64}, "head.w": {258, 5}}
	for _, p := range m.Params() {
		if w := want[p.Name]; w != nil && !slices.Equal(w, p.Shape) {
			t.Errorf("%s has shape %v, expected %v", p.Name, p.Shape, w)
		}
		delete(want, p.Name)
	}
	if len(want) > 0 {
		t.Errorf("no tensors %v", want)
	}
}

func TestInitsHaveTheirVariance(t *testing.T) {
	for _, c := range []struct {
		init      string
		variance  float64
		limit     float64 // on each weight
		biasAlike bool
	}{
		{"", 1.0 / 3 / 576, 1.0 / 24, true},
		{"he", 2.0 / 576, 1, false},
		{"glorot", 2.0 / 1152, math.Sqrt(6.0 / 1152), false},
		{"normal", 1e-4 * 0.774, 0.02, false}, // cut at two deviations
	} {
		m, err := Build(Config{Name: "conv4", Norm: "none", Init: c.init}, Shape{In: []int{28, 28, 1}, Out: 5})
		if err != nil {
			t.Fatal(err)
		}
		theta := make([]float32, m.NumParams())
		m.Init(3, theta)
		var w, b []float32
		for _, p := range m.Params() {
			switch p.Name {
			case "conv2d1.w":
				w = theta[p.Offset:][:p.Size()]
			case "conv2d1.b":
				b = theta[p.Offset:][:p.Size()]
			}
		}
		var sum, sq, most float64
		for _, v := range w {
			sum, sq, most = sum+float64(v), sq+float64(v)*float64(v), max(most, math.Abs(float64(v)))
		}
		n := float64(len(w))
		if math.Abs(sq/n/c.variance-1) > 0.03 || math.Abs(sum/n) > 4*math.Sqrt(c.variance/n) || most > c.limit {
			t.Errorf("%q: mean %v, variance %v, expected 0 and %v; largest %v of %v", c.init, sum/n, sq/n, c.variance, most, c.limit)
		}
		if alike := slices.ContainsFunc(b, func(v float32) bool { return v != 0 }); alike != c.biasAlike {
			t.Errorf("%q: biases %v", c.init, b[:3])
		}
	}
}

func TestDimsReadOneNumberOrAList(t *testing.T) {
	var l LayerSpec
	if err := json.Unmarshal([]byte(`{"kind":"conv2d","kernel":3,"stride":[1,2]}`), &l); err != nil || !slices.Equal(l.Kernel, Dims{3}) || !slices.Equal(l.Stride, Dims{1, 2}) {
		t.Errorf("%+v, %v", l, err)
	}
	if err := json.Unmarshal([]byte(`{"kernel":"3"}`), &l); err == nil {
		t.Error("a text was taken for sizes")
	}
}

// randomList is a list of layers that may or may not fit.
func randomList(r *rand.Rand, depth int) []LayerSpec {
	kinds := []string{"dense", "conv1d", "conv2d", "maxpool", "avgpool", "flatten", "last", "residual", "gru", "batchnorm", "layernorm", "relu", "tanh", "sigmoid", "gelu", "none"}
	dims := func() Dims {
		var d Dims
		for range r.IntN(3) {
			d = append(d, r.IntN(5))
		}
		if r.IntN(30) == 0 {
			d = append(d, -1<<r.IntN(40), 1<<r.IntN(62))
		}
		return d
	}
	var list []LayerSpec
	for range r.IntN(4) + depth {
		l := LayerSpec{Kind: kinds[r.IntN(len(kinds))]}
		switch l.Kind {
		case "dense", "gru":
			l.Units = r.IntN(6)
		case "conv1d", "conv2d":
			l.Filters, l.Kernel, l.Stride, l.Padding, l.Dilation = r.IntN(5), dims(), dims(), dims(), dims()
			l.Causal = l.Kind == "conv1d" && r.IntN(2) == 0
		case "maxpool", "avgpool":
			if l.Global = r.IntN(4) == 0; !l.Global {
				l.Kernel, l.Stride, l.Padding = dims(), dims(), dims()
			}
		case "residual":
			if depth < 3 {
				l.Layers = randomList(r, depth+1)
			}
		case "batchnorm":
			l.PerStep = r.IntN(2) == 0
		}
		list = append(list, l)
	}
	return list
}

// buildAndRun builds a random model and, where that is taken, runs all passes.
func buildAndRun(t *testing.T, seed uint64) bool {
	r := rand.New(rand.NewPCG(seed, 23))
	c := Config{Name: "layers", Layers: randomList(r, 0), Skip: r.IntN(4) == 0, InnerSteps: 1}
	s := Shape{Extra: r.IntN(3), Out: 1 + r.IntN(2)}
	for range 1 + r.IntN(3) {
		s.In = append(s.In, 1+r.IntN(6))
	}
	if len(s.In) > 1 && r.IntN(2) == 0 {
		c.Layers = append(c.Layers, LayerSpec{Kind: "avgpool", Global: true})
	}
	m, err := Build(c, s)
	if err != nil {
		return false
	}
	for _, n := range []int{3, 1, 0} {
		tape, size := NewTape[float32](m, 2), m.NumParams()
		theta, v, g := make([]float32, size), random32(r, size), make([]float32, size)
		m.Init(seed, theta)
		tape.Forward(theta, random32(r, n*m.In()), n)
		tape.Backward(theta, random32(r, n*m.Out()), g)
		tape.RForward(theta, v)
		tape.RBackward(theta, v, random32(r, n*m.Out()), g)
		tape.BackwardFeatures(theta, random32(r, n*m.Features()), g)
	}
	return true
}

func TestG7_WhatBuildsAlsoRuns(t *testing.T) {
	built := 0
	for seed := range uint64(3000) {
		if buildAndRun(t, seed) {
			built++
		}
	}
	if built < 200 {
		t.Errorf("%d of 3000 random lists built, expected some hundred", built)
	}
}

func FuzzBuild(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { buildAndRun(t, seed) })
}
