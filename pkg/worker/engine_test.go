package worker

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

const tiny = `
name: tiny
family: {name: sinusoid, shots: [3, 5], query: 4}
model: {hidden: [6]}
validation: {tasks: 8, adapt: [0, 1, 3], targets: []}
evaluation: {tasks: 4, steps: [1, 2], pooled: true}
`

func tinyEngine(t *testing.T, sets ...string) *engine {
	t.Helper()
	spec, _ := read(t, tiny, sets...)
	e, err := newEngine(spec, BuiltinKinds(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// job is work on a theta made by e's own init.
func (e *engine) job(t *testing.T, kind metatrain.Kind, tasks int, node metatrain.Node) *job {
	t.Helper()
	theta := make([]float32, e.params)
	e.tracks[0].Init(e.spec.Seed, theta)
	return &job{theta: theta, lease: metatrain.Lease{Tasks: tasks, Work: metatrain.Work{Kind: kind, Step: 3, Node: node}}}
}

func (e *engine) must(t *testing.T, j *job) *job {
	t.Helper()
	if err := e.do(j); err != nil {
		t.Fatal(err)
	}
	return j
}

// serial is the sum over a step's tasks by the definition: Fold over results of one task each.
func (e *engine) serial(t *testing.T, kind metatrain.Kind, track, tasks int, skip ...int) metatrain.Partial {
	t.Helper()
	root := metatrain.Node{Level: metatrain.RootLevel(tasks)}
	sum, err := metatrain.Fold(root, tasks, func(task int) (metatrain.Partial, error) {
		if slices.Contains(skip, task) {
			return metatrain.Partial{}, nil
		}
		j := e.job(t, kind, tasks, metatrain.Node{Index: task})
		j.lease.Work.Track = track
		e.must(t, j)
		vec, err := metatrain.DecodeFloats(j.payload, len(j.payload)/4)
		return metatrain.Partial{Vec: vec, Metrics: j.result.Metrics, Tasks: j.result.Tasks}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestG1_ShardsOfAnySizeGiveTheSameBits(t *testing.T) {
	for _, learner := range []string{"maml", "fomaml", "ridge"} {
		for _, kind := range []metatrain.Kind{metatrain.Train, metatrain.Validate} {
			for track := range 2 {
				e := tinyEngine(t, "learner.name="+learner)
				for _, tasks := range []int{1, 5, 8, 13} {
					skip := []int{2, 6}
					want := e.serial(t, kind, track, tasks, skip...)
					for level := range metatrain.RootLevel(tasks) + 1 {
						tree := metatrain.NewTree(tasks)
						for i := metatrain.NodesAt(level, tasks) - 1; i >= 0; i-- {
							j := e.job(t, kind, tasks, metatrain.Node{Level: level, Index: i})
							j.lease.Work.Track, j.lease.Skip = track, skip
							e.must(t, j)
							vec, err := metatrain.DecodeFloats(j.payload, len(j.payload)/4)
							if err != nil {
								t.Fatal(err)
							}
							sum, done := tree.Add(j.lease.Work.Node, metatrain.Partial{Vec: vec, Metrics: j.result.Metrics, Tasks: j.result.Tasks})
							if done != (i == 0) {
								t.Fatalf("%d tasks, level %d: done at shard %d", tasks, level, i)
							}
							if done && (!slices.Equal(sum.Vec, want.Vec) || !slices.Equal(sum.Metrics, want.Metrics) || sum.Tasks != want.Tasks) {
								t.Errorf("%s %s track %d: %d tasks in shards of level %d give other bits than one by one", learner, kind, track, tasks, level)
							}
						}
					}
				}
			}
		}
	}
}

func TestSkippedTasksDoNotCount(t *testing.T) {
	e := tinyEngine(t)
	j := e.job(t, metatrain.Train, 4, metatrain.Node{Level: 2})
	j.lease.Skip = []int{0, 1, 2, 3}
	if e.must(t, j); j.result.Tasks != 0 || len(j.payload) != 0 {
		t.Errorf("all skipped: %d tasks, %d bytes", j.result.Tasks, len(j.payload))
	}
	j.lease.Skip = []int{1}
	if e.must(t, j); j.result.Tasks != 3 {
		t.Errorf("one of four skipped: %d tasks", j.result.Tasks)
	}
}

func TestInitMatchesTheLearner(t *testing.T) {
	for _, name := range []string{"maml", "ridge"} {
		e := tinyEngine(t, "learner.name="+name)
		j := e.must(t, &job{lease: metatrain.Lease{Tasks: 1, Work: metatrain.Work{Kind: metatrain.Init}}})
		theta, err := metatrain.DecodeFloats(j.payload, e.tracks[0].NumParams())
		if err != nil {
			t.Fatal(err)
		}
		views, err := metatrain.DecodeLayout(j.result.Layout)
		if err != nil || len(views) != len(e.tracks[0].Params()) {
			t.Fatalf("%s: %d views, %v, expected %d", name, len(views), err, len(e.tracks[0].Params()))
		}
		for i, p := range e.tracks[0].Params() {
			if v := views[i]; v.Name != p.Name || v.Offset != p.Offset || !slices.Equal(v.Shape, p.Shape) {
				t.Errorf("%s: view %+v, expected %+v", name, v, p)
			}
		}
		if _, err := metatrain.ModelBytes(j.result.Layout, theta); err != nil {
			t.Error(err)
		}
	}
}

// The pooled track leaves the parameters alone that only the base model's learner has.
func TestPooledLeavesTheLearnersOwn(t *testing.T) {
	e := tinyEngine(t, "learner.name=ridge")
	own := e.tracks[1].NumParams()
	if own >= e.params {
		t.Fatalf("ridge has %d parameters, the pooled model %d", e.params, own)
	}
	e.must(t, e.job(t, metatrain.Train, 4, metatrain.Node{Level: 2})) // fills vectors that are used again
	j := e.job(t, metatrain.Train, 4, metatrain.Node{Level: 2})
	j.lease.Work.Track = 1
	e.must(t, j)
	grad, err := metatrain.DecodeFloats(j.payload, e.params)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range grad[own:] {
		if g != 0 {
			t.Fatalf("gradient of parameter %d is %v, expected 0", own+i, g)
		}
	}
}

func TestValidateScoresEachNumberOfSteps(t *testing.T) {
	e := tinyEngine(t)
	j := e.must(t, e.job(t, metatrain.Validate, 8, metatrain.Node{Level: 3}))
	if len(j.result.Metrics) != 3 || j.result.Tasks != 8 {
		t.Fatalf("found metrics %v of %d tasks, expected three of 8", j.result.Metrics, j.result.Tasks)
	}
	// By hand: task 0 as it is.
	var task taskshards.Task
	if err := e.family.Sample(taskshards.Validate, e.spec.Seed, 0, 0, &task); err != nil {
		t.Fatal(err)
	}
	one := e.must(t, e.job(t, metatrain.Validate, 8, metatrain.Node{}))
	lt := learnerTask(&task)
	p, err := e.tracks[0].Adapt(one.theta, &lt.Support, 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := float64(p.Loss(&lt.Query)); one.result.Metrics[1] != want {
		t.Errorf("after one step: found %v, expected %v", one.result.Metrics[1], want)
	}
	j.lease.Work.Track = 1
	if e.must(t, j); len(j.result.Metrics) != 1 {
		t.Errorf("the pooled model has metrics %v, expected one", j.result.Metrics)
	}
}

func TestDivergedValidationIsTheWorstScore(t *testing.T) {
	e := tinyEngine(t, "learner.rate=90", "validation.adapt=[0, 100]")
	j := e.must(t, e.job(t, metatrain.Validate, 4, metatrain.Node{Level: 2}))
	if m := j.result.Metrics; !(m[0] < 1000) || m[1] != 4*diverged {
		t.Errorf("found %v, expected a small one and 4 x %v", m, diverged)
	}
	if bounded(math.NaN()) != diverged || bounded(math.Inf(1)) != diverged || bounded(2) != 2 {
		t.Error("bounded lets through what is no number")
	}
}

// A run that leaves bounds is told which rate did it: that of the inner steps where the base model itself is sound.
func TestDivergedTasksNameBothRates(t *testing.T) {
	for _, c := range []struct {
		sets  []string
		track int
		theta float32 // times theta_0
		want  string
	}{
		{[]string{"learner={name: maml, rate: 90, steps: 50}"}, 0, 1, "lower learner.rate, the rate of the inner steps, or optimizer.rate"},
		{[]string{"learner=maml"}, 0, 1e30, "lower optimizer.rate, which led the base model out of bounds, or learner.rate"},
		{[]string{"learner=ridge"}, 0, 1e30, "lower optimizer.rate, or set a smaller optimizer.clip"},
		{[]string{"learner=maml"}, 1, 1e30, "lower optimizer.rate, or set a smaller optimizer.clip"},
	} {
		e := tinyEngine(t, c.sets...)
		j := e.job(t, metatrain.Train, 4, metatrain.Node{Level: 2})
		j.lease.Work.Track = c.track
		for i := range j.theta[:e.model.NumParams()] {
			j.theta[i] *= c.theta
		}
		if err := e.do(j); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, track %d: found %v, expected %q", c.sets, c.track, err, c.want)
		}
	}
}

func TestEvaluateMakesATable(t *testing.T) {
	e := tinyEngine(t)
	j := e.job(t, metatrain.Evaluate, 1, metatrain.Node{})
	j.pooled = slices.Clone(j.theta)
	e.must(t, j)
	var table struct {
		Rows []struct {
			Method string
			Shots  []int
			Steps  int
			MSE    float64
			Tasks  int
		}
	}
	if err := json.Unmarshal(j.payload, &table); err != nil || len(table.Rows) != 7 {
		t.Fatalf("table %s: %v", j.payload, err)
	}
	var methods []string
	for _, r := range table.Rows {
		methods = append(methods, r.Method)
	}
	if want := []string{"mean", "pooled", "scratch", "finetuned", "nearest", "adapted", "adapted"}; !slices.Equal(methods, want) {
		t.Fatalf("found %v, expected %v", methods, want)
	}
	for i, r := range table.Rows[5:] {
		if r.Steps != i+1 || r.Tasks != 4 || !(r.MSE > 0) || !slices.Equal(r.Shots, []int{3, 5}) {
			t.Errorf("row %+v", r)
		}
	}
	again := e.job(t, metatrain.Evaluate, 1, metatrain.Node{})
	again.pooled = j.pooled
	if e.must(t, again); string(again.payload) != string(j.payload) {
		t.Error("another table of the same model")
	}
}

// faulty fails in its own way on one task.
type faulty struct {
	taskshards.Family
	task uint64
	fail func(into *taskshards.Task) error
}

func (f faulty) Sample(split taskshards.Split, seed, step, task uint64, into *taskshards.Task) error {
	if err := f.Family.Sample(split, seed, step, task, into); err != nil || task != f.task {
		return err
	}
	return f.fail(into)
}

func TestG7_FailuresOfTheWorkAreItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(*taskshards.Task) error
		task int
		want string
	}{
		"an error": {func(*taskshards.Task) error { return errors.New("no such file") }, 5, "no such file"},
		"a panic":  {func(*taskshards.Task) error { panic("index out of range") }, -1, "panic: index out of range"},
		"a NaN":    {func(t *taskshards.Task) error { t.Query.Y[0] = float32(math.NaN()); return nil }, 5, learner.ErrDiverged.Error()},
		"no query": {func(t *taskshards.Task) error { t.Query.N = 0; return nil }, 5, "query"},
	} {
		e := tinyEngine(t)
		e.family = faulty{e.family, 5, c.fail}
		err := e.do(e.job(t, metatrain.Train, 8, metatrain.Node{Level: 3}))
		var own *TaskError
		if !errors.As(err, &own) || own.Task != c.task || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, expected a failure of task %d that says %q", name, err, c.task, c.want)
		}
	}
}

func TestG7_LeasesThatFitNothing(t *testing.T) {
	for name, spoil := range map[string]func(*job){
		"another theta":  func(j *job) { j.theta = j.theta[1:] },
		"no theta":       func(j *job) { j.theta = nil },
		"another pooled": func(j *job) { j.pooled = j.theta[1:] },
		"unknown track":  func(j *job) { j.lease.Work.Track = 2 },
		"negative track": func(j *job) { j.lease.Work.Track = -1 },
		"unknown kind":   func(j *job) { j.lease.Work.Kind = "dance" },
	} {
		e := tinyEngine(t)
		j := e.job(t, metatrain.Train, 4, metatrain.Node{Level: 2})
		spoil(j)
		var own *TaskError
		if err := e.do(j); !errors.As(err, &own) || strings.Contains(err.Error(), "panic") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDroppedWorkEnds(t *testing.T) {
	e := tinyEngine(t)
	j := e.job(t, metatrain.Train, 4, metatrain.Node{Level: 2})
	gone := make(chan struct{})
	close(gone)
	j.dropped = gone
	if err := e.do(j); !errors.Is(err, errDropped) {
		t.Errorf("got %v", err)
	}
}

func TestSteadyStateAllocatesLittle(t *testing.T) {
	e := tinyEngine(t)
	j := e.job(t, metatrain.Train, 32, metatrain.Node{Level: 5})
	e.must(t, j)
	held := len(e.free)
	e.must(t, j)
	if len(e.free) != held || held > 8 {
		t.Errorf("%d vectors lie ready, %d before: expected as many, and about log tasks", len(e.free), held)
	}
}

// Learners that anneal see the outer step: here the Hessian counts from step 3 on.
func TestTrainTellsTheOuterStep(t *testing.T) {
	payload := func(options string, step int64) string {
		spec, _ := read(t, tiny, "learner.name=maml")
		spec.Learner.Options = json.RawMessage(options)
		e, err := newEngine(spec, BuiltinKinds(), nil)
		if err != nil {
			t.Fatal(err)
		}
		j := e.job(t, metatrain.Train, 1, metatrain.Node{})
		j.lease.Work.Step = step
		return string(e.must(t, j).payload)
	}
	const plain, annealed, never = `{"rate":0.1}`, `{"rate":0.1,"first_order_steps":3}`, `{"rate":0.1,"first_order_steps":9}`
	if payload(annealed, 2) != payload(never, 2) || payload(annealed, 2) == payload(plain, 2) {
		t.Error("step 2 is not of first order")
	}
	if payload(annealed, 3) != payload(plain, 3) || payload(annealed, 3) == payload(never, 3) {
		t.Error("step 3 is not of second order")
	}
}
