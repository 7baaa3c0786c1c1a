package nn

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// lossCase is a loss with a batch of outputs and targets that suit it.
type lossCase struct {
	c       LossConfig
	out     int
	targets func(r *rand.Rand, n, targets int) []float64
}

func reals(r *rand.Rand, n, targets int) []float64 { return normal(r, n*targets) }

func oneHot(r *rand.Rand, n, targets int) []float64 {
	t := make([]float64, n*targets)
	for i := range n {
		t[i*targets+r.IntN(targets)] = 1
	}
	return t
}

func softTargets(r *rand.Rand, n, targets int) []float64 {
	t := make([]float64, n*targets)
	for i := range n {
		sum := 0.0
		for k := range targets {
			t[i*targets+k] = r.Float64()
			sum += t[i*targets+k]
		}
		for k := range targets {
			t[i*targets+k] /= sum
		}
	}
	return t
}

func coins(r *rand.Rand, n, targets int) []float64 {
	t := make([]float64, n*targets)
	for i := range t {
		t[i] = float64(r.IntN(3)) / 2
	}
	return t
}

var lossCases = []lossCase{
	{LossConfig{Name: "mse"}, 2, reals},
	{LossConfig{Name: "mse", Clip: 0.8}, 2, reals},
	{LossConfig{Name: "huber", Delta: 0.7}, 2, reals},
	{LossConfig{Name: "abs"}, 2, reals},
	{LossConfig{Name: "pinball", Quantiles: []float64{0.5}}, 2, reals},
	{LossConfig{Name: "pinball", Quantiles: []float64{0.1, 0.5, 0.9}, Delta: 0.9}, 6, reals},
	{LossConfig{Name: "pinball", Quantiles: []float64{0.1, 0.8}, Delta: 0.3, Clip: 0.9}, 4, reals},
	{LossConfig{Name: "softmax"}, 5, oneHot},
	{LossConfig{Name: "softmax"}, 300, softTargets}, // more than one block
	{LossConfig{Name: "softmax", ClassWeights: []float64{0.5, 2, 3}}, 3, softTargets},
	{LossConfig{Name: "bce"}, 1, coins},
	{LossConfig{Name: "bce", ClassWeights: []float64{0.5, 2, 3}}, 3, coins},
}

func TestLossDerivativesMatchFiniteDifferences(t *testing.T) {
	const n, h = 4, 1e-6
	for i, c := range lossCases {
		l, err := NewLoss(c.c)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.CheckOutputs(c.out); err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(uint64(i), 3))
		y, w, v := normal(r, n*c.out), normal(r, n), normal(r, n*c.out)
		ts := c.targets(r, n, l.Targets(c.out))
		at := func(y []float64) (float64, []float64) {
			dy := make([]float64, len(y))
			return Grad(l, n, c.out, y, ts, w, dy), dy
		}
		_, dy := at(y)
		up, du := at(moved(y, h, v))
		down, dd := at(moved(y, -h, v))
		if got, want := inner(dy, v), (up-down)/(2*h); math.Abs(got-want) > 1e-7*(1+math.Abs(want)) {
			t.Errorf("%+v: slope %v, finite difference %v", c.c, got, want)
		}
		rdy := make([]float64, len(y))
		RGrad(l, n, c.out, y, ts, w, v, rdy)
		if e := furthest(rdy, du, dd, h); e > 1e-6 {
			t.Errorf("%+v: RGrad is off by %v of its largest element", c.c, e)
		}
		if curved := inner(rdy, rdy) > 0; curved != l.HasCurvature() {
			t.Errorf("%+v: HasCurvature is %v, RGrad gives %v", c.c, l.HasCurvature(), rdy)
		}
	}
}

