package learner

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// normNet has a batch norm, so that support and query are batches of their own.
var normNet = nn.Config{Name: "layers", Layers: []nn.LayerSpec{{Kind: "dense", Units: 6}, {Kind: "batchnorm"}, {Kind: "tanh"}}}

// classes draws a batch of shots samples of each class, in turn, with weights of
// 1/n, unequal, and one-hot targets.
func classes[T kernel.Float](r *rand.Rand, ways, shots, in int) Batch[T] {
	b := samples[T](r, ways*shots, in, ways)
	clear(b.Y)
	for i := range b.N {
		b.Y[i*ways+i%ways] = 1
	}
	return b
}

// classTask is a learner and a task of ways classes.
func classTask[T kernel.Float](t testing.TB, r *rand.Rand, c Config, net nn.Config, in, ways, shots int) (Learner[T], Task[T]) {
	t.Helper()
	l, task := setup[T](t, r, c, net, in, ways, 0)
	task.Support, task.Query = classes[T](r, ways, shots, in), classes[T](r, ways, 3, in)
	return l, task
}

// checkClasses holds a gradient against finite differences, on three tasks.
func checkClasses(t *testing.T, c Config, net nn.Config, ways, shots int, gradient func(l Learner[float64], theta []float64, task *Task[float64], grad []float64)) float64 {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(ways), uint64(shots)))
	worst := 0.0
	for good, try := 0, 0; good < 3; try++ {
		if try == 200 {
			t.Fatalf("%+v: only %d of 200 points lie away from kinks", c, good)
		}
		l, task := classTask[float64](t, r, c, net, 2, ways, shots)
		theta, grad := start(r, l), make([]float64, l.NumParams())
		gradient(l, theta, &task, grad)
		if want, ok := differences(outerLoss(l, theta, &task), theta); ok {
			good++
			worst = max(worst, distance(grad, want))
		}
	}
	return worst
}

