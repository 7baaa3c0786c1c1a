package nn

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var models = []Config{
	{Name: "mlp"},
	{Name: "mlp", Hidden: []int{7}},
	{Name: "mlp", Hidden: []int{6, 5}, Activation: "tanh"},
	{Name: "mlp", Hidden: []int{6, 5}, Activation: "relu", Skip: true},
	{Name: "mlp", Hidden: []int{4}, Activation: "tanh", Skip: true},
}

var losses = []string{"mse", "huber", "abs"}

// problem is a model with a batch, in float64.
type problem struct {
	m              *Model
	l              Loss
	n              int
	theta, x, t, w []float64
}

func newProblem(t *testing.T, r *rand.Rand, c Config, loss string, clip float64, in, out, n int) problem {
	t.Helper()
	return newShaped(t, r, c, loss, clip, Flat(in, out), n)
}

func newShaped(t *testing.T, r *rand.Rand, c Config, loss string, clip float64, s Shape, n int) problem {
	t.Helper()
	m, err := Build(c, s)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLoss(LossConfig{Name: loss, Delta: 0.7, Clip: clip})
	if err != nil {
		t.Fatal(err)
	}
	return problem{m, l, n, normal(r, m.NumParams()), normal(r, n*m.In()), normal(r, n*m.Out()), normal(r, n)}
}

func normal(r *rand.Rand, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}

// gradient is the loss and its gradient at theta.
func (p problem) gradient(theta []float64) (float64, []float64) {
	tape := NewTape[float64](p.m, 1)
	y := tape.Forward(theta, p.x, p.n)
	dy, g := make([]float64, len(y)), make([]float64, len(theta))
	loss := Grad(p.l, p.n, p.m.Out(), y, p.t, p.w, dy)
	tape.Backward(theta, dy, g)
	return loss, g
}

// hessian is the product of the Hessian at theta with v.
func (p problem) hessian(theta, v []float64) []float64 {
	tape := NewTape[float64](p.m, 1)
	y := tape.Forward(theta, p.x, p.n)
	dy, rdy := make([]float64, len(y)), make([]float64, len(y))
	g, hv := make([]float64, len(theta)), make([]float64, len(theta))
	Grad(p.l, p.n, p.m.Out(), y, p.t, p.w, dy)
	tape.Backward(theta, dy, g)
	RGrad(p.l, p.n, p.m.Out(), y, p.t, p.w, tape.RForward(theta, v), rdy)
	tape.RBackward(theta, v, rdy, hv)
	return hv
}

// moved returns theta + h*v.
func moved(theta []float64, h float64, v []float64) []float64 {
	x := make([]float64, len(theta))
	for i := range x {
		x[i] = theta[i] + h*v[i]
	}
	return x
}

func forEachProblem(t *testing.T, f func(t *testing.T, r *rand.Rand, p problem)) {
	for i, c := range models {
		for j, loss := range losses {
			for _, out := range []int{1, 3} {
				r := rand.New(rand.NewPCG(uint64(i), uint64(j)))
				f(t, r, newProblem(t, r, c, loss, float64(j%2)*1.5, 4, out, 6))
			}
		}
	}
	for i, c := range shaped {
		r := rand.New(rand.NewPCG(uint64(i), 17))
		p := newShaped(t, r, c.Config, "mse", 0, c.Shape, 3)
		for j := range p.theta { // what is summed over many terms stays of order one
			p.theta[j] *= 0.5
		}
		f(t, r, p)
	}
}

func TestBackwardMatchesFiniteDifferences(t *testing.T) {
	forEachProblem(t, func(t *testing.T, r *rand.Rand, p problem) {
		const h = 1e-6
		_, g := p.gradient(p.theta)
		for range 5 {
			v := normal(r, len(g))
			up, _ := p.gradient(moved(p.theta, h, v))
			down, _ := p.gradient(moved(p.theta, -h, v))
			got, want := inner(g, v), (up-down)/(2*h)
			if math.Abs(got-want) > 1e-6*(1+math.Abs(want)) {
				t.Errorf("%+v %+v: slope %v, finite difference %v", p.m.config, p.l, got, want)
			}
		}
	})
}

func TestRBackwardMatchesFiniteDifferences(t *testing.T) {
	forEachProblem(t, func(t *testing.T, r *rand.Rand, p problem) {
		const h = 1e-6
		v := normal(r, len(p.theta))
		hv := p.hessian(p.theta, v)
		_, up := p.gradient(moved(p.theta, h, v))
		_, down := p.gradient(moved(p.theta, -h, v))
		for i := range hv {
			if want := (up[i] - down[i]) / (2 * h); math.Abs(hv[i]-want) > 1e-5*(1+math.Abs(want)) {
				t.Errorf("%+v %+v: element %d of Hv is %v, finite difference %v", p.m.config, p.l, i, hv[i], want)
				break
			}
		}
	})
}

