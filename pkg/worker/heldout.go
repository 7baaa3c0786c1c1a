package worker

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/pkg/coldstart"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// checkHeldOut refuses early what only the first validation, or the table at the end, would find amiss with the data.
func (e *engine) checkHeldOut() error {
	test := e.spec.Evaluation.Table
	switch f := e.family.(type) {
	case *taskshards.Arrays:
		if name, class := f.LacksClass(); name != "" && e.spec.Learner.Name == "protonet" {
			return fmt.Errorf("learner protonet: %s: found no sample of class %d in its support, expected one of each: classes are told by their means", name, class)
		}
	case *taskshards.Omniglot:
	case *taskshards.Load:
		test = false // checkTable counts its jobs
	default:
		return nil // of others a task may be dear
	}
	if err := e.family.Sample(taskshards.Validate, e.spec.Seed, 0, 0, &e.task); err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	if !test {
		return nil
	}
	if err := e.family.Sample(taskshards.Test, e.spec.Seed, 0, 0, &e.task); err != nil {
		return fmt.Errorf("evaluation.table: %w", err)
	}
	return nil
}

// checkTable refuses early what the table at the end of a run could not be made of.
func (e *engine) checkTable() error {
	if !e.spec.Evaluation.Table {
		return nil
	}
	const remedy = "evaluation.table: false trains without one"
	if _, err := coldstart.New(modelConfig(&e.spec), make([]float32, e.params), nil); err != nil {
		return fmt.Errorf("evaluation.table: no table for family %s: %w; %s", e.spec.Family.Name, err, remedy)
	}
	if load, ok := e.family.(*taskshards.Load); ok && e.data != nil {
		if test, train, _ := e.members(load, 0); len(test) == 0 || len(train) == 0 {
			return fmt.Errorf("evaluation.table: family.split leaves %d jobs to test on and %d to train on, expected at least one of each; %s", len(test), len(train), remedy)
		}
	}
	return nil
}
