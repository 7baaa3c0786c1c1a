package nn

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// outputs are a model's for x at inner step k.
func outputs(t *testing.T, m *Model, theta, x []float64, n, k int) []float64 {
	t.Helper()
	tape := NewTape[float64](m, n)
	tape.SetStep(k)
	return slices.Clone(tape.Forward(theta, x, n))
}

func buildLayers(t *testing.T, in, innerSteps int, list ...LayerSpec) (*Model, []float64) {
	t.Helper()
	m, err := Build(Config{Name: "layers", Layers: list, InnerSteps: innerSteps}, Flat(in, 2))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(4, 4))
	theta := normal(r, m.NumParams())
	for _, p := range m.Params() {
		if strings.HasSuffix(p.Name, ".var") {
			for i := range p.Size() {
				theta[p.Offset+i] = math.Abs(theta[p.Offset+i]) + 0.5
			}
		}
	}
	return m, theta
}

// As in the MAML paper, batch statistics are those of the batch at hand: a query
// sample's outputs depend on the other queries, and on nothing of a batch before.
// By stored statistics, and within a sample, they do not.
func TestBatchStatisticsAreTransductive(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, c := range []struct {
		spec LayerSpec
		want bool
	}{
		{LayerSpec{Kind: "batchnorm"}, true},
		{LayerSpec{Kind: "batchnorm", Statistics: "batch", PerStep: true}, true},
		{LayerSpec{Kind: "batchnorm", Statistics: "stored"}, false},
		{LayerSpec{Kind: "layernorm"}, false},
	} {
		m, theta := buildLayers(t, 3, 1, LayerSpec{Kind: "dense", Units: 4}, c.spec, LayerSpec{Kind: "tanh"})
		support, query := normal(r, 5*3), normal(r, 4*3)
		alone := outputs(t, m, theta, query, 4, 0)
		other := slices.Clone(query)
		other[10] += 1 // of the last sample
		if moved := outputs(t, m, theta, other, 4, 0); (moved[0] != alone[0]) != c.want {
			t.Errorf("%+v: another sample moves the first one's output from %v to %v, expected a change: %v", c.spec, alone[0], moved[0], c.want)
		}
		tape := NewTape[float64](m, 5)
		tape.Forward(theta, support, 5)
		same(t, "query after support", tape.Forward(theta, query, 4), alone)
	}
}

func TestPerStepParametersAreThoseOfTheStep(t *testing.T) {
	const k = 2
	for _, statistics := range []string{"batch", "stored"} {
		m, theta := buildLayers(t, 3, k, LayerSpec{Kind: "dense", Units: 4}, LayerSpec{Kind: "batchnorm", Statistics: statistics, PerStep: true})
		x := normal(rand.New(rand.NewPCG(6, 6)), 5*3)
		for _, p := range m.Params() {
			if !strings.HasPrefix(p.Name, "norm0.") {
				continue
			}
			if !slices.Equal(p.Shape, []int{k + 1, 4}) {
				t.Errorf("%s has shape %v, expected [%d 4]", p.Name, p.Shape, k+1)
			}
			for set := range k + 1 {
				shaken := slices.Clone(theta)
				for i := range 4 {
					shaken[p.Offset+set*4+i] *= 1.5
				}
				for step := range k + 3 { // beyond K the last
					changed := !slices.Equal(outputs(t, m, theta, x, 5, step), outputs(t, m, shaken, x, 5, step))
					if changed != (min(step, k) == set) {
						t.Errorf("%s of set %d changes the outputs at step %d: %v", p.Name, set, step, changed)
					}
				}
			}
		}
	}
}

// Over one row there is no variance: the output is beta, and nothing flows back.
func TestBatchNormOfOneRow(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	p := runPasses(t, r, LayerSpec{Kind: "batchnorm"}, []int{6}, 1, 0, 0)
	for j := range 6 {
		if p.s.Y[j] != p.theta[6+j] || p.s.DX[j] != 0 || p.s.RDX[j] != 0 {
			t.Errorf("channel %d: %v from beta %v, gradient %v, its R-value %v", j, p.s.Y[j], p.theta[6+j], p.s.DX[j], p.s.RDX[j])
		}
	}
}

// A plain step against the gradient makes a tracked statistic an exponential mean
// of what its layer sees; for everything else it is a constant.
func TestTrackedStatisticsFollowTheData(t *testing.T) {
	m, theta := buildLayers(t, 2, 0, LayerSpec{Kind: "batchnorm", Statistics: "stored"})
	r := rand.New(rand.NewPCG(8, 8))
	grad, dy := make([]float64, len(theta)), make([]float64, 2*50)
	tape := NewTape[float64](m, 50)
	for range 400 {
		x := normal(r, 2*50)
		for i := range x {
			x[i] = 3 + 2*x[i]
		}
		tape.Forward(theta, x, 50)
		tape.Backward(theta, dy, grad)
		for i, g := range grad {
			theta[i] -= 0.05 * g
		}
	}
	for _, p := range m.Params() {
		if want := strings.HasSuffix(p.Name, ".mean") || strings.HasSuffix(p.Name, ".var"); p.Track != want {
			t.Errorf("%s: Track is %v", p.Name, p.Track)
		}
		want := map[string]float64{"norm0.mean": 3, "norm0.var": 4}[p.Name]
		for _, v := range theta[p.Offset:][:p.Size()] {
			if p.Track && math.Abs(v-want) > 0.4 {
				t.Errorf("%s is %v, expected about %v", p.Name, v, want)
			}
		}
	}
	clear(grad)
	tape.Forward(theta, nil, 0)
	tape.Backward(theta, nil, grad)
	if slices.ContainsFunc(grad, func(g float64) bool { return g != 0 }) {
		t.Errorf("a batch of no rows has gradient %v", grad)
	}
}

func TestNormsStartAsTheIdentity(t *testing.T) {
	m, _ := buildLayers(t, 3, 0, LayerSpec{Kind: "batchnorm", Statistics: "stored"}, LayerSpec{Kind: "layernorm"})
	theta := make([]float32, m.NumParams())
	m.Init(1, theta)
	for _, p := range m.Params() {
		want := float32(0)
		switch {
		case strings.HasSuffix(p.Name, ".gamma"), strings.HasSuffix(p.Name, ".var"):
			want = 1
		case strings.HasPrefix(p.Name, "head"):
			continue
		}
		for _, v := range theta[p.Offset:][:p.Size()] {
			if v != want {
				t.Errorf("%s starts at %v, expected %v", p.Name, v, want)
			}
		}
	}
}

func TestG7_NormsNameWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		spec LayerSpec
		want string
	}{
		{LayerSpec{Kind: "batchnorm", Statistics: "stord"}, `layer norm0: statistics: unknown "stord", expected batch or stored; did you mean "stored"?`},
		{LayerSpec{Kind: "batchnorm", Eps: -1}, "layer norm0: eps -1, expected above 0, to 1"},
		{LayerSpec{Kind: "layernorm", Eps: 2}, "layer norm0: eps 2, expected above 0, to 1"},
		{LayerSpec{Kind: "layernorm", PerStep: true}, "per_step"},
		{LayerSpec{Kind: "gru", Units: 3}, "layer gru0: input of shape [3], expected [time channels]"},
	} {
		if _, err := Build(Config{Name: "layers", Layers: []LayerSpec{c.spec}}, Flat(3, 1)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, expected %q", c.spec, err, c.want)
		}
	}
}
