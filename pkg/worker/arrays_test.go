package worker

import (
	"fmt"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// rows are tasks of the user's own: three features, and a label of four or a number to predict.
func rows(classes bool) *taskshards.DataSet {
	s := &taskshards.ArraySet{In: []int{3}, Out: 1}
	if classes {
		s.Out, s.Classes = 4, true
	}
	for k := range 12 {
		name := fmt.Sprintf("t%02d", k)
		t := taskshards.ArrayTask{Name: name, Group: name, Split: taskshards.Undivided, Support: 4}
		st := taskshards.NewStream(uint64(k), "rows", 0, 0)
		for i := range 12 {
			t.X = append(t.X, float32(st.Normal()), float32(st.Normal()), float32(st.Normal()))
			t.Y = append(t.Y, float32(i%4))
		}
		s.Tasks = append(s.Tasks, t)
	}
	return &taskshards.DataSet{Arrays: s}
}

// A spec that names no loss trains classes by cross-entropy and numbers by squared error, and says so once it is complete.
func TestLossesFollowTheTargets(t *testing.T) {
	for text, want := range map[string][4]string{ // inner and outer of classes, then of numbers
		"family: arrays":                                     {"softmax", "softmax", "mse", "mse"},
		"family: arrays\nlearner: ridge":                     {"softmax", "softmax", "mse", "mse"},
		"family: arrays\nouter: {loss: bce}":                 {"softmax", "bce"},
		"family: arrays\ninner: {loss: mse}":                 {"mse", "softmax", "mse", "mse"},
		"family: arrays\nlearner: protonet":                  {"softmax", "softmax"},
		"family: arrays\nouter: {loss: huber, delta: 2}":     {"", "", "mse", "huber"},
		"family: arrays\nlearner: ridge\nouter: {loss: abs}": {"", "", "mse", "abs"},
	} {
		spec, _ := read(t, text)
		for i, classes := range []bool{true, false} {
			if want[2*i] == "" {
				continue
			}
			full, err := BuiltinKinds().Complete(spec, rows(classes))
			if err != nil || full.Inner.Loss != want[2*i] || full.Outer.Loss != want[2*i+1] {
				t.Errorf("%q, classes %v: found %q inside and %q outside, %v; expected %v", text, classes, full.Inner.Loss, full.Outer.Loss, err, want[2*i:2*i+2])
			}
		}
	}
	spec, _ := read(t, "family: load") // whose digest is that of specs from when mse was filled in at once
	if full, err := BuiltinKinds().Complete(spec, nil); err != nil || full.Inner.Loss != "mse" {
		t.Errorf("load: found %+v, %v", full.Inner, err)
	}
}

// Integers are labels until the spec names losses of numbers alone.
func TestNamedLossesSayWhatIntegersAre(t *testing.T) {
	for text, numbers := range map[string]bool{
		"family: arrays":                                         false,
		"family: arrays\ninner: {loss: mse}":                     true,
		"family: arrays\nouter: {loss: abs}":                     true,
		"family: arrays\ninner: {loss: mse}\nouter: {loss: bce}": false,
		"family: arrays\nlearner: protonet":                      false,
		"family: {name: arrays, classes: 7}\nouter: {loss: mse}": false,
	} {
		spec, _ := read(t, text)
		if c, err := DataConfig(spec); err != nil || c.Numbers != numbers {
			t.Errorf("%q: found numbers %v, %v; expected %v", text, c.Numbers, err, numbers)
		}
	}
}
