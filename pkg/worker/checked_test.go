package worker

import (
	"math"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// foreign is a family of somebody else's, which spoil breaks.
type foreign struct{ spoil func(*taskshards.Task) }

func (foreign) Shape() taskshards.Shape {
	return taskshards.Shape{In: []int{2}, Out: 3, Classes: true}
}

func (f foreign) Sample(_ taskshards.Split, _, _, _ uint64, into *taskshards.Task) error {
	for _, b := range []*taskshards.Batch{&into.Support, &into.Query} {
		b.Resize(2, 2, 3)
		copy(b.X, []float32{1, 2, 3, 4})
		copy(b.Y, []float32{0, 1, 0, 1, 0, 0})
		copy(b.W, []float32{0.5, 0.5})
	}
	f.spoil(into)
	return nil
}

// A task of a family of one's own is checked, and the error says which and where.
func TestG7_TasksOfOwnFamiliesAreChecked(t *testing.T) {
	for want, spoil := range map[string]func(*taskshards.Task){
		"":                                      func(*taskshards.Task) {},
		"support: x of sample 1: found NaN":     func(t *taskshards.Task) { t.Support.X[2] = float32(math.NaN()) },
		"query: w of sample 0: found +Inf":      func(t *taskshards.Task) { t.Query.W[0] = float32(math.Inf(1)) },
		"query: w of sample 1: found -1":        func(t *taskshards.Task) { t.Query.W[1] = -1 },
		"query: y of sample 1: found [1 1 0]":   func(t *taskshards.Task) { t.Query.Y[4] = 1 },
		"support: y of sample 0: found [0 3 0]": func(t *taskshards.Task) { t.Support.Y[1] = 3 },
		"query: found 0 samples":                func(t *taskshards.Task) { t.Query.N = 0 },
		"support: found 2 samples with 1 input": func(t *taskshards.Task) { t.Support.X = t.Support.X[:1] },
	} {
		var task taskshards.Task
		err := trusted("mine", foreign{spoil}).Sample(taskshards.Train, 1, 7, 3, &task)
		switch {
		case want == "" && err != nil:
			t.Errorf("a sound task: %v", err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "family mine: train task 3 of step 7: ")):
			t.Errorf("%v, want %q", err, want)
		}
	}
	own, err := taskshards.New(taskshards.Config{Name: "sinusoid", Shots: []int{1}, Query: 1}, nil)
	if err != nil || trusted("sinusoid", own) != own {
		t.Errorf("a family of ours is wrapped (%v)", err)
	}
}
