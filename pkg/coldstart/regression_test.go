package coldstart

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

func sinusoidConfig() metatrain.ModelConfig {
	return metatrain.ModelConfig{
		Contract: metatrain.Contract,
		Family:   metatrain.Section{Name: "sinusoid"},
		Model:    metatrain.Section{Name: "mlp", Options: json.RawMessage(`{"hidden":[20]}`)},
		Learner:  metatrain.Section{Name: "maml", Options: json.RawMessage(`{"steps":1,"rate":0.01}`)},
		Inner:    metatrain.LossSpec{Loss: "mse", Delta: 1},
		Outer:    metatrain.LossSpec{Loss: "mse", Delta: 1},
	}
}

// family is that of the base model.
func family(t *testing.T, b *Base) taskshards.Family {
	t.Helper()
	f, err := taskshards.New(b.Family, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The table of the sinusoid holds every method on the same tasks; the model is not trained, so that more steps are less error.
func TestRegressionTable(t *testing.T) {
	b := testBase(t, sinusoidConfig())
	f := family(t, b)
	table, err := EvaluateRegression(b, f, TaskOptions{Seed: 1, Tasks: 50, Shots: []int{10}, Steps: []int{0, 1, 10}, Comparators: 20})
	if err != nil {
		t.Fatal(err)
	}
	var methods []string
	rows := map[string]RegressionRow{}
	for _, r := range table.Rows {
		methods = append(methods, r.Method)
		rows[r.Method] = r
		if !(r.MSECI[0] < r.MSE && r.MSE < r.MSECI[1] && r.MSECI[0] >= 0) || !(r.Median > 0) || !slices.Equal(r.Shots, []int{10}) || (r.Loss == nil) != (r.Method == "mean") ||
			r.Tasks != map[bool]int{true: 50, false: 20}[r.Method == "adapted"] {
			t.Errorf("got %+v", r)
		}
	}
	if want := "mean pooled scratch finetuned nearest adapted adapted adapted"; strings.Join(methods, " ") != want {
		t.Fatalf("got %v, want %s", methods, want)
	}
	if !(table.Rows[7].MSE < table.Rows[5].MSE) || *table.Rows[6].Steps != 1 || rows["mean"].Steps != nil {
		t.Errorf("got %+v, want less error after ten steps than before", table.Rows[5:])
	}
	if !(rows["scratch"].MSE < rows["mean"].MSE) || !(rows["nearest"].MSE < rows["scratch"].MSE) {
		t.Errorf("got %g from the nearest task, %g from scratch and %g by the mean, want them in this order", rows["nearest"].MSE, rows["scratch"].MSE, rows["mean"].MSE)
	}
	if d := *rows["scratch"].Loss - rows["scratch"].MSE; math.Abs(d) > 1e-4*rows["scratch"].MSE {
		t.Errorf("the loss of scratch is %g and its squared error %g, want the same of outer loss mse", *rows["scratch"].Loss, rows["scratch"].MSE)
	}
	var text strings.Builder
	if err := table.Write(&text); err != nil || !strings.Contains(text.String(), "median") || !strings.Contains(text.String(), "nearest takes") {
		t.Errorf("got %q, error %v", text.String(), err)
	}
	data, err := json.Marshal(table)
	for _, field := range []string{`"method":"adapted"`, `"shots":[10]`, `"steps":10`, `"mse":`, `"mse_ci":[`, `"median":`, `"loss":null`, `"tasks":50`} {
		if err != nil || !strings.Contains(string(data), field) {
			t.Errorf("%s, %v: want %s", data, err, field)
		}
	}
	c := sinusoidConfig()
	c.Learner = metatrain.Section{Name: "ridge", Options: json.RawMessage(`{"precision":10}`)}
	closed, err := EvaluateRegression(testBase(t, c), f, TaskOptions{Tasks: 5, Steps: []int{0, 1, 10}, Comparators: -1})
	if err != nil || len(closed.Rows) != 1 || closed.Rows[0].Steps != nil {
		t.Errorf("got %+v, error %v, want one row without steps of a learner that takes none", closed.Rows, err)
	}
	untuned, err := EvaluateRegression(b, f, TaskOptions{Tasks: 3, Untuned: true})
	if err != nil || len(untuned.Rows) != 3 || untuned.Rows[0].Method != "mean" || untuned.Rows[1].Method != "pooled" {
		t.Errorf("untuned: got %+v, %v", untuned, err)
	}
	if _, err := EvaluateRegression(b, f, TaskOptions{Tasks: -1}); err == nil || !strings.Contains(err.Error(), "tasks") {
		t.Errorf("-1 tasks: got %v", err)
	}
}

// A model that adapting leads out of bounds has an error that is a number, and so has its interval.
func TestDivergedTasksAreScored(t *testing.T) {
	c := sinusoidConfig()
	c.Learner.Options = json.RawMessage(`{"steps":1,"rate":100}`)
	b := testBase(t, c)
	table, err := EvaluateRegression(b, family(t, b), TaskOptions{Tasks: 4, Steps: []int{50}, Comparators: -1})
	if err != nil {
		t.Fatal(err)
	}
	if r := table.Rows[0]; r.MSE != diverged || *r.Loss != diverged || r.MSECI[1] != diverged {
		t.Errorf("got %+v, want %g", r, diverged)
	}
}

// Tasks without a sample are scored by what there is before any: nothing is fitted to nothing.
func TestTasksWithoutSupportAreScored(t *testing.T) {
	c := sinusoidConfig()
	c.Family.Options = json.RawMessage(`{"shots":[0]}`)
	b := testBase(t, c)
	table, err := EvaluateRegression(b, family(t, b), TaskOptions{Tasks: 3, Shots: []int{0}})
	if err != nil || len(table.Rows) != 6 {
		t.Errorf("got %+v, %v", table.Rows, err)
	}
}

func TestRegressionByHand(t *testing.T) {
	task := taskshards.Task{Support: taskshards.Batch{N: 2, Y: []float32{1, 10, 3, 30}}, Query: taskshards.Batch{N: 3}}
	y := make([]float32, 6)
	if meanTarget(&task, central{}, y); !slices.Equal(y, []float32{2, 20, 2, 20, 2, 20}) {
		t.Errorf("got %v, want the mean of each target", y)
	}
	quantiles := make([]float32, 18)
	if meanTarget(&task, central{per: 3, at: 1}, quantiles); !slices.Equal(quantiles[:6], []float32{2, 2, 2, 20, 20, 20}) {
		t.Errorf("got %v, want the mean of each target in place of its three quantiles", quantiles)
	}
	task.Support.N = 0
	if meanTarget(&task, central{}, y); !slices.Equal(y, make([]float32, 6)) {
		t.Errorf("got %v of no support, want zeros", y)
	}
	if got := squaredError([]float32{1, 2}, []float32{3, 2}); got != 2 {
		t.Errorf("got %g, want the mean of 4 and 0", got)
	}
	if got := median([]float64{5, 1, 3, 2}); got != 2.5 {
		t.Errorf("got median %g of 1 2 3 5, want 2.5", got)
	}
}

// The forecast of several quantiles that is scored is the one nearest the median.
func TestRegressionTableOfQuantiles(t *testing.T) {
	c := sinusoidConfig()
	c.Inner = metatrain.LossSpec{Loss: "pinball", Delta: 0.1}
	c.Outer = metatrain.LossSpec{Loss: "pinball", Quantiles: []float64{0.1, 0.5, 0.9}}
	b := testBase(t, c)
	table, err := EvaluateRegression(b, family(t, b), TaskOptions{Tasks: 20})
	if err != nil {
		t.Fatal(err)
	}
	floor, scratch := table.Rows[0], table.Rows[2]
	if !(floor.MSE > 1 && floor.MSE < 10) || !(scratch.Median < floor.Median) || *scratch.Loss == scratch.MSE {
		t.Errorf("got %+v and %+v, want squared errors of sine waves, the median less from scratch", floor, scratch)
	}
}

// Of training tasks the one whose network loses least on the support is nearest. While training tasks are scored, one that
// has a sample of the task is not: it may be the very same.
func TestNearestTaskByHand(t *testing.T) {
	b := testBase(t, sinusoidConfig())
	w, err := newWorkshop(b)
	if err != nil {
		t.Fatal(err)
	}
	task := taskshards.Task{
		Support: taskshards.Batch{N: 1, X: []float32{1}, Y: []float32{2}, W: []float32{1}},
		Query:   taskshards.Batch{N: 3, X: []float32{2, 3, 4}, Y: []float32{5, 6, 7}, W: []float32{0.5, 0.5, 0}},
	}
	all := joined(&task)
	if all.N != 4 || !slices.Equal(all.X, []float32{1, 2, 3, 4}) || !slices.Equal(all.Y, []float32{2, 5, 6, 7}) || !slices.Equal(all.W, []float32{0.25, 0.375, 0.375, 0}) {
		t.Errorf("got %+v", all)
	}
	constant := func(v float32) *learner.Predictor[float32] { // a network of one output, whatever the input
		theta := make([]float32, b.Model.NumParams())
		theta[len(theta)-1] = v
		p, err := w.still(theta)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	elsewhere := learner.Batch[float32]{N: 1, X: []float32{9}, Y: []float32{9}, W: []float32{1}}
	same, far, like := constant(2), constant(-5), constant(3)
	near := []neighbourTask{{elsewhere, far}, {elsewhere, like}, {all, same}}
	if p := closestTask(near, &task, taskshards.Test); p != same {
		t.Error("want the network that loses nothing")
	}
	if p := closestTask(near, &task, taskshards.Train); p != like {
		t.Error("in training, want the nearest of those without a sample of the task")
	}
	task.Support.N = 0
	if p := closestTask(near, &task, taskshards.Test); p != nil {
		t.Error("without a support, want none")
	}
	a := learner.Batch[float32]{N: 2, X: []float32{1, 2, 3, 4}, Y: []float32{0, 1}}
	for _, c := range []struct {
		x    []float32
		y    float32
		want bool
	}{{[]float32{3, 4}, 1, true}, {[]float32{3, 4}, 0, false}, {[]float32{2, 3}, 1, false}} {
		if got := overlap(&a, &learner.Batch[float32]{N: 1, X: c.x, Y: []float32{c.y}}); got != c.want {
			t.Errorf("%+v: overlap %v", c, got)
		}
	}
}
