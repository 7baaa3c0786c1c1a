package worker

import (
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
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

// Limit makes the garbage collector keep this process within the amount as well as it can; 0 changes nothing.
func (b Bytes) Limit() {
	if b > 0 {
		debug.SetMemoryLimit(int64(b))
	}
}

// inFlight is how many vectors of the parameters lie beside the learners' own, but for the tree's: two thetas and the
// broadcast of a third, and two results on their way out.
const inFlight = 5

// small is for what is not counted, beside a tenth of the rest.
const small = 256 << 10

// needed is about how much memory the run takes in one slot: the learners of both tracks, with their forms over lanes and
// the tasks in them; what is in flight, with the partial sums of a shard as large as the meta-batch; the tasks drawn ahead;
// and the data. 0 where that is not known: of a graph of another program's own.
func (e *engine) needed(packed int) Bytes {
	if e.model == nil {
		return 0
	}
	support, query := e.largest(func(t *taskshards.Task) int { return t.Support.N }), e.largest(func(t *taskshards.Task) int { return t.Query.N })
	drawn := 1
	total := 4 * e.params * (inFlight + metatrain.RootLevel(e.spec.MetaBatch) + 1)
	for _, c := range []learner.Config{e.config, e.config.Pooled()} {
		total += learner.Bytes(c, e.model, support, query)
		if parameters, all := learner.GroupSize(c, e.model, support, query); parameters <= groupBytes {
			if total += all; all > 0 {
				drawn = nn.Lanes
			}
		}
	}
	total += 4 * drawn * 2 * (support + query) * (e.model.In() + e.out + 1)
	return Bytes(total+total/10+small+e.corpus(packed)) + e.drawnAhead()
}

// corpus is about how much memory the data takes: as it came and as it is kept and, of load, laid out for sampling, and
// the series that it makes.
func (e *engine) corpus(packed int) int {
	if _, ok := e.family.(*taskshards.Load); !ok {
		return 2 * packed
	}
	c, err := FamilyConfig(e.spec.Family.Name, e.spec.Family.Options)
	if err != nil {
		return 0 // it has been read before
	}
	const laidOut, made = 6, 27 << 10
	series := 0
	if c.Generator.Share > 0 {
		series += c.Generator.Series
	}
	if c.Mixture.Share > 0 {
		series += c.Mixture.Series
	}
	return laidOut*packed + made*series
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

// CheckMemory refuses a run that needs more memory than a worker's slot has, packed being the size of its data; 0 is no
// limit. It takes no such memory itself.
func (k Kinds) CheckMemory(spec metatrain.RunSpec, data *taskshards.DataSet, packed int, have Bytes) error {
	e, err := planEngine(spec, k, data)
	if err != nil {
		return err
	}
	return e.checkMemory(packed, have)
}

func (e *engine) checkMemory(packed int, have Bytes) error {
	if have == 0 {
		return nil
	}
	need := e.needed(packed)
	if need <= have {
		return nil
	}
	return fmt.Errorf("model %s with learner %s needs about %v in a worker's slot, %v is available (--memory, divided by --slots); %s, take fewer inner steps, or give the worker more",
		e.spec.Model.Name, e.spec.Learner.Name, need, have, e.narrower())
}