// A row's derivative must not reach into another: softmax's sums are per row.
func TestLossRowsAreApart(t *testing.T) {
	for i, c := range lossCases {
		l, _ := NewLoss(c.c)
		r := rand.New(rand.NewPCG(uint64(i), 4))
		y, w, v, ts := normal(r, 3*c.out), normal(r, 3), normal(r, 3*c.out), c.targets(r, 3, l.Targets(c.out))
		dy, rdy, one, rone := make([]float64, len(y)), make([]float64, len(y)), make([]float64, c.out), make([]float64, c.out)
		Grad(l, 3, c.out, y, ts, w, dy)
		RGrad(l, 3, c.out, y, ts, w, v, rdy)
		each := l.Targets(c.out)
		Grad(l, 1, c.out, y[c.out:], ts[each:], w[1:], one)
		RGrad(l, 1, c.out, y[c.out:], ts[each:], w[1:], v[c.out:], rone)
		same(t, c.c.Name+": dy", dy[c.out:][:c.out], one)
		same(t, c.c.Name+": rdy", rdy[c.out:][:c.out], rone)
	}
}

// Values by hand, and where a naive form would overflow or lose everything.
func TestCrossEntropyValues(t *testing.T) {
	for _, c := range []struct {
		c     LossConfig
		y, t  []float64
		value float64
		dy    []float64
	}{
		{LossConfig{Name: "softmax"}, []float64{0, 0}, []float64{1, 0}, math.Ln2, []float64{-0.5, 0.5}},
		{LossConfig{Name: "softmax"}, []float64{math.Log(3), 0}, []float64{0, 1}, math.Log(4), []float64{0.75, -0.75}},
		{LossConfig{Name: "softmax", ClassWeights: []float64{1, 2}}, []float64{math.Log(3), 0}, []float64{0, 1}, 2 * math.Log(4), []float64{1.5, -1.5}},
		{LossConfig{Name: "softmax"}, []float64{1000, -1000}, []float64{0, 1}, 2000, []float64{1, -1}},
		{LossConfig{Name: "softmax"}, []float64{1000, 1000}, []float64{0, 1}, math.Ln2, []float64{0.5, -0.5}},
		{LossConfig{Name: "bce"}, []float64{0}, []float64{1}, math.Ln2, []float64{-0.5}},
		{LossConfig{Name: "bce"}, []float64{math.Log(3)}, []float64{0}, math.Log(4), []float64{0.75}},
		{LossConfig{Name: "bce", ClassWeights: []float64{3}}, []float64{-math.Log(3)}, []float64{1}, 3 * math.Log(4), []float64{-2.25}},
		{LossConfig{Name: "bce"}, []float64{1000}, []float64{0}, 1000, []float64{1}},
		{LossConfig{Name: "bce"}, []float64{-1000}, []float64{1}, 1000, []float64{-1}},
		{LossConfig{Name: "bce"}, []float64{40}, []float64{1}, math.Exp(-40), []float64{0}},
		{LossConfig{Name: "pinball", Quantiles: []float64{0.1, 0.75}}, []float64{3, 3}, []float64{1}, 2*0.9 + 2*0.25, []float64{0.9, 0.25}},
		{LossConfig{Name: "pinball", Quantiles: []float64{0.1, 0.75}}, []float64{0, 1}, []float64{1}, 0.1, []float64{-0.1, 0}},
		{LossConfig{Name: "pinball", Quantiles: []float64{0.75}, Delta: 0.5}, []float64{3}, []float64{1}, 0.25 * (2 - 0.25), []float64{0.25}},
		{LossConfig{Name: "pinball", Quantiles: []float64{0.75}, Delta: 0.5}, []float64{0.75}, []float64{1}, 0.75 * 0.0625, []float64{-0.375}},
	} {
		l, err := NewLoss(c.c)
		if err != nil {
			t.Fatal(err)
		}
		dy := make([]float64, len(c.y))
		v := Grad(l, 1, len(c.y), c.y, c.t, []float64{1}, dy)
		if math.Abs(v-c.value) > 1e-14*max(1, c.value) && math.Abs(v/c.value-1) > 1e-14 {
			t.Errorf("%+v of %v: %v, expected %v", c.c, c.y, v, c.value)
		}
		for k, d := range dy {
			if math.Abs(d-c.dy[k]) > 1e-15 {
				t.Errorf("%+v of %v: slopes %v, expected %v", c.c, c.y, dy, c.dy)
			}
		}
	}
}

