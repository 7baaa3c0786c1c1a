package worker

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/warmstart-ml/warmstart/pkg/coldstart"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// Where there are no traces, the table is made on generated members: so many, of a domain nothing trained on.
const (
	generatedTest  = 40
	generatedTrain = 24
)

// evaluate makes the cold-start table of the finished model: one piece of work, whose result is the table's JSON.
func (e *engine) evaluate(j *job) error {
	table, err := e.table(j.theta, j.pooled, j.unwanted)
	if errors.Is(err, coldstart.ErrUnwanted) {
		return errDropped
	}
	if err == nil {
		j.payload, err = json.Marshal(table)
	}
	if err != nil {
		return &TaskError{-1, err}
	}
	j.result = metatrain.Result{Tasks: 1}
	return nil
}

// table stops with coldstart.ErrUnwanted once unwanted is true.
func (e *engine) table(theta, pooled []float32, unwanted func() bool) (any, error) {
	s := e.spec
	if pooled != nil {
		pooled = pooled[:e.model.NumParams()]
	}
	base, err := coldstart.New(modelConfig(&s), theta, pooled)
	if err != nil {
		return nil, err
	}
	base.Unwanted = unwanted
	load, ok := e.family.(*taskshards.Load)
	if !ok {
		o := coldstart.TaskOptions{Seed: s.Seed, Tasks: s.Evaluation.Tasks, Shots: e.unseenShots(base.Family), Steps: s.Evaluation.Steps}
		if a, ok := e.family.(*taskshards.Arrays); ok {
			if o.Members = len(a.Tasks(taskshards.Test)); !a.Draws() { // a second time round would be the same
				o.Tasks = min(o.Tasks, o.Members)
			}
		}
		if e.family.Shape().Classes {
			return coldstart.EvaluateClasses(base, e.family, o)
		}
		return coldstart.EvaluateRegression(base, e.family, o)
	}
	test, train, byTime := e.members(load, base.Family.Generator.Seed)
	options := coldstart.Options{Shots: s.Evaluation.Shots, Score: s.Evaluation.Score}
	if !byTime { // else they are the jobs to score, of which the last fifth is not known yet
		options.Train = train
	}
	comparators, err := coldstart.Tune(base, train, options)
	if err != nil {
		return nil, err
	}
	options.Comparators = &comparators
	if byTime {
		options.Score = lastFifth
	}
	table, err := coldstart.Evaluate(base, test, options)
	if err != nil {
		return nil, err
	}
	switch {
	case byTime:
		table.Notes = append(table.Notes, fmt.Sprintf("fewer than five jobs: trained on all %d, each scored on its last fifth, which training did not see", len(test)))
	case e.data == nil:
		table.Notes = append(table.Notes, fmt.Sprintf("no traces: scored on %d generated loads that training did not see", len(test)))
	}
	return table, nil
}

// lastFifth is the share of each series that is scored where all jobs are trained on.
const lastFifth = 0.2

// members are the series the table is made on, and those its comparators are tuned on.
func (e *engine) members(load *taskshards.Load, seed uint64) (test, train []*taskshards.Series, byTime bool) {
	if e.data == nil {
		return generated(seed, "evaluate/test", generatedTest), generated(seed, "evaluate/tune", generatedTrain), false
	}
	division := load.Division()
	for i := range e.data.Series {
		s := &e.data.Series[i]
		if division.Has(taskshards.Test, s.Group) {
			test = append(test, s)
		}
		if division.Has(taskshards.Train, s.Group) {
			train = append(train, s)
		}
	}
	return test, train, division.ByTime
}

func generated(seed uint64, domain string, n int) []*taskshards.Series {
	series := make([]*taskshards.Series, n)
	for i := range series {
		s := taskshards.Generate(seed, domain, uint64(i))
		s.Name = fmt.Sprintf("%s/%02d", domain, i)
		series[i] = &s
	}
	return series
}

// unseenShots are what the supports of the test tasks are drawn by; none where the files say.
func (e *engine) unseenShots(c taskshards.Config) []int {
	if a, ok := e.family.(*taskshards.Arrays); ok && !a.Draws() {
		return nil
	}
	return c.ShotsOf(taskshards.Test)
}
