package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/coldstart"
	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// TaskError is a failure that the work itself may be the cause of. Task is the step's task at fault, -1 where none is.
type TaskError struct {
	Task int
	Err  error
}

func (e *TaskError) Error() string {
	if e.Task < 0 {
		return e.Err.Error()
	}
	return fmt.Sprintf("task %d: %v", e.Task, e.Err)
}

func (e *TaskError) Unwrap() error { return e.Err }

// engine computes the work of one run, in one goroutine.
type engine struct {
	spec   metatrain.RunSpec
	family taskshards.Family
	data   *taskshards.DataSet // nil where the family makes its own
	model  *nn.Model           // nil where only the engine knows it
	out    int
	tracks []learner.Learner[float32] // the base model's, then the pooled comparator's
	inners []*inner                   // of the tracks
	params int
	config learner.Config // of track 0
	valid  nn.Loss
	// countsErrors: validation goes by the share of wrong classes instead of valid.
	countsErrors bool
	task         taskshards.Task
	ahead        *ahead // nil: all tasks are drawn in line
	// drawn counts the training tasks asked for, inLine those of them that were not drawn ahead.
	drawn, inLine int64
	free          [][]float32 // vectors of params, to be used again
	y, dy         []float32
}

// newEngine builds what a spec describes. Its errors are the spec's own.
func newEngine(spec metatrain.RunSpec, kinds Kinds, data *taskshards.DataSet) (*engine, error) {
	e, err := planEngine(spec, kinds, data)
	if err != nil {
		return nil, err
	}
	return e, e.equip(kinds)
}

// planEngine is newEngine up to where memory is taken for parameters.
func planEngine(spec metatrain.RunSpec, kinds Kinds, data *taskshards.DataSet) (*engine, error) {
	family, err := kinds.Families.Build(spec.Family, data)
	if err != nil {
		return nil, err
	}
	spec = named(spec, family.Shape())
	if spec.Shape, err = specShape(spec, family.Shape()); err != nil {
		return nil, err
	}
	if err := suitsLosses(spec, family.Shape()); err != nil {
		return nil, err
	}
	if spec.Network, err = kinds.network(spec, modelShape(family.Shape())); err != nil {
		return nil, err
	}
	e := &engine{spec: spec, family: family, data: data, out: family.Shape().Out}
	if e.config, err = coldstart.LearnerConfig(modelConfig(&spec)); err != nil {
		return nil, err
	}
	if err := kinds.checkEngine(spec); err != nil {
		return nil, err
	}
	if kinds.Models[spec.Model.Name].Engine == "" {
		if e.model, err = coldstart.BuildModel(modelConfig(&spec), modelShape(family.Shape())); err != nil {
			return nil, err
		}
		e.out, e.params = e.model.Out(), learner.VectorSize(e.config, e.model)
	}
	return e, e.checkSize()
}

// equip makes the learners.
func (e *engine) equip(kinds Kinds) (err error) {
	if e.tracks, err = kinds.learners(e.spec, e.config, e.model, e.family.Shape()); err != nil {
		return err
	}
	for _, l := range e.tracks {
		e.inners = append(e.inners, newInner(l))
	}
	e.params = e.tracks[0].NumParams()
	if err := e.checkSize(); err != nil {
		return err
	}
	if err := e.chooseLoss(e.config); err != nil {
		return err
	}
	if err := e.checkHeldOut(); err != nil {
		return err
	}
	return e.checkTable()
}

// checkSize refuses a model of too many parameters.
func (e *engine) checkSize() error {
	if e.params <= nn.MaxParams {
		return nil
	}
	return fmt.Errorf("model %s with learner %s has %d parameters, expected at most %d; %s", e.spec.Model.Name, e.spec.Learner.Name, e.params, nn.MaxParams, e.narrower())
}

// narrower is the remedy where a model is too large.
func (e *engine) narrower() string {
	if e.model == nil || len(e.spec.Network) > 0 {
		return "narrow the model"
	}
	return "narrow model." + e.model.Widest()
}

// modelConfig is what of a spec belongs to the published model.
func modelConfig(s *metatrain.RunSpec) metatrain.ModelConfig {
	return metatrain.ModelConfig{Contract: s.Contract, Family: s.Family, Model: s.Model, Learner: s.Learner, Inner: s.Inner, Outer: s.Outer, Shape: s.Shape, Network: s.Network}
}