// The Hessian is symmetric: u.Hv = v.Hu, to rounding.
func TestHessianIsSymmetric(t *testing.T) {
	forEachProblem(t, func(t *testing.T, r *rand.Rand, p problem) {
		u, v := normal(r, len(p.theta)), normal(r, len(p.theta))
		a, b := inner(u, p.hessian(p.theta, v)), inner(v, p.hessian(p.theta, u))
		if math.Abs(a-b) > 1e-11*(1+math.Abs(a)) {
			t.Errorf("%+v %+v: u.Hv = %v, v.Hu = %v", p.m.config, p.l, a, b)
		}
	})
}

func inner(x, y []float64) (s float64) {
	for i := range x {
		s += x[i] * y[i]
	}
	return s
}

func TestBackwardFeaturesIsTheChainRule(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, c := range models[1:] {
		p := newProblem(t, r, c, "mse", 0, 4, 2, 6)
		f := p.m.Features()
		tape, u := NewTape[float64](p.m, 6), normal(r, 6*f)
		features := func(theta []float64) float64 {
			tape.Forward(theta, p.x, p.n)
			return inner(u, tape.Features())
		}
		g, v := make([]float64, len(p.theta)), normal(r, len(p.theta))
		features(p.theta)
		tape.BackwardFeatures(p.theta, u, g)
		want := (features(moved(p.theta, 1e-6, v)) - features(moved(p.theta, -1e-6, v))) / 2e-6
		if got := inner(g, v); math.Abs(got-want) > 1e-6*(1+math.Abs(want)) {
			t.Errorf("%+v: %v, finite difference %v", c, got, want)
		}
		// A later Backward on the same tape must not see the features' gradient.
		y := tape.Forward(p.theta, p.x, p.n)
		dy, again := make([]float64, len(y)), make([]float64, len(g))
		Grad(p.l, p.n, 2, y, p.t, p.w, dy)
		tape.Backward(p.theta, dy, again)
		if _, fresh := p.gradient(p.theta); inner(fresh, v) != inner(again, v) {
			t.Errorf("%+v: a tape that did features gives another gradient", c)
		}
	}
}

func TestLossValues(t *testing.T) {
	for _, c := range []struct {
		name           string
		clip           float64
		y, t           float64
		value, d, curv float64
	}{
		{"mse", 0, 3, 1, 4, 4, 2},
		{"huber", 0, 1.5, 1, 0.125, 0.5, 1},
		{"huber", 0, 3, 1, 0.7 * (2 - 0.35), 0.7, 0},
		{"huber", 0, -3, 1, 0.7 * (4 - 0.35), -0.7, 0},
		{"abs", 0, 3, 1, 2, 1, 0},
		{"abs", 0, -3, 1, 4, -1, 0},
		{"abs", 0, 1, 1, 0, 0, 0},
		{"abs", 4, 9, 1, 3, 0, 0},
		{"abs", 4, -9, 1, 5, 0, 0},
		{"mse", 4, -9, 1, 25, 0, 0},
		{"mse", 4, 4, 1, 9, 6, 2},
	} {
		l, err := NewLoss(LossConfig{Name: c.name, Delta: 0.7, Clip: c.clip})
		if err != nil {
			t.Fatal(err)
		}
		dy, rdy := []float64{9}, []float64{9}
		v := Grad(l, 1, 1, []float64{c.y}, []float64{c.t}, []float64{2}, dy)
		RGrad(l, 1, 1, []float64{c.y}, []float64{c.t}, []float64{2}, []float64{3}, rdy)
		if math.Abs(v-2*c.value) > 1e-15 || dy[0] != 2*c.d || rdy[0] != 6*c.curv {
			t.Errorf("%+v: value %v, slope %v, curvature %v", c, v/2, dy[0]/2, rdy[0]/6)
		}
	}
	if l, _ := NewLoss(LossConfig{Name: "abs"}); l.HasCurvature() {
		t.Error("abs claims curvature")
	}
}

