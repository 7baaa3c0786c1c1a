// Command liar is a worker whose results are wrong, and as well formed as right ones: it computes on tasks that it has
// altered a little. Tests start it beside sound workers.
package main

import (
	"encoding/json"

	"github.com/warmstart-ml/warmstart/pkg/taskshards"
	"github.com/warmstart-ml/warmstart/pkg/worker"
	"github.com/warmstart-ml/warmstart/pkg/workerd"
)

func main() {
	kinds := worker.BuiltinKinds()
	kind := kinds.Families["sinusoid"]
	sound := kind.Build
	kind.Build = func(options json.RawMessage, data *taskshards.DataSet) (taskshards.Family, error) {
		f, err := sound(options, data)
		return altered{f}, err
	}
	kinds.Families["sinusoid"] = kind
	workerd.Main(kinds)
}

// altered is a family one target of whose tasks is off, from the fiftieth step on.
type altered struct{ taskshards.Family }

func (a altered) Sample(split taskshards.Split, seed, step, task uint64, into *taskshards.Task) error {
	err := a.Family.Sample(split, seed, step, task, into)
	if err == nil && step >= 50 {
		into.Query.Y[0] *= 1.01
	}
	return err
}