// specShape is the shape that the spec records of a family's samples: none for those whose options tell it. One that is
// recorded already must be it.
func specShape(spec metatrain.RunSpec, s taskshards.Shape) (metatrain.Shape, error) {
	if spec.Family.Name == "load" || spec.Family.Name == "sinusoid" {
		return spec.Shape, nil
	}
	found := metatrain.Shape{In: s.In, Extra: s.Extra, Out: s.Out, Classes: s.Classes}
	if !spec.Shape.IsZero() && !spec.Shape.Equal(found) {
		return found, fmt.Errorf("family %s makes samples of shape %+v, the spec says %+v: the data is another, or this worker's family is", spec.Family.Name, found, spec.Shape)
	}
	return found, nil
}

// Complete checks a spec as CheckSpec does and returns it with what data and model decide, the shape of a sample, the
// losses it does not name and the network: that form is to be submitted, since the published model is built from it.
func (k Kinds) Complete(spec metatrain.RunSpec, data *taskshards.DataSet) (metatrain.RunSpec, error) {
	e, err := newEngine(spec, k, data)
	if err != nil {
		return spec, err
	}
	return e.spec, nil
}

// CheckSpec refuses a spec that an engine could not be built from: shapes that do not fit, losses without curvature.
func (k Kinds) CheckSpec(spec metatrain.RunSpec, data *taskshards.DataSet) error {
	_, err := newEngine(spec, k, data)
	return err
}

// errDropped ends work nobody wants any more.
var errDropped = errors.New("no longer wanted")

// do computes a job's result. A panic below, or a result that is no number, is a failure of the work like any other.
func (e *engine) do(j *job) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &TaskError{-1, fmt.Errorf("panic: %v", r)}
		}
	}()
	if err := e.compute(j); err != nil {
		return err
	}
	for i, m := range j.result.Metrics {
		if math.IsNaN(m) || math.IsInf(m, 0) {
			return &TaskError{-1, fmt.Errorf("metric %d of %s is %v, expected a finite number", i, j.lease.Work.Kind, m)}
		}
	}
	return nil
}

func (e *engine) compute(j *job) error {
	w := j.lease.Work
	if w.Track < 0 || w.Track >= len(e.tracks) {
		return &TaskError{-1, fmt.Errorf("unknown track %d, expected 0 to %d", w.Track, len(e.tracks)-1)}
	}
	for _, theta := range [][]float32{j.theta, j.pooled} {
		if theta != nil && len(theta) != e.params {
			return &TaskError{-1, fmt.Errorf("theta has %d parameters, expected %d", len(theta), e.params)}
		}
	}
	if j.theta == nil && w.Kind != metatrain.Init {
		return &TaskError{-1, fmt.Errorf("%s without a theta", w.Kind)}
	}
	switch w.Kind {
	case metatrain.Init:
		return e.start(j)
	case metatrain.Train:
		return e.train(j)
	case metatrain.Validate:
		return e.validate(j)
	case metatrain.Evaluate:
		return e.evaluate(j)
	}
	return &TaskError{-1, fmt.Errorf("unknown kind of work %q", w.Kind)}
}

// start makes theta_0. Both tracks start from the same.
func (e *engine) start(j *job) error {
	theta := make([]float32, e.params)
	e.tracks[0].Init(e.spec.Seed, theta)
	views := make([]metatrain.View, 0, len(e.tracks[0].Params()))
	for _, p := range e.tracks[0].Params() {
		views = append(views, metatrain.View{Name: p.Name, Offset: p.Offset, Shape: p.Shape, Tracked: p.Track})
	}
	layout, err := json.Marshal(views)
	if err != nil {
		return &TaskError{-1, err}
	}
	j.payload = metatrain.EncodeFloats(theta)
	j.result = metatrain.Result{Tasks: 1, Layout: string(layout)}
	return nil
}

// train sums the meta-gradients of the shard; metric 0 is the sum of outer losses.
func (e *engine) train(j *job) error {
	sum, err := e.gradients(j)
	if err != nil {
		return err
	}
	j.payload = e.spec.EncodeSum(sum.Vec)
	if sum.Vec != nil {
		e.free = append(e.free, sum.Vec)
	}
	j.result = metatrain.Result{Tasks: sum.Tasks, Metrics: sum.Metrics}
	return nil
}