func exact(t *testing.T) func(l Learner[float64], theta []float64, task *Task[float64], grad []float64) {
	return func(l Learner[float64], theta []float64, task *Task[float64], grad []float64) {
		if _, err := l.Gradient(theta, task, grad); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProtonetMatchesFiniteDifferences(t *testing.T) {
	for _, net := range []nn.Config{reluNet, tanhNet, skipNet, normNet} {
		for _, ways := range []int{2, 5} {
			for _, shots := range []int{1, 3} {
				if d := checkClasses(t, Config{Name: "protonet"}, net, ways, shots, exact(t)); d > tolerance {
					t.Errorf("%s %v, %d ways, %d shots: relative error %.2g", net.Name, net.Hidden, ways, shots, d)
				}
			}
		}
	}
}

func TestRidgeOnClassesMatchesFiniteDifferences(t *testing.T) {
	for _, net := range []nn.Config{reluNet, tanhNet, linear, normNet} {
		for _, c := range []Config{
			{Name: "ridge", OuterLoss: "softmax", Scale: 2},
			{Name: "ridge", OuterLoss: "softmax", Precision: 1, Scale: 3, ZeroWeight: 0.5},
			{Name: "ridge", OuterLoss: "bce", Precision: 1, Scale: 2, ZeroWeight: 0.25},
		} {
			for _, shots := range []int{0, 1, 6} { // none, both forms
				if d := checkClasses(t, c, net, 3, shots, exact(t)); d > tolerance {
					t.Errorf("%+v on %s %v, %d shots: relative error %.2g", c, net.Name, net.Hidden, shots, d)
				}
			}
		}
	}
}

// The check must tell a wrong adjoint from the right one: each mutant's error is
// above the tolerance by orders.
func TestFiniteDifferencesCatchWrongAdjointsOfClasses(t *testing.T) {
	mutants := map[string]struct {
		c      Config
		mutate func(l Learner[float64], theta []float64, task *Task[float64], grad []float64)
	}{
		"protonet without the support's gradient": {Config{Name: "protonet"}, func(l Learner[float64], theta []float64, _ *Task[float64], grad []float64) {
			for i, x := range l.(*protonet[float64]).more {
				grad[i] -= x
			}
		}},
		"protonet with a head of its own": {Config{Name: "protonet"}, func(l Learner[float64], _ []float64, task *Task[float64], grad []float64) {
			p := l.(*protonet[float64])
			whole := make([]float64, p.size)
			p.queryGradient(p.adapted, &task.Query, whole)
			copy(grad[p.head.Lo:], whole[p.head.Lo:])
		}},
		"ridge without its scale's gradient": {Config{Name: "ridge", OuterLoss: "softmax"}, func(l Learner[float64], _ []float64, _ *Task[float64], grad []float64) {
			grad[len(grad)-2] = 0
		}},
		"ridge with its scale's gradient by scale, not by rho": {Config{Name: "ridge", OuterLoss: "softmax"}, func(l Learner[float64], _ []float64, _ *Task[float64], grad []float64) {
			grad[len(grad)-2] /= rhoUnit * l.(*ridge[float64]).adjust.scale
		}},
		"ridge without its bias's gradient": {Config{Name: "ridge", OuterLoss: "bce"}, func(_ Learner[float64], _ []float64, _ *Task[float64], grad []float64) {
			grad[len(grad)-1] = 0
		}},
	}
	for name, m := range mutants {
		d := checkClasses(t, m.c, tanhNet, 3, 2, func(l Learner[float64], theta []float64, task *Task[float64], grad []float64) {
			exact(t)(l, theta, task, grad)
			m.mutate(l, theta, task, grad)
		})
		if d < 1000*tolerance {
			t.Errorf("%s: relative error %.2g passes for right", name, d)
		}
	}
}

// Two classes on a line, by hand: with the identity for features, prototypes of
// (0+2)/2 = 1 and (1*3 + 3*7)/4 = 6, a query at 4 has squared distances of 9 and 4:
// probabilities 1/(1+e^5) and 1/(1+e^-5).
func TestProtonetByHand(t *testing.T) {
	l, task := setup[float64](t, rand.New(rand.NewPCG(1, 1)), Config{Name: "protonet"}, linear, 1, 2, 0)
	task.Support = Batch[float64]{4, []float64{0, 3, 2, 7}, []float64{1, 0, 0, 1, 1, 0, 0, 1}, []float64{1, 1, 1, 3}}
	task.Query = Batch[float64]{1, []float64{4}, []float64{1, 0}, []float64{1}}
	theta, grad := []float64{9, 9, 9, 9}, make([]float64, 4)
	loss, err := l.Gradient(theta, &task, grad)
	if err != nil {
		t.Fatal(err)
	}
	if want := math.Log(1 + math.Exp(5)); math.Abs(loss-want) > 1e-12 {
		t.Errorf("loss %v, by hand %v", loss, want)
	}
	for i, g := range grad {
		if g != 0 {
			t.Errorf("the head's element %d has gradient %v", i, g)
		}
	}
	p, err := l.Adapt(theta, &task.Support, -1)
	if err != nil {
		t.Fatal(err)
	}
	y := make([]float64, 2)
	p.Predict([]float64{4}, 1, y)
	if y[0]-16 != -9 || y[1]-16 != -4 { // the query's own square is left out
		t.Errorf("logits %v less 16, by hand -9 and -4", y)
	}
}

// Classes without a sample that counts, and targets that are no class, are named.
func TestG7_ProtonetNamesTheClassWithoutSamples(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 1))
	for want, spoil := range map[string]func(s, q *Batch[float32]){
		"no sample of class 2 of 3":                    func(s, _ *Batch[float32]) { s.N = 2 },
		"no sample of class 0 of 3":                    func(s, _ *Batch[float32]) { s.N = 0 },
		"no sample of class 1 of 3":                    func(s, _ *Batch[float32]) { s.W[1], s.W[4] = 0, 0 },
		"weight 1 is -1":                               func(s, _ *Batch[float32]) { s.W[1] = -1 },
		"targets of sample 1 are [1 1 0]":              func(s, _ *Batch[float32]) { s.Y[3] = 1 },
		"targets of sample 0 are [0.5 0 0]":            func(s, _ *Batch[float32]) { s.Y[0] = 0.5 },
		"targets of sample 0 are [0 0 0], expected a ": func(s, _ *Batch[float32]) { s.Y[0] = 0 },
		"is not finite":                                func(s, _ *Batch[float32]) { s.X[0] = float32(math.Inf(1)) },
		"the loss is NaN":                              func(_, q *Batch[float32]) { q.X[0] = float32(math.NaN()) },
	} {
		l, task := classTask[float32](t, r, Config{Name: "protonet"}, skipNet, 2, 3, 2)
		spoil(&task.Support, &task.Query)
		theta, grad := start(r, l), make([]float32, l.NumParams())
		_, err := l.Gradient(theta, &task, grad)
		if err == nil || !strings.Contains(err.Error(), want) && want != "is not finite" {
			t.Errorf("%v, want %q", err, want)
		}
		if strings.HasPrefix(want, "the loss") {
			continue
		}
		if _, err := l.Adapt(theta, &task.Support, -1); err == nil {
			t.Errorf("%s: adapts", want)
		}
	}
}

