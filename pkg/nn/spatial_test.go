package nn

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// shapedModel is a model with what it maps from and to.
type shapedModel struct {
	Config
	Shape
}

func listed(s Shape, list ...LayerSpec) shapedModel {
	return shapedModel{Config{Name: "layers", Layers: list}, s}
}

var (
	curve   = LayerSpec{Kind: "tanh"}
	relu0   = LayerSpec{Kind: "relu"}
	flat    = LayerSpec{Kind: "flatten"}
	image   = Shape{In: []int{6, 5, 2}, Out: 2}
	series  = Shape{In: []int{9, 2}, Extra: 3, Out: 2}
	conv3x3 = LayerSpec{Kind: "conv2d", Filters: 3, Kernel: Dims{3}, Stride: Dims{2}, Padding: Dims{1}}
)

// shaped are models over time or space, each layer of which occurs both first and
// after others.
var shaped = []shapedModel{
	listed(Flat(4, 2), LayerSpec{Kind: "dense", Units: 5}, curve),
	listed(image, flat, LayerSpec{Kind: "dense", Units: 5}, curve),
	listed(image, conv3x3, curve, conv3x3, curve, flat),
	listed(image, LayerSpec{Kind: "conv2d", Filters: 2, Kernel: Dims{2, 3}, Stride: Dims{1, 2}, Padding: Dims{1, 0}, Dilation: Dims{2, 1}}, curve, conv3x3, flat),
	listed(image, conv3x3, curve, LayerSpec{Kind: "maxpool", Kernel: Dims{2}, Stride: Dims{1}, Padding: Dims{1}}, flat),
	listed(image, LayerSpec{Kind: "maxpool", Kernel: Dims{2, 1}}, conv3x3, relu0, LayerSpec{Kind: "maxpool", Global: true}),
	listed(image, conv3x3, curve, LayerSpec{Kind: "avgpool", Kernel: Dims{2, 3}, Stride: Dims{1}, Padding: Dims{1, 2}}, flat),
	listed(image, LayerSpec{Kind: "avgpool", Kernel: Dims{2}}, conv3x3, curve, LayerSpec{Kind: "avgpool", Global: true}),
	listed(series, LayerSpec{Kind: "conv1d", Filters: 3, Kernel: Dims{3}, Stride: Dims{2}, Padding: Dims{2}, Dilation: Dims{2}}, curve, LayerSpec{Kind: "conv1d", Filters: 2, Kernel: Dims{2}}, curve, flat),
	listed(series, LayerSpec{Kind: "conv1d", Filters: 3, Kernel: Dims{3}, Dilation: Dims{2}, Causal: true}, curve, LayerSpec{Kind: "maxpool", Kernel: Dims{3}, Stride: Dims{2}}, LayerSpec{Kind: "last"}),
	listed(series, LayerSpec{Kind: "conv1d", Filters: 3, Kernel: Dims{2}}, curve, LayerSpec{Kind: "avgpool", Kernel: Dims{3}, Padding: Dims{1}}, flat, LayerSpec{Kind: "dense", Units: 4}, curve),
	listed(image, LayerSpec{Kind: "residual", Layers: []LayerSpec{conv3x3, curve}}, LayerSpec{Kind: "residual", Layers: []LayerSpec{conv3x3, curve, conv3x3}}, curve, flat),
	listed(image, conv3x3, LayerSpec{Kind: "residual", Layers: []LayerSpec{curve, {Kind: "residual", Layers: []LayerSpec{{Kind: "conv2d", Filters: 3, Kernel: Dims{1}}, curve}}}}, flat),
	listed(image, LayerSpec{Kind: "residual", Layers: []LayerSpec{{Kind: "maxpool", Kernel: Dims{2}}, {Kind: "conv2d", Filters: 3, Kernel: Dims{1}}}}, curve, flat),
	listed(image, LayerSpec{Kind: "residual", Layers: []LayerSpec{{Kind: "maxpool", Kernel: Dims{2}}}}, LayerSpec{Kind: "residual", Layers: []LayerSpec{{Kind: "avgpool", Kernel: Dims{2}}}}, curve, flat),
	listed(Flat(4, 2), LayerSpec{Kind: "residual", Layers: []LayerSpec{{Kind: "dense", Units: 3}, curve}}, LayerSpec{Kind: "residual", Layers: []LayerSpec{curve}}),
	listed(series, LayerSpec{Kind: "avgpool", Kernel: Dims{2}}, flat),
	listed(Flat(4, 2), LayerSpec{Kind: "dense", Units: 6}, curve, relu0, relu0, LayerSpec{Kind: "dense", Units: 4}, relu0, LayerSpec{Kind: "residual", Layers: []LayerSpec{relu0, curve}}),
	listed(image, LayerSpec{Kind: "residual", Layers: []LayerSpec{{Kind: "maxpool", Kernel: Dims{3}, Stride: Dims{1}, Padding: Dims{1}}}}, conv3x3, flat),
	{Config{Name: "gru", Units: 4}, Shape{In: []int{6, 2}, Extra: 1, Out: 2}},
	{Config{Name: "gru", Units: 3, Skip: true}, Shape{In: []int{4, 1}, Out: 1}},
	{Config{Name: "conv4", Filters: 3, Activation: "tanh", Norm: "none"}, Shape{In: []int{9, 10, 1}, Extra: 1, Out: 3}},
	{Config{Name: "conv4", Filters: 2, Activation: "tanh", Norm: "none", Pool: "max", Skip: true}, Shape{In: []int{16, 17, 2}, Out: 2}},
	{Config{Name: "tcn", Channels: 3, Activation: "tanh"}, Shape{In: []int{8, 1}, Extra: 2, Out: 2}},
	{Config{Name: "tcn", Channels: 2, Kernel: 2, Levels: 2, Skip: true}, Shape{In: []int{5, 2}, Out: 1}},
	{Config{Name: "mlp", Hidden: []int{4}, Activation: "tanh", Init: "he"}, series},
	{Config{Name: "mlp", Hidden: []int{4, 3}, Activation: "gelu", Norm: "batch"}, series},
	{Config{Name: "conv4", Filters: 3, Activation: "sigmoid"}, Shape{In: []int{9, 10, 1}, Extra: 1, Out: 3}},
	{Config{Name: "conv4", Filters: 2, Activation: "tanh", PerStep: true, InnerSteps: 2}, Shape{In: []int{5, 4, 1}, Out: 2}},
	{Config{Name: "tcn", Channels: 3, Levels: 2, Norm: "layer"}, Shape{In: []int{6, 2}, Out: 1}},
}