func TestG7_BuildNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		c       Config
		in, out int
		want    string
	}{
		{Config{Name: "mpl"}, 1, 1, `name: unknown "mpl", expected conv4 or gru or layers or mlp or tcn; did you mean "mlp"?`},
		{Config{Name: "mlp", Activation: "rleu"}, 1, 1, `did you mean "relu"?`},
		{Config{Name: "mlp", Hidden: []int{3, 0}}, 2, 1, "layer dense1: shape [3][0], expected [3][1 to 65536]"},
		{Config{Name: "mlp"}, 0, 1, "input of shape [0], expected 1 to"},
		{Config{Name: "mlp", Skip: true}, 1, 1, "no hidden layer"},
		{Config{Name: "mlp", Hidden: []int{65536, 65536}}, 1, 1, "parameters, expected at most"},
	} {
		if _, err := Build(c.c, Flat(c.in, c.out)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.c, err, c.want)
		}
	}
	for _, name := range []string{"hubr", "huber"} {
		if _, err := NewLoss(LossConfig{Name: name}); err == nil || !strings.Contains(err.Error(), "huber") {
			t.Errorf("loss %s with no delta: %v", name, err)
		}
	}
	if _, err := NewLoss(LossConfig{Name: "mse", Clip: math.NaN()}); err == nil {
		t.Error("a clip of NaN was taken")
	}
}

func TestParamsCoverTheVector(t *testing.T) {
	all := slices.Clone(shaped)
	for _, c := range models {
		all = append(all, shapedModel{c, Flat(3, 2)})
	}
	for _, c := range all {
		m, err := Build(c.Config, c.Shape)
		if err != nil {
			t.Fatal(err)
		}
		at, group := 0, 0
		for _, p := range m.Params() {
			if p.Offset != at {
				t.Errorf("%+v: %s starts at %d, expected %d", c, p.Name, p.Offset, at)
			}
			at += p.Size()
		}
		for _, g := range m.Groups() {
			if g.Lo != group || g.Hi <= g.Lo {
				t.Errorf("%+v: group %+v, expected to start at %d", c, g, group)
			}
			group = g.Hi
		}
		if h := m.Head(); at != m.NumParams() || group != at || h.Hi != at || h.Hi-h.Lo != (m.Features()+1)*m.Out() {
			t.Errorf("%+v: tensors end at %d, groups at %d, head is %+v of %d", c, at, group, h, m.NumParams())
		}
	}
}

func TestG1_InitIsAFunctionOfSeedAndName(t *testing.T) {
	a, _ := Build(Config{Name: "mlp", Hidden: []int{40, 40}}, Flat(1, 1))
	b, _ := Build(Config{Name: "mlp", Hidden: []int{40, 30, 20}}, Flat(1, 1))
	x, y, z := make([]float32, a.NumParams()), make([]float32, b.NumParams()), make([]float32, a.NumParams())
	y[0] = 7
	a.Init(5, x)
	b.Init(5, y)
	a.Init(6, z)
	same := 0
	for i := range 80 { // the first layer is the same in both
		if x[i] != y[i] {
			t.Fatalf("element %d depends on later layers: %v, %v", i, x[i], y[i])
		}
		if x[i] == z[i] {
			same++
		}
	}
	if same > 0 {
		t.Errorf("%d elements are the same under another seed", same)
	}
	var sum, sq float64
	for _, v := range x[80 : 80+1600] {
		sum, sq = sum+float64(v), sq+float64(v)*float64(v)
	}
	if v := sq / 1600; math.Abs(v-1.0/120) > 0.001 || math.Abs(sum/1600) > 0.02 {
		t.Errorf("hidden weights have mean %v and variance %v, expected 0 and 1/120", sum/1600, v)
	}
}

func TestTapeGrowsAndThenAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, c := range models {
		p := newProblem(t, r, c, "mse", 0, 4, 3, 20)
		tape := NewTape[float64](p.m, 2)
		g, dy := make([]float64, len(p.theta)), make([]float64, 60)
		pass := func(n int) {
			y := tape.Forward(p.theta, p.x, n)
			Grad(p.l, n, 3, y, p.t, p.w, dy)
			tape.Backward(p.theta, dy, g)
			RGrad(p.l, n, 3, y, p.t, p.w, tape.RForward(p.theta, p.theta), dy)
			tape.RBackward(p.theta, p.theta, dy, g)
		}
		pass(20)
		if a := testing.AllocsPerRun(5, func() { pass(20); pass(3); pass(0) }); a != 0 {
			t.Errorf("%+v: %v allocations in the steady state", c, a)
		}
		// A batch of three gives the same after a larger one as on a fresh tape.
		p.n = 3
		_, want := p.gradient(p.theta)
		y := tape.Forward(p.theta, p.x, 3)
		Grad(p.l, 3, 3, y, p.t, p.w, dy)
		tape.Backward(p.theta, dy, g)
		if inner(g, p.theta) != inner(want, p.theta) {
			t.Errorf("%+v: a used tape gives another gradient", c)
		}
	}
}
