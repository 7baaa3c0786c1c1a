package gorgoniaengine

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// TestLearnerAgreesWithLane: gradients, adapted parameters and predictions, on tasks
// of changing sizes, in first and second order and with nothing to adapt on.
func TestLearnerAgreesWithLane(t *testing.T) {
	m, err := nn.Build(nn.Config{Name: "mlp", Hidden: []int{8}, Activation: "tanh"}, nn.Flat(2, 3))
	if err != nil {
		t.Fatal(err)
	}
	net, err := Of(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"maml", "fomaml", "pooled"} {
		c := learner.Config{Name: name, Steps: 2, Rate: 0.0625, InnerLoss: "mse", OuterLoss: "softmax"}
		lane, err := learner.New[float32](c, m)
		if err != nil {
			t.Fatal(err)
		}
		l, err := NewLearner(c, net, m.Params(), m.Init)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(7, 8))
		theta, got, want := make([]float32, m.NumParams()), make([]float32, m.NumParams()), make([]float32, m.NumParams())
		l.Init(3, theta)
		for i := range 30 {
			task := learner.Task[float32]{Support: batch[float32](r, i%11, 2, 3), Query: batch[float32](r, 1+i%9, 2, 3)}
			a, err := lane.Gradient(theta, &task, want)
			if err != nil {
				t.Fatal(err)
			}
			b, err := l.Gradient(theta, &task, got)
			if err != nil {
				t.Fatal(err)
			}
			if d := distance(got, want); d > 1e-4 || a-b > 1e-4 || b-a > 1e-4 {
				t.Errorf("%s, task %d: loss %v, lane's %v, gradients differ by %.2g", name, i, b, a, d)
			}
			x, err := lane.Adapt(theta, &task.Support, 3)
			if err != nil {
				t.Fatal(err)
			}
			y, err := l.Adapt(theta, &task.Support, 3)
			if err != nil {
				t.Fatal(err)
			}
			if d := distance(y.Theta(), x.Theta()); d > 1e-5 {
				t.Errorf("%s, task %d: adapted parameters differ by %.2g", name, i, d)
			}
			if d := x.Loss(&task.Query) - y.Loss(&task.Query); d > 1e-4 || d < -1e-4 {
				t.Errorf("%s, task %d: losses of the adapted model differ by %v", name, i, d)
			}
		}
		if n := len(l.gradient.by) + len(l.step.by) + len(l.forward.by); n > 3*keepGraphs {
			t.Errorf("%d graphs kept, expected at most %d of a kind", n, keepGraphs)
		}
	}
}

func TestG7_LearnerNamesWhatItHasNot(t *testing.T) {
	net := opNet(ops["tanh"])
	for want, c := range map[string]learner.Config{
		`found "ridge"`:    {Name: "ridge"},
		"learn_rates: set": {Name: "maml", LearnRates: true},
		`"huber"`:          {Name: "maml", InnerLoss: "huber"},
		"use engine lane":  {Name: "maml", Clip: 4},
	} {
		if _, err := NewLearner(c, net, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
	// Whatever option learner.Config has or comes to have is read or refused: no field is passed over.
	read := []string{"Name", "Steps", "Rate", "InnerLoss", "OuterLoss", "HuberDelta", "InnerDelta"}
	for field := range reflect.TypeFor[learner.Config]().Fields() {
		if slices.Contains(read, field.Name) {
			continue
		}
		c := learner.Config{Name: "maml"}
		switch v := reflect.ValueOf(&c).Elem().FieldByIndex(field.Index); v.Kind() {
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Float32:
			v.SetFloat(0.5)
		case reflect.Int, reflect.Int64:
			v.SetInt(1)
		case reflect.String:
			v.SetString("parameter")
		case reflect.Slice:
			v.Set(reflect.ValueOf([]float32{1}))
		default:
			t.Fatalf("%s is of a kind that this test does not set", field.Name)
		}
		if _, err := NewLearner(c, net, nil, nil); err == nil || !strings.Contains(err.Error(), "use engine lane") {
			t.Errorf("%s set: %v, expected to be refused", field.Name, err)
		}
	}
	if _, err := NewLearner(learner.Config{Name: "maml", Rates: learner.ScalarRate, StepWeights: []float32{}}, net, nil, nil); err != nil {
		t.Errorf("what is the default said aloud: %v", err)
	}
	if _, err := NewLearner(learner.Config{Name: "maml"}, Net{}, nil, nil); err == nil || !strings.Contains(err.Error(), "0 tensors") {
		t.Errorf("an empty net: %v", err)
	}
}

func TestTensorsStartAsTheySay(t *testing.T) {
	net := opNet(ops["tanh"])
	net.Tensors[0].Fan, net.Tensors[1].Start = 4, 1
	l, err := NewLearner(learner.Config{Name: "maml"}, net, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	theta, again := make([]float32, l.NumParams()), make([]float32, l.NumParams())
	l.Init(1, theta)
	l.Init(2, again)
	same := 0
	for i := range 12 {
		if theta[i] < -0.5 || theta[i] > 0.5 {
			t.Errorf("element %d is %v, expected +-1/sqrt(4)", i, theta[i])
		}
		if theta[i] == again[i] {
			same++
		}
	}
	if same > 0 || theta[12] != 1 || theta[16] != 0 {
		t.Errorf("%d elements alike under two seeds; start values %v, %v", same, theta[12], theta[16])
	}
}