func TestG7_BuildNamesTheLayerThatDoesNotFit(t *testing.T) {
	conv := func(f func(*LayerSpec)) []LayerSpec {
		l := LayerSpec{Kind: "conv2d", Filters: 2, Kernel: Dims{3}}
		f(&l)
		return []LayerSpec{l}
	}
	deep := []LayerSpec{curve}
	for range maxDepth + 1 {
		deep = []LayerSpec{{Kind: "residual", Layers: deep}}
	}
	for _, c := range []struct {
		c    Config
		s    Shape
		want string
	}{
		{Config{Name: "gru"}, image, "gru got input of shape"},
		{Config{Name: "gru", Units: -1}, series, "units: -1, expected 1 to"},
		{Config{Name: "conv4"}, series, "conv4 got input of shape [9 2], expected [height width channels]"},
		{Config{Name: "tcn"}, image, "tcn got input of shape [6 5 2], expected [time channels]"},
		{Config{Name: "conv4", Norm: "none", Pool: "max"}, image, "layer maxpool2: input of shape [1 1 64]: kernel over 2 positions, expected at most the 1"},
		{Config{Name: "conv4", Filters: -1}, image, "filters: -1, expected 1 to"},
		{Config{Name: "conv4", Pool: "mx"}, image, `did you mean "max"?`},
		{Config{Name: "conv4", Hidden: []int{3}}, image, "hidden: [3] with name conv4, which does not use it"},
		{Config{Name: "mlp", Init: "glorott"}, image, `init: unknown "glorott", expected he or glorot or normal; did you mean "glorot"?`},
		{Config{Name: "conv4", PerStep: true, Norm: "none"}, image, `norm: "none" beside statistics or per_step`},
		{Config{Name: "mlp", Statistics: "stored"}, image, `norm: "" beside statistics or per_step`},
		{Config{Name: "tcn", Levels: 17}, series, "levels: 17, expected 1 to 16"},
		{Config{Name: "layers", Skip: true}, series, "skip: set with no hidden layer"},
		{Config{Name: "layers"}, series, "the head got shape [9 2], expected [features]"},
		{Config{Name: "layers", Layers: []LayerSpec{flat, flat}}, series, "layers[1]: layer flatten1: input of shape [18] is flat already"},
		{Config{Name: "layers", Layers: []LayerSpec{{Kind: "conv3d"}}}, image, `layers[0]: kind: unknown "conv3d"`},
		{Config{Name: "layers", Layers: []LayerSpec{{Kind: "conv1d", Filters: 1, Kernel: Dims{2}}}}, image, "layer conv1d0: input of shape [6 5 2], expected [time channels]"},
		{Config{Name: "layers", Layers: conv(func(l *LayerSpec) { l.Units = 3 })}, image, "units: 3 with kind conv2d, which does not use it"},
		{Config{Name: "layers", Layers: conv(func(l *LayerSpec) { l.Kernel = nil })}, image, "kernel [], expected 1 or 2 numbers from 1 to"},
		{Config{Name: "layers", Layers: conv(func(l *LayerSpec) { l.Kernel = Dims{7, 3} })}, image, "layer conv2d0: input of shape [6 5 2]: kernel over 7 positions, expected at most the 6 of the padded input"},
		{Config{Name: "layers", Layers: conv(func(l *LayerSpec) { l.Padding = Dims{3} })}, image, "padding 3, expected less than the 3 positions"},
		{Config{Name: "layers", Layers: conv(func(l *LayerSpec) { l.Stride = Dims{0} })}, image, "stride [0], expected"},
		{Config{Name: "layers", Layers: conv(func(l *LayerSpec) { l.Filters = 1 << 17 })}, image, "filters 131072, expected 1 to 65536"},
		{Config{Name: "layers", Layers: []LayerSpec{{Kind: "conv1d", Filters: 1, Kernel: Dims{2}, Causal: true, Padding: Dims{1}}}}, series, "padding [1] beside causal"},
		{Config{Name: "layers", Layers: []LayerSpec{{Kind: "maxpool", Global: true, Kernel: Dims{1}}}}, series, "beside global"},
		{Config{Name: "layers", Layers: []LayerSpec{flat, {Kind: "avgpool", Kernel: Dims{1}}}}, series, "layer avgpool0: input of shape [18], expected [time channels]"},
		{Config{Name: "layers", Layers: []LayerSpec{{Kind: "last"}}}, image, "layer last0: input of shape [6 5 2], expected [time channels]"},
		{Config{Name: "layers", Layers: []LayerSpec{{Kind: "residual"}}}, image, "layer residual0: no layers"},
		{Config{Name: "layers", Layers: []LayerSpec{{Kind: "residual", Layers: []LayerSpec{flat}}}}, image, "cannot add x of shape [6 5 2] to f(x) of shape [60]"},
		{Config{Name: "layers", Layers: []LayerSpec{{Kind: "residual", Layers: []LayerSpec{{Kind: "conv2d", Filters: 1, Kernel: Dims{3, 2}}}}}}, image, "to f(x) of shape [4 4 1]: no stride"},
		{Config{Name: "layers", Layers: deep}, Flat(2, 1), "17 residuals within one another"},
		{Config{Name: "layers", Layers: []LayerSpec{{Kind: "maxpool", Kernel: Dims{17}, Stride: Dims{1}}}}, Shape{In: []int{20, 20, 1}, Out: 1}, "windows of 289 positions that overlap"},
		{Config{Name: "layers", Layers: []LayerSpec{{Kind: "conv2d", Filters: 65536, Kernel: Dims{1}}}}, Shape{In: []int{100, 100, 1}, Out: 1}, "elements per sample, expected at most"},
		{Config{Name: "layers", Layers: []LayerSpec{{Kind: "conv1d", Filters: 1, Kernel: Dims{3000}, Causal: true}}}, Shape{In: []int{3000, 1}, Out: 1}, "expected a product of at most"},
		{Config{Name: "mlp"}, Shape{In: []int{2, 2, 2, 2}, Out: 1}, "input of shape [2 2 2 2], expected [features], [time channels]"},
	} {
		if _, err := Build(c.c, c.s); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v %v: %v, want %q", c.c, c.s, err, c.want)
		}
	}
}

