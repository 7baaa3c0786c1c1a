package learner

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// normed is a model with batch norm before and after a hidden layer.
func normed(statistics string, perStep bool, k int) nn.Config {
	norm := nn.LayerSpec{Kind: "batchnorm", Statistics: statistics, PerStep: perStep, Eps: 0.5}
	return nn.Config{Name: "layers", InnerSteps: k, Layers: []nn.LayerSpec{norm, {Kind: "dense", Units: 4}, norm, {Kind: "tanh"}}}
}

// places reports which elements of a gradient are tracked statistics.
func places[T float32 | float64](l Learner[T]) []bool {
	at := make([]bool, l.NumParams())
	for _, p := range l.Params() {
		for i := range p.Size() {
			at[p.Offset+i] = p.Track
		}
	}
	return at
}

// startNormed is start with variances above zero.
func startNormed(r *rand.Rand, l Learner[float64]) []float64 {
	theta := start(r, l)
	for i, tracked := range places(l) {
		if tracked {
			theta[i] = 0.5 + math.Abs(theta[i])
		}
	}
	return theta
}

func eachNorm(t *testing.T, ks []int, f func(t *testing.T, statistics string, perStep bool, c Config, net nn.Config)) {
	for _, statistics := range []string{"batch", "stored"} {
		for _, perStep := range []bool{false, true} {
			for _, k := range ks {
				for _, c := range append(family(k), Config{Name: "maml", Steps: k, Rate: 0.1}, Config{Name: "pooled"}, Config{Name: "reptile", Steps: k},
					Config{Name: "imaml", Steps: k}, Config{Name: "ridge", ZeroWeight: 0.5}) {
					if perStep && c.Name == "imaml" {
						continue // has one set whatever its steps
					}
					t.Run(fmt.Sprintf("%s/%v/K%d/%s/%s", statistics, perStep, k, c.Name, c.Rates), func(t *testing.T) {
						f(t, statistics, perStep, c, normed(statistics, perStep, k))
					})
				}
			}
		}
	}
}

// Through batch norm, by the batch's statistics and by stored ones, of one set and
// of one per step.
func TestNormedModelsMatchFiniteDifferences(t *testing.T) {
	eachNorm(t, []int{1, 2, 3, 5}, func(t *testing.T, _ string, _ bool, c Config, net nn.Config) {
		if c.Name == "reptile" || c.Name == "imaml" {
			return // theirs is the gradient of no loss at so few steps
		}
		c.OuterLoss, c.Clip = "", 0 // no kinks
		if c.InnerLoss == "huber" {
			c.HuberDelta = 10
		}
		r := rand.New(rand.NewPCG(31, uint64(c.Steps)))
		l, task := setup[float64](t, r, c, net, 2, 2, 5)
		theta, grad := startNormed(r, l), make([]float64, l.NumParams())
		if _, err := l.Gradient(theta, &task, grad); err != nil {
			t.Fatal(err)
		}
		want, ok := differences(outerLoss(l, theta, &task), theta)
		if !ok {
			t.Fatal("a smooth model has a kink")
		}
		for i, tracked := range places(l) {
			if tracked {
				want[i] = grad[i] // a constant to the derivative: no part of this
			}
		}
		if d := distance(grad, want); d > tolerance {
			t.Errorf("relative error %.2g\n got %.6g\nwant %.6g", d, grad, want)
		}
	})
}

// The first norm sees the inputs themselves, whose statistics are known.
func TestTrackedStatisticsCarryWhatThePassesShow(t *testing.T) {
	eachNorm(t, []int{1, 3}, func(t *testing.T, statistics string, perStep bool, c Config, net nn.Config) {
		if statistics != "stored" {
			return
		}
		r := rand.New(rand.NewPCG(32, uint64(c.Steps)))
		l, task := setup[float64](t, r, c, net, 2, 2, 5)
		theta, grad := startNormed(r, l), make([]float64, l.NumParams())
		own := map[string]nn.Param{}
		for _, p := range l.Params() {
			own[p.Name] = p
		}
		for _, shots := range []int{5, 0} {
			task.Support.N = shots
			if _, err := l.Gradient(theta, &task, grad); err != nil {
				t.Fatal(err)
			}
			for j, name := range []string{"norm0.mean", "norm0.var"} {
				p := own[name]
				for i := range p.Size() {
					set, channel := i/2, i%2
					want := shown(&task, c, perStep, set, channel, j)
					if !math.IsNaN(want) {
						want = theta[p.Offset+i] - want
					} else {
						want = 0
					}
					if got := grad[p.Offset+i]; math.Abs(got-want) > 1e-12 {
						t.Errorf("%s[%d], %d shots: %v, expected %v", name, i, shots, got, want)
					}
				}
			}
		}
	})
}

