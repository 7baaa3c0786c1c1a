package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// race runs the inner loop of a spec on some goroutines, one meta-batch after the other.
type race struct {
	spec  metatrain.RunSpec
	loops []*worker.Loop
	batch int
	level int // of a shard
	theta []float32
}

func newRace(kinds worker.Kinds, spec metatrain.RunSpec, data *taskshards.DataSet, threads, batch int) (*race, error) {
	r := &race{spec: spec, batch: batch}
	for range threads {
		l, err := worker.NewLoop(spec, kinds, data)
		if err != nil {
			return nil, err
		}
		r.loops = append(r.loops, l)
	}
	// The largest shards of which there is one at least for each thread.
	for r.level = metatrain.RootLevel(batch); r.level > 0 && metatrain.NodesAt(r.level, batch) < threads; r.level-- {
	}
	r.theta = r.loops[0].Start()
	return r, nil
}

// step sums the meta-gradients of one meta-batch. The sum's vector is the first loop's.
func (r *race) step(step int64) (metatrain.Partial, error) {
	shards := metatrain.NodesAt(r.level, r.batch)
	partials, errs := make([]metatrain.Partial, shards), make([]error, len(r.loops))
	var next atomic.Int64
	var all sync.WaitGroup
	for i, l := range r.loops {
		work := func() {
			for errs[i] == nil {
				at := int(next.Add(1)) - 1
				if at >= shards {
					return
				}
				partials[at], errs[i] = l.Sum(r.theta, step, metatrain.Node{Level: r.level, Index: at}, r.batch)
			}
		}
		if len(r.loops) == 1 {
			work()
			break
		}
		all.Go(work)
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return metatrain.Partial{}, err
	}
	tree := metatrain.NewTree(r.batch)
	for i, p := range partials {
		if sum, done := tree.Add(metatrain.Node{Level: r.level, Index: i}, p); done {
			for k, q := range partials[1:] {
				r.loops[(k+1)%len(r.loops)].Recycle(q)
			}
			return sum, nil
		}
	}
	return metatrain.Partial{}, fmt.Errorf("sum %d shards: no root", shards)
}

// run warms up, then counts what is done in so much time.
func (r *race) run(ctx context.Context, total time.Duration) (*innerResult, error) {
	first, err := r.step(0)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(metatrain.EncodeFloats(first.Vec))
	r.loops[0].Recycle(first)
	for began, step := time.Now(), int64(0); time.Since(began) < total/10; step++ {
		p, err := r.step(step)
		if err != nil {
			return nil, err
		}
		r.loops[0].Recycle(p)
	}
	warm, warmInLine := r.drawn()
	began, steps, best := time.Now(), int64(0), time.Duration(math.MaxInt64)
	for ; time.Since(began) < total && ctx.Err() == nil; steps++ {
		at := time.Now()
		p, err := r.step(steps)
		if err != nil {
			return nil, err
		}
		r.loops[0].Recycle(p)
		best = min(best, time.Since(at))
	}
	took := time.Since(began).Seconds()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	out := r.describe()
	out.Tasks, out.Seconds, out.SHA256 = steps*int64(r.batch), took, hex.EncodeToString(digest[:])
	out.TasksPerS = float64(out.Tasks) / took
	if out.FLOPs, _ = r.loops[0].Work(0, 0); out.FLOPs > 0 {
		out.GFLOPS = out.FLOPs * out.TasksPerS / 1e9
	}
	tasks, inLine := r.drawn()
	draw, err := r.drawing(total / 10)
	out.SampleShare = draw * float64(r.batch) / (best.Seconds() * float64(len(r.loops)))
	out.SampleWaitShare = out.SampleShare * float64(inLine-warmInLine) / float64(max(1, tasks-warm))
	return out, err
}

// drawn counts the tasks drawn by all loops, and those of them in line.
func (r *race) drawn() (tasks, inLine int64) {
	for _, l := range r.loops {
		n, late := l.Drawn()
		tasks, inLine = tasks+n, inLine+late
	}
	return tasks, inLine
}

// drawing is the seconds it takes to draw a task, at best: like the fastest step, it is not what else the machine does.
func (r *race) drawing(total time.Duration) (float64, error) {
	const together = 64
	var best time.Duration
	for began, n := time.Now(), 0; n < together || time.Since(began) < total; {
		at, first := time.Now(), n == 0
		for range together {
			if err := r.loops[0].Draw(int64(n/r.batch), n%r.batch); err != nil {
				return 0, err
			}
			n++
		}
		if took := time.Since(at); first || took < best {
			best = took
		}
	}
	return best.Seconds() / together, nil
}

// describe says what was run.
func (r *race) describe() *innerResult {
	var learner struct {
		Steps int `json:"steps"`
	}
	_ = json.Unmarshal(r.spec.Learner.Options, &learner) // a learner without steps has none
	out := &innerResult{
		Family: r.spec.Family.Name, Model: r.spec.Model.Name, Learner: r.spec.Learner.Name, Inner: learner.Steps, Order: "second",
		Threads: len(r.loops), Batch: r.batch, Params: r.loops[0].Params(), Form: r.loops[0].Form(), Kernel: kernel.Level(),
	}
	switch {
	case out.Inner == 0:
		out.Order = ""
	case out.Learner == "fomaml" || out.Learner == "reptile":
		out.Order = "first"
	}
	var mlp struct {
		Hidden []int `json:"hidden"`
	}
	if json.Unmarshal(r.spec.Model.Options, &mlp) == nil && out.Model == "mlp" {
		out.Model = "mlp " + strings.Trim(strings.ReplaceAll(fmt.Sprint(mlp.Hidden), " ", "-"), "[]")
	}
	return out
}
