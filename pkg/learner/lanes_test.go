package learner

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// oneByOne is what a Group must give: each task's gradient, summed by the tree.
func oneByOne(l Learner[float32], theta []float32, tasks []*Task[float32], lo, n int) (sum []float32, err error) {
	if n == 1 {
		if lo >= len(tasks) || tasks[lo] == nil {
			return nil, nil
		}
		sum = make([]float32, l.NumParams())
		_, err = l.Gradient(theta, tasks[lo], sum)
		return sum, err
	}
	left, err1 := oneByOne(l, theta, tasks, lo, n/2)
	right, err2 := oneByOne(l, theta, tasks, lo+n/2, n/2)
	switch {
	case err1 != nil || err2 != nil:
		return nil, fmt.Errorf("%w%w", err1, err2)
	case right == nil:
		return left, nil
	case left == nil:
		return right, nil
	}
	for i, x := range right {
		left[i] += x
	}
	return left, nil
}

func checkGroup(t *testing.T, what string, g *Group, l Learner[float32], theta []float32, tasks []*Task[float32]) {
	t.Helper()
	want, err := oneByOne(l, theta, tasks, 0, nn.Lanes)
	got, losses := make([]float32, len(theta)), make([]float32, len(tasks))
	if !g.GradientSum(theta, tasks, losses, got) {
		t.Fatalf("%s: not computed (%v)", what, err)
	}
	if err != nil {
		t.Fatalf("%s: computed where one by one fails: %v", what, err)
	}
	one := make([]float32, len(theta))
	for i, task := range tasks {
		if task == nil {
			continue
		}
		if loss, _ := l.Gradient(theta, task, one); math.Float32bits(loss) != math.Float32bits(losses[i]) {
			t.Fatalf("%s: loss of task %d is %b, alone %b", what, i, losses[i], loss)
		}
	}
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %b, one by one %b", what, i, got[i], want[i])
		}
	}
}

// randomGroup draws a learner, its model and a group of tasks, of which some are
// missing.
func randomGroup(t testing.TB, r *rand.Rand) (what string, l Learner[float32], theta []float32, tasks []*Task[float32]) {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	net := nn.Config{Name: "mlp", Activation: pick("relu", "relu", "tanh", "sigmoid", "gelu")}
	for range r.IntN(4) {
		net.Hidden = append(net.Hidden, 1+r.IntN(23))
	}
	if r.IntN(12) == 0 {
		net.Hidden = []int{270} // sums of more than one block, panels of more than one strip
	}
	net.Skip = len(net.Hidden) > 0 && r.IntN(2) == 0
	c := Config{
		Name: pick("maml", "maml", "fomaml", "pooled", "metasgd", "mamlpp", "anil", "anil"), Steps: 1 + r.IntN(4), Rate: 0.02,
		InnerLoss: pick("mse", "huber"), OuterLoss: pick("mse", "huber", "abs"), HuberDelta: 0.3,
	}
	stepping := c.Name != "pooled"
	if c.LearnRates = stepping && r.IntN(2) == 0; c.LearnRates && c.Name == "maml" && r.IntN(2) == 0 {
		c.Rates = "parameter"
	}
	if stepping && r.IntN(3) == 0 {
		c.FirstOrderSteps = 2
	}
	in, out, targets := 1+r.IntN(4), 1+r.IntN(3), 0
	if targets = out; r.IntN(5) == 0 {
		c.InnerLoss, c.OuterLoss, c.Quantiles, out = "pinball", "pinball", []float32{0.1, 0.75}, 2*out
	}
	if r.IntN(5) == 0 && out > 1 && len(c.Quantiles) == 0 {
		c.InnerLoss, c.OuterLoss, c.ClassWeights = pick("softmax", "bce"), pick("softmax", "bce"), []float32{2, 0.5, 1}[:out]
	} else if r.IntN(2) == 0 {
		c.Clip = 0.5
	}
	if r.IntN(2) == 0 {
		c.ZeroWeight = 0.25
	}
	switch {
	case stepping && r.IntN(3) == 0:
		c.MSLSteps = 4
	case stepping && r.IntN(2) == 0:
		for range c.Steps {
			c.StepWeights = append(c.StepWeights, []float32{0, 0.5, 1}[r.IntN(3)])
		}
	}
	step := int64(r.IntN(6))
	shots, query := r.IntN(13), 1+r.IntN(12)
	if r.IntN(10) == 0 {
		shots = 270
	}
	l, _ = setup[float32](t, r, c, net, in, out, 1)
	theta = start(r, l)
	for range 1 + r.IntN(nn.Lanes) {
		task := &Task[float32]{samples[float32](r, shots, in, targets), samples[float32](r, query, in, targets), step}
		if r.IntN(5) == 0 && len(tasks) > 0 {
			task = nil
		}
		tasks = append(tasks, task)
	}
	return fmt.Sprintf("%+v on %+v, %d to %d, %d+%d samples, %d tasks", c, net, in, out, shots, query, len(tasks)), l, theta, tasks
}

func TestG1_GroupsHaveTheBitsOfSingleTasks(t *testing.T) {
	tries := 150
	if testing.Short() {
		tries = 30
	}
	for seed := range uint64(tries) {
		r := rand.New(rand.NewPCG(seed, 31))
		what, l, theta, tasks := randomGroup(t, r)
		g := NewGroup(l)
		if g == nil {
			t.Fatalf("%s: no form over lanes", what)
		}
		checkGroup(t, what, g, l, theta, tasks)
		if r.IntN(2) == 0 { // what was computed before must not show
			one := *tasks[0]
			one.Query.N = 1
			checkGroup(t, what+", used", g, l, theta, []*Task[float32]{&one})
		}
	}
}

