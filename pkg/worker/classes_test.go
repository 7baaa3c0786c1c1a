package worker

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/coldstart"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// trained is an engine and its parameters after a few hundred steps of Adam, in one process.
func trained(t *testing.T, ds *taskshards.DataSet, text string, steps int, sets ...string) (*engine, []float32) {
	t.Helper()
	spec, _ := read(t, text, sets...)
	e, err := newEngine(spec, BuiltinKinds(), ds)
	if err != nil {
		t.Fatal(err)
	}
	theta := make([]float32, e.params)
	e.tracks[0].Init(1, theta)
	adam := metatrain.NewOptimizer(e.spec.Optimizer, e.params)
	for step := range int64(steps) {
		j := e.must(t, &job{theta: theta, lease: metatrain.Lease{Tasks: 4, Work: metatrain.Work{Kind: metatrain.Train, Step: step, Node: metatrain.Node{Level: 2}}}})
		grad, err := metatrain.DecodeFloats(j.payload, e.params)
		if err != nil {
			t.Fatal(err)
		}
		for i := range grad {
			grad[i] /= 4
		}
		adam.Step(theta, grad, step, int64(steps))
	}
	return e, theta
}

const blots = omniglot + `
model: {name: mlp, hidden: [32], norm: none}
optimizer: {rate: 0.003}
evaluation: {tasks: 200, steps: [0, 1, 3]}
validation: {tasks: 64}
`

// Classification, end to end: the share of right classes of characters never seen rises well above chance, by a table whose
// JSON is as documented; validation by error falls as it does.
func TestClassificationTrains(t *testing.T) {
	ds := dots(t, 40)
	for _, c := range []struct {
		learner string
		least   float64
		rows    int // of the adapted model: one where no inner steps are taken
	}{{"{name: maml, steps: 1, rate: 0.4}", 50, 3}, {"{name: protonet}", 50, 1}, {"{name: ridge, precision: 1}", 50, 1}} {
		sets := []string{"learner=" + c.learner}
		e, theta := trained(t, ds, blots, 150, sets...)
		j := &job{theta: theta, lease: metatrain.Lease{Tasks: 1, Work: metatrain.Work{Kind: metatrain.Evaluate}}}
		e.must(t, j)
		var table coldstart.ClassTable
		if err := json.Unmarshal(j.payload, &table); err != nil {
			t.Fatal(err)
		}
		last := table.Rows[len(table.Rows)-1]
		if n := len(slices.DeleteFunc(slices.Clone(table.Rows), func(r coldstart.ClassRow) bool { return r.Method != "adapted" })); n != c.rows {
			t.Errorf("%s: got %d rows of the adapted model, want %d", c.learner, n, c.rows)
		}
		t.Logf("%s: %+v", c.learner, last)
		if last.Method != "adapted" || (last.Steps == nil) != (c.rows == 1) || c.rows > 1 && *last.Steps != 3 || last.Tasks != 200 || !(last.Accuracy > c.least) ||
			!(last.AccuracyCI[0] < last.Accuracy && last.Accuracy < last.AccuracyCI[1]) {
			t.Errorf("%s: got %+v, want over %g %% where chance is 20", c.learner, last, c.least)
		}
		if slices.ContainsFunc(table.Rows, func(r coldstart.ClassRow) bool { return r.Method == "nearest" }) {
			t.Errorf("%s: found a row nearest, expected none where each task numbers its classes anew", c.learner)
		}
		if first := table.Rows[0]; first.Method != "nearest_sample" || first.Loss != nil || first.Steps != nil {
			t.Errorf("got %+v, want the nearest sample first", first)
		}
		v := e.must(t, &job{theta: theta, lease: metatrain.Lease{Tasks: 64, Work: metatrain.Work{Kind: metatrain.Validate, Node: metatrain.Node{Level: 6}}}})
		if wrong := v.result.Metrics[0] / 64; !(wrong > 0 && wrong < 0.5) {
			t.Errorf("%s: validation finds %.3f of the classes wrong", c.learner, wrong)
		}
	}
}

func TestG7_LossesThatDoNotSuitAreNamed(t *testing.T) {
	for text, want := range map[string][]string{
		"outer: {loss: softmax}\nlearner: protonet":        {"softmax", "regression targets", "load"},
		"inner: {loss: softmax}\nlearner: maml":            {"inner.loss", "regression targets"},
		"learner: protonet":                                {"learner", "protonet", "family load", "regression targets", "ridge"},
		omniglot + "learner: protonet\nouter: {loss: bce}": {"outer.loss", "bce", "expected softmax"},
		"validation: {loss: error}":                        {"validation.loss", "wrong classes"},
		"outer: {loss: pinball, quantiles: [0.9, 0.1]}\ninner: {loss: pinball}\nlearner: maml":                   {"quantiles"},
		"outer: {loss: pinball, quantiles: [0.1, 0.9]}\ninner: {loss: pinball, quantiles: [0.5]}\nlearner: maml": {"inner.quantiles", "outer.quantiles"},
		"outer: {loss: pinball, quantiles: [0.1, 1.5]}\nlearner: maml":                                           {"outer.quantiles[1]", "1.5"},
		omniglot + "inner: {loss: pinball}\nouter: {loss: pinball, quantiles: [0.5]}":                            {"pinball", "omniglot has classes"},
		omniglot + "outer: {class_weights: [1, 2]}":                                                              {"class_weights", "found 2", "5 targets"},
		omniglot + "inner: {loss: abs}":                                                                          {"abs", "curvature"},
		omniglot + "outer: {loss: sofmax}":                                                                       {"outer.loss", `"softmax"`},
	} {
		err := check(t, text)
		if err == nil {
			t.Errorf("%q: taken", text)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: error %q does not name %q", text, err, w)
			}
		}
	}
}

// Quantiles of a load: the model has an output for each, the table scores the median.
func TestLoadForecastsQuantiles(t *testing.T) {
	spec, _ := read(t, "family: load\nlearner: {name: maml, rate: 0.001}\ninner: {loss: pinball, delta: 0.1}\nouter: {loss: pinball, quantiles: [0.1, 0.5, 0.9]}\nevaluation: {shots: [0, 5]}\n")
	e, err := newEngine(spec, BuiltinKinds(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if e.model.Out() != 3 {
		t.Fatalf("the model has %d outputs, want 3", e.model.Out())
	}
	if j := e.must(t, e.job(t, metatrain.Train, 4, metatrain.Node{Level: 2})); j.result.Tasks != 4 {
		t.Errorf("got %+v", j.result)
	}
}