// gradients sums the meta-gradients of the shard by the tree. The vector is the caller's, and e.free's thereafter.
func (e *engine) gradients(j *job) (metatrain.Partial, error) {
	w := j.lease.Work
	l, in := e.tracks[w.Track], e.inners[w.Track]
	in.drawn = [2]int{}
	group := func(lo, hi int) (metatrain.Partial, bool) { return in.sum(e, j, lo, hi) }
	sum, err := e.fold(j, group, func(task int) (metatrain.Partial, error) {
		t, err := in.task(e, w.Step, task)
		if err != nil {
			return metatrain.Partial{}, err
		}
		grad := e.vector()[:l.NumParams()]
		loss, err := l.Gradient(j.theta[:l.NumParams()], t, grad)
		grad = grad[:e.params]
		clear(grad[l.NumParams():]) // what only the base model's learner has stays as it is
		if errors.Is(err, learner.ErrDiverged) {
			err = fmt.Errorf("%w; %s", err, e.calmer(w.Track, e.sound(l, j.theta[:l.NumParams()], t)))
		}
		return metatrain.Partial{Vec: grad, Metrics: []float64{float64(loss)}, Tasks: 1}, err
	})
	if err == nil && !kernel.IsFinite(sum.Vec) {
		err = &TaskError{-1, fmt.Errorf("the sum of the gradients of %d tasks is not finite; %s", sum.Tasks, e.calmer(w.Track, true))}
	}
	return sum, err
}

// validate sums the losses of the validation tasks after each number of inner steps asked for.
func (e *engine) validate(j *job) error {
	l, in := e.tracks[j.lease.Work.Track], e.inners[j.lease.Work.Track]
	steps := e.spec.Validation.Adapt
	if len(steps) == 0 || j.lease.Work.Track > 0 {
		steps = []int{-1}
	}
	group := func(lo, hi int) (metatrain.Partial, bool) { return in.scores(e, j, steps, lo, hi) }
	sum, err := e.fold(j, group, func(task int) (metatrain.Partial, error) {
		if err := e.family.Sample(taskshards.Validate, e.spec.Seed, 0, uint64(task), &e.task); err != nil {
			return metatrain.Partial{}, err
		}
		t := learnerTask(&e.task)
		metrics := make([]float64, len(steps))
		for i, k := range steps {
			p, err := l.Adapt(j.theta[:l.NumParams()], &t.Support, k)
			switch {
			case errors.Is(err, learner.ErrDiverged):
				metrics[i] = diverged
			case err != nil:
				return metatrain.Partial{}, err
			default:
				metrics[i] = bounded(float64(e.score(p, &t.Query)))
			}
		}
		return metatrain.Partial{Metrics: metrics, Tasks: 1}, nil
	})
	j.result = metatrain.Result{Tasks: sum.Tasks, Metrics: sum.Metrics}
	return err
}

// fold sums leaf over the shard's tasks by the contract's tree, leaving out what was decided to be skipped. O(log
// tasks) vectors live at once. Where group is given and can, it sums up to nn.Lanes tasks by itself.
func (e *engine) fold(j *job, group func(lo, hi int) (metatrain.Partial, bool), leaf func(task int) (metatrain.Partial, error)) (metatrain.Partial, error) {
	var sum func(d metatrain.Node, grouped bool) (metatrain.Partial, error)
	sum = func(d metatrain.Node, grouped bool) (metatrain.Partial, error) {
		lo, hi := d.Span(j.lease.Tasks)
		if lo >= hi {
			return metatrain.Partial{}, nil
		}
		select {
		case <-j.dropped:
			return metatrain.Partial{}, errDropped
		default:
		}
		if grouped && d.Level <= groupLevel {
			if p, ok := group(lo, hi); ok {
				return p, nil
			}
			grouped = false
		}
		if d.Level == 0 {
			if slices.Contains(j.lease.Skip, lo) {
				return metatrain.Partial{}, nil
			}
			p, err := leaf(lo)
			if err != nil {
				err = &TaskError{lo, err}
			}
			return p, err
		}
		left, err := sum(metatrain.Node{Level: d.Level - 1, Index: 2 * d.Index}, grouped)
		if err != nil {
			return left, err
		}
		right, err := sum(metatrain.Node{Level: d.Level - 1, Index: 2*d.Index + 1}, grouped)
		if err != nil {
			return right, err
		}
		if left.Vec != nil && right.Vec != nil {
			e.free = append(e.free, right.Vec)
		}
		return metatrain.Join(left, right), nil
	}
	return sum(j.lease.Work.Node, group != nil)
}

func (e *engine) vector() []float32 {
	n := len(e.free)
	if n == 0 {
		return make([]float32, e.params)
	}
	v := e.free[n-1]
	e.free = e.free[:n-1]
	return v
}

func learnerTask(t *taskshards.Task) *learner.Task[float32] {
	view := viewOf(t, 0)
	return &view
}

// viewOf is a task as learners read it, drawn for an outer step.
func viewOf(t *taskshards.Task, step int64) learner.Task[float32] {
	batch := func(b *taskshards.Batch) learner.Batch[float32] {
		return learner.Batch[float32]{N: b.N, X: b.X, Y: b.Y, W: b.W}
	}
	return learner.Task[float32]{Support: batch(&t.Support), Query: batch(&t.Query), Step: step}
}