func TestShapedTapeGrowsAndThenAllocatesNothing(t *testing.T) {
	for i, c := range shaped {
		p := newShaped(t, rand.New(rand.NewPCG(3, uint64(i))), c.Config, "mse", 0, c.Shape, 5)
		tape, out := NewTape[float64](p.m, 2), p.m.Out()
		g, dy, rdy := make([]float64, len(p.theta)), make([]float64, 5*out), make([]float64, 5*out)
		pass := func(n int) {
			y := tape.Forward(p.theta, p.x, n)
			Grad(p.l, n, out, y, p.t, p.w, dy)
			tape.Backward(p.theta, dy, g)
			RGrad(p.l, n, out, y, p.t, p.w, tape.RForward(p.theta, p.theta), rdy)
			tape.RBackward(p.theta, p.theta, rdy, g)
		}
		pass(5)
		if a := testing.AllocsPerRun(3, func() { pass(5); pass(3); pass(0) }); a != 0 {
			t.Errorf("%+v: %v allocations in the steady state", c, a)
		}
		want := fmt.Sprint(p.hessian(p.theta, p.theta))
		if pass(5); fmt.Sprint(g) != want {
			t.Errorf("%+v: a used tape gives another Hessian product", c)
		}
	}
}

// Tapes beside one another give what tapes apart do, batches of unlike size and
// growth in between included, and hold R-values once.
func TestTapesBesideOneAnotherShareRValues(t *testing.T) {
	for i, c := range shaped {
		r := rand.New(rand.NewPCG(4, uint64(i)))
		p := newShaped(t, r, c.Config, "mse", 0, c.Shape, 7)
		first := NewTape[float64](p.m, 2)
		tapes := []*Tape[float64]{first, first.Beside(3), first.Beside(1)}
		out, size := p.m.Out(), len(p.theta)
		g, hv, v := make([]float64, size), make([]float64, size), normal(r, size)
		var dys [3][]float64
		for round := range 2 {
			for j, tape := range tapes {
				n := 2 + 2*j + round
				dys[j] = make([]float64, n*out)
				y := tape.Forward(p.theta, p.x, n)
				Grad(p.l, n, out, y, p.t, p.w, dys[j])
				tape.Backward(p.theta, dys[j], g)
			}
			for j, tape := range tapes {
				n := 2 + 2*j + round
				rdy := make([]float64, n*out)
				RGrad(p.l, n, out, tape.Outputs(), p.t, p.w, tape.RForward(p.theta, v), rdy)
				tape.RBackward(p.theta, v, rdy, hv)
				alone := p
				alone.n = n
				same(t, fmt.Sprintf("%+v: Hessian product on tape %d", c, j), hv, alone.hessian(p.theta, v))
			}
		}
		tapes[0].RForward(p.theta, v)
		if a, b := tapes[0].last().RY, tapes[2].last().RY; &a[0] != &b[0] {
			t.Errorf("%+v: tapes beside one another hold R-values of their own", c)
		}
	}
}
