package coldstart

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// sides are tasks of three classes on a line whose places differ by task: the first feature tells, the second does not.
func sides(tb testing.TB) taskshards.Family {
	tb.Helper()
	s := &taskshards.ArraySet{In: []int{2}, Out: 3, Classes: true}
	for k := range 30 {
		name := fmt.Sprintf("t%02d", k)
		t := taskshards.ArrayTask{Name: name, Group: name, Split: taskshards.Undivided, Support: 6}
		st := taskshards.NewStream(uint64(k), "sides", 0, 0)
		shift := st.Intn(3)
		for i := range 36 {
			class := i % 3
			t.X = append(t.X, float32((class+shift)%3-1)+float32(0.1*st.Normal()), float32(st.Normal()))
			t.Y = append(t.Y, float32(class))
		}
		s.Tasks = append(s.Tasks, t)
	}
	c, _ := taskshards.Default("arrays")
	f, err := taskshards.New(c, &taskshards.DataSet{Arrays: s})
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func classConfig() metatrain.ModelConfig {
	return metatrain.ModelConfig{
		Contract: metatrain.Contract,
		Family:   metatrain.Section{Name: "arrays"},
		Model:    metatrain.Section{Name: "mlp", Options: json.RawMessage(`{"hidden":[16]}`)},
		Learner:  metatrain.Section{Name: "maml", Options: json.RawMessage(`{"steps":2,"rate":0.5}`)},
		Inner:    metatrain.LossSpec{Loss: "softmax", Delta: 1},
		Outer:    metatrain.LossSpec{Loss: "softmax", Delta: 1},
		Shape:    metatrain.Shape{In: []int{2}, Out: 3, Classes: true},
	}
}

// The table of classes holds every method on the same tasks, and knows what each is.
func TestClassTable(t *testing.T) {
	b, f := testBase(t, classConfig()), sides(t)
	table, err := EvaluateClasses(b, f, TaskOptions{Tasks: 40, Steps: []int{0, 20}, Comparators: 10})
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]ClassRow{}
	for _, r := range table.Rows {
		rows[r.Method] = r // the last of each
	}
	if len(table.Rows) != 7 || rows["adapted"].Tasks != 40 || rows["pooled"].Tasks != 10 || *rows["adapted"].Steps != 20 || rows["pooled"].Steps != nil {
		t.Errorf("got %+v", table.Rows)
	}
	before, after := table.Rows[5], table.Rows[6]
	if !(after.Accuracy > before.Accuracy+20) || !(*after.Loss < *before.Loss) {
		t.Errorf("got %+v after no step and %+v after 20, want more told right", before, after)
	}
	if n := rows["nearest_sample"]; n.Loss != nil || !(n.Accuracy > 60 && n.Accuracy < 100) {
		t.Errorf("got %+v, want most told right by the nearest sample, whose second feature misleads", n)
	}
	if s := rows["scratch"]; !(s.Accuracy > 60) || *s.Steps < 1 {
		t.Errorf("got %+v, want a network trained on each support", s)
	}
	if n := rows["nearest"]; !(n.Accuracy > rows["scratch"].Accuracy+5) {
		t.Errorf("got %+v, want more told right than from scratch: other tasks have the classes at the same places", n)
	}
	var text strings.Builder
	if err := table.Write(&text); err != nil || !strings.Contains(text.String(), "accuracy %") || !strings.Contains(text.String(), "chance 33.3") {
		t.Errorf("got %q, %v", text.String(), err)
	}
	untuned, err := EvaluateClasses(b, f, TaskOptions{Tasks: 3, Comparators: 3, Untuned: true})
	if err != nil || len(untuned.Rows) != 3 || !strings.Contains(strings.Join(untuned.Notes, " "), "left out") {
		t.Errorf("untuned: got %+v, %v", untuned, err)
	}
	if none, err := EvaluateClasses(b, f, TaskOptions{Tasks: 3, Comparators: -1}); err != nil || len(none.Rows) != 1 {
		t.Errorf("without comparators: got %+v, %v", none, err)
	}
}

