package worker

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// grouped makes an engine compute in groups wherever it can, or nowhere.
func grouped(t *testing.T, always bool, sets ...string) *engine {
	t.Helper()
	e := tinyEngine(t, sets...)
	for _, in := range e.inners {
		in.least = nn.Lanes + 1
		if always {
			if in.group == nil {
				t.Fatal("no form over lanes")
			}
			in.least = 2
		}
	}
	return e
}

func (e *engine) partial(t *testing.T, j *job) metatrain.Partial {
	t.Helper()
	e.must(t, j)
	vec, err := metatrain.DecodeFloats(j.payload, len(j.payload)/4)
	if err != nil {
		t.Fatal(err)
	}
	return metatrain.Partial{Vec: vec, Metrics: j.result.Metrics, Tasks: j.result.Tasks}
}

// Whole steps and shards of every size, tasks skipped at the edges of groups, and steps whose tasks are of unequal
// sizes, so that some groups are possible and some are not.
func TestG1_GroupsAndSingleTasksGiveTheSameBits(t *testing.T) {
	for _, shots := range []string{"[5]", "[3, 5]"} {
		for _, rates := range []string{"false", "true"} {
			sets := []string{"family.shots=" + shots, "learner.learn_rates=" + rates, "learner.steps=2"}
			lanes, single := grouped(t, true, sets...), grouped(t, false, sets...)
			for _, tasks := range []int{1, 16, 25, 40} {
				for level := range metatrain.RootLevel(tasks) + 1 {
					for i := range metatrain.NodesAt(level, tasks) {
						for at := range 4 {
							kind, track := []metatrain.Kind{metatrain.Train, metatrain.Validate}[at/2], at%2
							work := func(e *engine) metatrain.Partial {
								j := e.job(t, kind, tasks, metatrain.Node{Level: level, Index: i})
								j.lease.Work.Track, j.lease.Skip = track, []int{0, 7, 15, 17, 39}
								return e.partial(t, j)
							}
							a, b := work(lanes), work(single)
							if !slices.Equal(a.Vec, b.Vec) || !slices.Equal(a.Metrics, b.Metrics) || a.Tasks != b.Tasks {
								t.Fatalf("%s, learned rates %s, shots %s, track %d: node (%d, %d) of %d tasks has other bits in groups", kind, rates, shots, track, level, i, tasks)
							}
						}
					}
				}
			}
		}
	}
}

// The task at fault is found, and named, as without groups.
func TestGroupsBlameTheTask(t *testing.T) {
	sets := []string{"family.shots=[5]", "learner.rate=100", "learner.steps=40"}
	var texts []string
	var scores [][]float64
	for _, always := range []bool{true, false} {
		e := grouped(t, always, sets...)
		err := e.do(e.job(t, metatrain.Train, 32, metatrain.Node{Level: 5}))
		var at *TaskError
		if !errors.As(err, &at) || at.Task < 0 {
			t.Fatalf("got %v, want an error of a task", err)
		}
		texts = append(texts, fmt.Sprint(err))
		// What diverges scores as badly as can be, and is no fault: first losses overflow, then parameters.
		var after []float64
		for steps := range 9 {
			e := grouped(t, always, append(sets, fmt.Sprintf("validation.adapt=[%d]", steps))...)
			after = append(after, e.must(t, e.job(t, metatrain.Validate, 32, metatrain.Node{Level: 5})).result.Metrics...)
		}
		scores = append(scores, after)
	}
	if texts[0] != texts[1] {
		t.Errorf("in groups: %s\none by one: %s", texts[0], texts[1])
	}
	if !slices.Equal(scores[0], scores[1]) || !slices.ContainsFunc(scores[0], func(x float64) bool { return x > diverged/2 }) {
		t.Errorf("scores in groups %v, one by one %v", scores[0], scores[1])
	}
}

func TestFormIsMeasuredOnce(t *testing.T) {
	e := tinyEngine(t, "family.shots=[5]")
	in := e.inners[0]
	if in.least != 0 {
		t.Fatalf("measured before there was work: %d", in.least)
	}
	e.must(t, e.job(t, metatrain.Train, 32, metatrain.Node{Level: 5}))
	if in.least < 2 || in.least > nn.Lanes+1 {
		t.Errorf("least is %d, expected 2 to %d", in.least, nn.Lanes+1)
	}
	if ridge := tinyEngine(t, "learner.name=ridge").inners[0]; ridge.form() != "single" {
		t.Errorf("ridge: %s", ridge.form())
	}
}