// shown is the mean (which 0) or variance (1) of an input that a set of statistics
// sees in one task; NaN where it sees none.
func shown(task *Task[float64], c Config, perStep bool, set, channel, which int) float64 {
	support, query := moments(&task.Support, channel)[which], moments(&task.Query, channel)[which]
	steps := c.InnerSteps()
	if c.Name == "imaml" {
		steps = c.Steps
	}
	if task.Support.N == 0 || c.Name == "anil" {
		steps = 0 // the query's pass alone
	}
	switch {
	case !perStep:
		return (float64(steps)*support + query) / float64(steps+1)
	case set < steps:
		return support
	case set == steps:
		return query
	}
	return math.NaN()
}

func moments(b *Batch[float64], channel int) [2]float64 {
	if b.N == 0 {
		return [2]float64{}
	}
	var mean, square float64
	for i := range b.N {
		mean += b.X[2*i+channel] / float64(b.N)
	}
	for i := range b.N {
		d := b.X[2*i+channel] - mean
		square += d * d / float64(b.N)
	}
	return [2]float64{mean, square}
}

// No inner step moves a statistic, no direction has a part there, and none has a
// rate to learn.
func TestInnerStepsLeaveTrackedStatistics(t *testing.T) {
	eachNorm(t, []int{3}, func(t *testing.T, _ string, _ bool, c Config, net nn.Config) {
		r := rand.New(rand.NewPCG(33, 3))
		l, task := setup[float64](t, r, c, net, 2, 2, 5)
		theta, grad := startNormed(r, l), make([]float64, l.NumParams())
		p, err := l.Adapt(theta, &task.Support, 6)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Gradient(theta, &task, grad); err != nil {
			t.Fatal(err)
		}
		at, size := places(l), len(p.Theta())
		m, _ := l.(*maml[float64])
		for i, x := range p.Theta() {
			if at[i] && m != nil && m.steps > 0 && m.v[i] != 0 {
				t.Fatalf("a direction has %v at element %d", m.v[i], i)
			}
			if at[i] && x != theta[i] {
				t.Fatalf("element %d moved from %v to %v", i, theta[i], x)
			}
			if at[i] && len(grad) == 2*size && grad[size+i] != 0 {
				t.Fatalf("the rate of element %d has gradient %v", i, grad[size+i])
			}
		}
	})
}

// Per step, theta_k is run with the set of k steps, in training and after; a
// recursion that took another set would differ.
func TestSetsFollowTheInnerSteps(t *testing.T) {
	for _, c := range []Config{{Name: "maml", Steps: 3, Rate: 0.1, ZeroWeight: 0.5, StepWeights: []float32{0.25, 2, 1}}, {Name: "mamlpp", Steps: 3, MSLSteps: 10}} {
		for _, statistics := range []string{"batch", "stored"} {
			r := rand.New(rand.NewPCG(34, 3))
			l, task := setup[float64](t, r, c, normed(statistics, true, 3), 2, 2, 5)
			theta, grad := startNormed(r, l), make([]float64, l.NumParams())
			loss, err := l.Gradient(theta, &task, grad)
			if err != nil {
				t.Fatal(err)
			}
			weights := []float64{0, 1. / 3, 1. / 3, 1. / 3}
			if c.Name == "maml" {
				weights = []float64{0.5, 0.25, 2, 1}
			}
			want := 0.0
			for k, w := range weights {
				p, err := l.Adapt(theta, &task.Support, k)
				if err != nil {
					t.Fatal(err)
				}
				want += w * p.Loss(&task.Query)
			}
			if math.Abs(loss-want) > 1e-12*want {
				t.Errorf("%s, %s: loss %v, by Adapt %v", c.Name, statistics, loss, want)
			}
			// The gammas of every set have a gradient, and matter.
			for _, p := range l.Params() {
				if p.Name != "norm1.gamma" {
					continue
				}
				for set := range 4 {
					if grad[p.Offset+4*set] == 0 {
						t.Errorf("%s, %s: the gamma of set %d has no gradient", c.Name, statistics, set)
					}
				}
			}
		}
	}
}