// A group's scores are those of predictors, clipped, after any number of steps, beyond the learned rates too.
func TestG1_GroupsScoreAsPredictorsDo(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 33))
		what, l, theta, tasks := randomGroup(t, r)
		steps := []int{3, 0, -1, 1 + r.IntN(6)}
		if c := what; strings.Contains(c, "Name:pooled") {
			steps = []int{-1, 0}
		}
		model, outer := l.(interface{ parts() (*nn.Model, nn.Loss) }).parts()
		if strings.Contains(what, "OuterLoss:abs") { // a predictor clips where this loss does not
			outer, _ = nn.NewLoss(nn.LossConfig{Name: "mse"})
		}
		g, got := NewGroup(l), make([][nn.Lanes]float32, len(steps))
		ok := g.Scores(theta, tasks, steps, nn.NewLaneLoss(outer, model.Out()), got)
		if _, anil := l.(*anil[float32]); ok == anil {
			t.Fatalf("%s: computed: %v", what, ok)
		}
		for i := range steps {
			for lane, task := range tasks {
				if task == nil || !ok {
					continue
				}
				p, err := l.Adapt(theta, &task.Support, steps[i])
				if err != nil {
					t.Fatal(err)
				}
				y := make([]float32, task.Query.N*model.Out())
				p.Predict(task.Query.X, task.Query.N, y)
				want := nn.Grad(outer, task.Query.N, model.Out(), y, task.Query.Y, task.Query.W, make([]float32, len(y)))
				if math.Float32bits(got[i][lane]) != math.Float32bits(want) {
					t.Fatalf("%s: after %d steps task %d scores %b, alone %b", what, steps[i], lane, got[i][lane], want)
				}
			}
		}
	}
}

func (b *base[T]) parts() (*nn.Model, nn.Loss) { return b.model, b.outer }

func FuzzGroup(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		what, l, theta, tasks := randomGroup(t, rand.New(rand.NewPCG(seed, 32)))
		want, err := oneByOne(l, theta, tasks, 0, nn.Lanes)
		sum := make([]float32, len(theta))
		if ok := NewGroup(l).GradientSum(theta, tasks, make([]float32, len(tasks)), sum); ok && err != nil {
			t.Fatalf("%s: computed, alone %v", what, err)
		} else if ok {
			for i := range want {
				if math.Float32bits(sum[i]) != math.Float32bits(want[i]) {
					t.Fatalf("%s: element %d is %b, one by one %b", what, i, sum[i], want[i])
				}
			}
		}
	})
}

func TestGroupsLeaveWhatTheyCannotDo(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 1))
	l, task := setup[float32](t, r, Config{Name: "maml", Rate: 0.01}, skipNet, 2, 1, 5)
	theta, sum := start(r, l), make([]float32, l.NumParams())
	g := NewGroup(l)
	ok := func(tasks ...*Task[float32]) bool {
		return g.GradientSum(theta, tasks, make([]float32, len(tasks)), sum)
	}
	if !ok(&task, nil, &task) {
		t.Fatal("equal tasks were left")
	}
	shorter, empty, short, wild, later := task, task, task, task, task
	later.Step++
	shorter.Support.N--
	empty.Query.N = 0
	short.Query.X = nil
	wild.Query.Y = append([]float32{float32(math.NaN())}, task.Query.Y[1:]...)
	for name, other := range map[string]*Task[float32]{"other shots": &shorter, "empty query": &empty, "no inputs": &short, "other step": &later, "NaN": &wild} {
		if ok(&task, other) {
			t.Errorf("%s: computed", name)
		}
	}
	if ok() || ok(nil, nil) {
		t.Error("no tasks: computed")
	}
	wild.Query.Y[0] = 0
	if !ok(&task, &wild) {
		t.Error("a NaN before shows")
	}
	ridge, _ := setup[float32](t, r, Config{Name: "ridge"}, skipNet, 2, 1, 5)
	if NewGroup(ridge) != nil {
		t.Error("ridge has a group")
	}
}

func TestGroupAllocatesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 1))
	for _, c := range []Config{{Name: "maml", Steps: 3}, {Name: "maml", Steps: 2, LearnRates: true, ZeroWeight: 1, OuterLoss: "huber"}, {Name: "pooled"}, {Name: "metasgd", Steps: 2}, {Name: "mamlpp"}, {Name: "anil", Steps: 2, LearnRates: true}} {
		l, large := setup[float32](t, r, c, skipNet, 3, 2, 40)
		_, small := setup[float32](t, r, c, skipNet, 3, 2, 5)
		none := Task[float32]{Query: small.Query}
		theta, sum, g := start(r, l), make([]float32, l.NumParams()), NewGroup(l)
		groups := [][]*Task[float32]{{&large, &large}, {&small, nil, &small}, {&none}}
		losses := make([]float32, 3)
		run := func() {
			for _, tasks := range groups {
				if !g.GradientSum(theta, tasks, losses, sum) {
					t.Fatal("not computed")
				}
			}
		}
		run()
		if n := testing.AllocsPerRun(5, run); n != 0 {
			t.Errorf("%+v: %v allocations in the steady state", c, n)
		}
	}
}