func TestAccuracyByHand(t *testing.T) {
	y := []float32{1, 2, 3, 3, 3, 0, -1, -2, -3}
	target := []float32{0, 0, 1, 0, 1, 0, 1, 0, 0}
	if got := Accuracy(y, target, 3); math.Abs(got-2.0/3) > 1e-12 {
		t.Errorf("got %g, want two of three: of equal scores the first counts", got)
	}
	mean, ci := errorBars([]float64{0, 100, 50, 50}, 100)
	if wide := 1.96 * math.Sqrt(5000.0/3/4); mean != 50 || math.Abs(ci[1]-50-wide) > 1e-5 || math.Abs(ci[0]-50+wide) > 1e-5 {
		t.Errorf("got %g, %v, want 50 within %g", mean, ci, wide)
	}
}

// A published model of any family loads by the shape in its configuration; old ones, which have none, by their family.
func TestModelsLoadByTheirShape(t *testing.T) {
	for name, c := range map[string]metatrain.ModelConfig{
		"arrays": classConfig(), "load": loadConfig(),
		"own": func() metatrain.ModelConfig {
			c := classConfig()
			c.Family = metatrain.Section{Name: "own-family", Options: json.RawMessage(`{"anything":1}`)}
			return c
		}(),
		"images": func() metatrain.ModelConfig {
			c := classConfig()
			c.Family = metatrain.Section{Name: "omniglot"}
			c.Model = metatrain.Section{Name: "conv4", Options: json.RawMessage(`{"filters":4}`)}
			c.Shape = metatrain.Shape{In: []int{16, 16, 1}, Out: 5, Classes: true}
			return c
		}(),
	} {
		b := testBase(t, c)
		own, err := learner.New[float32](b.Learner, b.Model)
		if err != nil {
			t.Fatal(err)
		}
		var tensors []checkpoint.Tensor
		for _, p := range own.Params() {
			tensors = append(tensors, checkpoint.Tensor{Name: p.Name, Shape: p.Shape, F32: b.Theta[p.Offset : p.Offset+p.Size()]})
		}
		model, err := checkpoint.EncodeTensors(map[string]string{"contract": metatrain.Contract}, tensors)
		if err != nil {
			t.Fatal(err)
		}
		config, _ := json.Marshal(c)
		if name == "load" && strings.Contains(string(config), "shape") {
			t.Errorf("the configuration of a load model has a shape: %s", config)
		}
		back, err := Load(func(file string) ([]byte, error) {
			switch file {
			case checkpoint.ConfigFile:
				return config, nil
			case checkpoint.ModelFile:
				return model, nil
			}
			return nil, checkpoint.ErrNotFound
		})
		if err != nil || back.Model.NumParams() != b.Model.NumParams() {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := classConfig()
	c.Shape = metatrain.Shape{}
	if _, err := build(c); err == nil || !strings.Contains(err.Error(), "shape: found none for family arrays") {
		t.Errorf("without a shape: got %v", err)
	}
}

// Of the outputs for three quantiles the one nearest the median forecasts.
func TestCentralQuantileForecasts(t *testing.T) {
	m := centralOf(learner.Config{OuterLoss: "pinball", Quantiles: []float32{0.1, 0.4, 0.9}})
	if got := m.pick([]float32{1, 2, 3, 4, 5, 6}); len(got) != 2 || got[0] != 2 || got[1] != 5 {
		t.Errorf("got %v, want 2 and 5", got)
	}
	c := loadConfig()
	c.Learner = metatrain.Section{Name: "maml", Options: json.RawMessage(`{"rate":0.001}`)}
	c.Inner = metatrain.LossSpec{Loss: "pinball", Delta: 0.1}
	c.Outer = metatrain.LossSpec{Loss: "pinball", Quantiles: []float64{0.1, 0.5, 0.9}}
	b := testBase(t, c)
	if b.Model.Out() != 3 {
		t.Fatalf("got %d outputs, want 3", b.Model.Out())
	}
	table := mustEvaluate(t, b, fleet(3), Options{Shots: []int{0, 5}})
	if r := rowOf(t, table, "adapted", 5); !(r.MASE > 0 && r.MASE < 100) {
		t.Errorf("got %+v", r)
	}
	if _, err := Adapt(b, fleet(1)[0], AdaptOptions{Shots: 5}); err != nil {
		t.Error(err)
	}
}