// With as many samples as it takes to be sure, ridge and protonet tell classes
// apart that are: errors over the query stay near zero.
func TestClassLearnersTellClassesApart(t *testing.T) {
	r := rand.New(rand.NewPCG(32, 1))
	for _, c := range []Config{{Name: "protonet"}, {Name: "ridge", OuterLoss: "softmax", Precision: 0.1}, {Name: "ridge", OuterLoss: "bce", Precision: 0.1}} {
		l, task := classTask[float32](t, r, c, linear, 4, 4, 5)
		for _, b := range []*Batch[float32]{&task.Support, &task.Query} {
			for i := range b.N { // class k lies about 10 on axis k
				b.X[i*4+i%4] += 10
			}
		}
		init := make([]float32, l.NumParams())
		l.Init(1, init)
		p, err := l.Adapt(init, &task.Support, -1)
		if err != nil {
			t.Fatal(err)
		}
		y := make([]float32, task.Query.N*4)
		p.Predict(task.Query.X, task.Query.N, y)
		if hits := nn.Correct(task.Query.N, 4, y, task.Query.Y); hits != task.Query.N {
			t.Errorf("%s %s: %d of %d right", c.Name, c.OuterLoss, hits, task.Query.N)
		}
		if c.OuterLoss != "bce" {
			continue
		}
		for i, v := range y { // and a score's sign says whether it is the class
			if (v > 0) != (task.Query.Y[i] == 1) {
				t.Errorf("bce: logit %d is %v for target %v", i, v, task.Query.Y[i])
			}
		}
	}
}

func TestClassLearnersAllocateNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(33, 1))
	for _, c := range []Config{{Name: "protonet"}, {Name: "ridge", OuterLoss: "softmax", ZeroWeight: 1}, {Name: "ridge", OuterLoss: "bce"}} {
		l, large := classTask[float32](t, r, c, normNet, 2, 5, 10)
		_, small := classTask[float32](t, r, c, normNet, 2, 5, 1)
		theta, grad := start(r, l), make([]float32, l.NumParams())
		run := func() {
			for _, task := range []*Task[float32]{&large, &small} {
				if _, err := l.Gradient(theta, task, grad); err != nil {
					t.Fatal(err)
				}
			}
		}
		run()
		if n := testing.AllocsPerRun(5, run); n != 0 {
			t.Errorf("%+v: %v allocations in the steady state", c, n)
		}
	}
}

func TestAdaptIsWhatTheLossIsOfOnClasses(t *testing.T) {
	r := rand.New(rand.NewPCG(34, 1))
	for _, c := range []Config{{Name: "protonet"}, {Name: "ridge", OuterLoss: "softmax"}, {Name: "ridge", OuterLoss: "bce"}} {
		l, task := classTask[float32](t, r, c, normNet, 2, 3, 2)
		theta, grad := start(r, l), make([]float32, l.NumParams())
		loss, err := l.Gradient(theta, &task, grad)
		if err != nil {
			t.Fatal(err)
		}
		p, err := l.Adapt(theta, &task.Support, -1)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Loss(&task.Query); got != loss {
			t.Errorf("%s %s: the adapted model's loss is %v, Gradient's %v", c.Name, c.OuterLoss, got, loss)
		}
	}
}

// softmax can't see ridge's bias: no noise of rounding may reach an optimizer that
// makes full steps of it.
func TestRidgeSoftmaxLeavesItsBias(t *testing.T) {
	r := rand.New(rand.NewPCG(35, 1))
	l, task := classTask[float32](t, r, Config{Name: "ridge", OuterLoss: "softmax", ZeroWeight: 1}, reluNet, 2, 3, 4)
	theta, grad := start(r, l), make([]float32, l.NumParams())
	if _, err := l.Gradient(theta, &task, grad); err != nil || grad[len(grad)-1] != 0 {
		t.Errorf("gradient for the bias %v (%v)", grad[len(grad)-1], err)
	}
}
