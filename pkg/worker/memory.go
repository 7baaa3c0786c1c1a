package worker

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/coldstart"
	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// Bytes is an amount of memory. As a flag it is written 512MiB, 2GiB, 1.5GB or a plain number; 0 is no limit.
type Bytes int64

// units of memory, the longest first.
var memoryUnits = []struct {
	name string
	size float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1}}

// Set reads an amount.
func (b *Bytes) Set(text string) error {
	for _, u := range memoryUnits {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(v >= 0 && v*u.size <= 1<<50) {
			break
		}
		*b = Bytes(v * u.size)
		return nil
	}
	return fmt.Errorf("found %q, expected an amount of memory such as 512MiB or 2GiB, or 0 for no limit", text)
}

// String is the amount in the largest unit of 1,024 that it fills.
func (b Bytes) String() string {
	for i := 3; i >= 0; i-- {
		if u := memoryUnits[i]; float64(b) >= u.size {
			return strconv.FormatFloat(float64(int64(float64(b)/u.size*100+0.5))/100, 'f', -1, 64) + " " + u.name
		}
	}
	return fmt.Sprintf("%d B", int64(b))
}

// inFlight is how many vectors of the parameters lie beside a learner's own: theta, the result on its way out, and two of
// the tree's partial sums; deeper ones are there for a moment only.
const inFlight = 4

// needed is about how much memory one piece of the run's work takes in one slot: K+4 copies of the parameters, with learned
// rates 2K+4 (others as their learner states), what else is in flight, the activations of the largest of the first tasks,
// and the data.
func (e *engine) needed(packed int) Bytes {
	c, err := coldstart.LearnerConfig(modelConfig(&e.spec))
	if err != nil {
		return 0 // another program's own learner: unknown
	}
	total := 4 * Bytes(e.params) * Bytes(copiesOf(c)+inFlight)
	if e.model != nil {
		tapes := max(1, c.InnerSteps()+1)
		total += 4 * 4 * Bytes(e.model.Activations()) * Bytes(tapes*e.largest(func(t *taskshards.Task) int { return t.Support.N })+e.largest(func(t *taskshards.Task) int { return t.Query.N }))
	}
	return total + Bytes(packed)
}

// copiesOf is how many vectors of the parameters a learner holds, its gradient's included.
func copiesOf(c learner.Config) int {
	switch c.Name {
	case "imaml":
		return 6
	case "reptile", "ridge":
		return 5
	case "protonet", "pooled":
		return 4
	}
	k := c.InnerSteps()
	if c.LearnRates || c.Rates != "" && c.Rates != learner.ScalarRate || c.Name == "metasgd" || c.Name == "mamlpp" {
		return 2*k + 4
	}
	return k + 4
}

// largest is the largest of a size over the first training tasks.
func (e *engine) largest(size func(*taskshards.Task) int) (most int) {
	for i := range uint64(16) {
		if e.family.Sample(taskshards.Train, e.spec.Seed, 0, i, &e.task) == nil {
			most = max(most, size(&e.task))
		}
	}
	return most
}

// Memory is about how much memory a worker's slot needs for a run, packed being the size of its data.
func (k Kinds) Memory(spec metatrain.RunSpec, data *taskshards.DataSet, packed int) (Bytes, error) {
	e, err := newEngine(spec, k, data)
	if err != nil {
		return 0, err
	}
	return e.needed(packed), nil
}

// CheckMemory refuses a run that needs more memory than a slot has; 0 is no limit.
func CheckMemory(spec metatrain.RunSpec, need, have Bytes) error {
	if have == 0 || need <= have {
		return nil
	}
	return fmt.Errorf("model %s with learner %s needs about %v in a worker's slot, %v is available (--memory, divided by --slots); narrow the model, take fewer inner steps, or give the worker more", spec.Model.Name, spec.Learner.Name, need, have)
}