func TestLossShapes(t *testing.T) {
	q, _ := NewLoss(LossConfig{Name: "pinball", Quantiles: []float64{0.1, 0.5, 0.9}})
	s, _ := NewLoss(LossConfig{Name: "softmax", ClassWeights: []float64{1, 1, 2}})
	if q.Outputs(2) != 6 || q.Targets(6) != 2 || s.Outputs(3) != 3 || s.Targets(3) != 3 || (Loss{}).Outputs(4) != 4 {
		t.Errorf("pinball of 3 quantiles: %d outputs for 2 targets, %d targets of 6 outputs", q.Outputs(2), q.Targets(6))
	}
	for _, c := range []struct {
		l    Loss
		out  int
		want string
	}{{q, 5, "5 outputs, expected a multiple of its 3 quantiles"}, {s, 2, "class_weights: 3 for 2 outputs"}, {s, 3, ""}, {q, 3, ""}} {
		if err := c.l.CheckOutputs(c.out); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d outputs: %v, expected %q", c.out, err, c.want)
		}
	}
	one, _ := NewLoss(LossConfig{Name: "softmax"})
	if err := one.CheckOutputs(1); err == nil || !strings.Contains(err.Error(), "bce") {
		t.Errorf("softmax of one output: %v", err)
	}
}

func TestG7_LossNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		c    LossConfig
		want string
	}{
		{LossConfig{Name: "sofmax"}, `did you mean "softmax"?`},
		{LossConfig{Name: "softmax", Clip: 4}, "clip 4, expected 0"},
		{LossConfig{Name: "bce", ClassWeights: []float64{1, -1}}, "class_weights[1]: -1"},
		{LossConfig{Name: "softmax", ClassWeights: []float64{math.NaN()}}, "class_weights[0]: NaN"},
		{LossConfig{Name: "pinball"}, "quantiles: none"},
		{LossConfig{Name: "pinball", Quantiles: []float64{0.5, 0.5}}, "quantiles[1]: 0.5, expected above 0.5"},
		{LossConfig{Name: "pinball", Quantiles: []float64{0}}, "quantiles[0]: 0, expected above 0"},
		{LossConfig{Name: "pinball", Quantiles: []float64{1}}, "quantiles[0]: 1"},
		{LossConfig{Name: "pinball", Quantiles: []float64{0.5}, Delta: -1}, "delta -1"},
	} {
		if _, err := NewLoss(c.c); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, expected %q", c.c, err, c.want)
		}
	}
}

func TestCorrectCountsWhatIsClassifiedRight(t *testing.T) {
	y := []float64{1, 3, 2, 5, 5, 1, -1, 0, -2} // classes 1, 0 (the first of equals), 1
	ts := []float64{0, 1, 0, 0, 1, 0, 0, 1, 0}
	if got := Correct(3, 3, y, ts); got != 2 {
		t.Errorf("%d rows are right, expected 2", got)
	}
}

func TestLossesAllocateNothing(t *testing.T) {
	for _, c := range lossCases {
		l, _ := NewLoss(c.c)
		r := rand.New(rand.NewPCG(1, 1))
		y, w, rdy, ts := normal(r, 3*c.out), normal(r, 3), normal(r, 3*c.out), c.targets(r, 3, l.Targets(c.out))
		dy := normal(r, 3*c.out)
		if a := testing.AllocsPerRun(3, func() {
			Grad(l, 3, c.out, y, ts, w, dy)
			RGrad(l, 3, c.out, y, ts, w, dy, rdy)
		}); a > 0 {
			t.Errorf("%+v: %v allocations", c.c, a)
		}
	}
}
