package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/warmstart-ml/warmstart/internal/kernel"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// bench measures this machine.
func bench(ctx context.Context, env *environment, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "inner":
			return benchInner(ctx, env, args[1:])
		case "kernel":
			return benchKernel(ctx, env, args[1:])
		case "dispatch":
			return benchDispatch(ctx, env, args[1:])
		}
	}
	return usage("found %q, expected inner, kernel or dispatch", strings.Join(args, " "))
}

// innerFlags are the flags of `warmstart bench inner`.
type innerFlags struct {
	family, model, learner, hidden string
	inner, threads, batch          int
	seconds                        float64
	firstOrder, ahead, json        bool
	sets                           list
}

// innerResult is what `warmstart bench inner --json` prints. Tasks are counted whole: drawn, adapted to, and their
// meta-gradients summed by the tree.
type innerResult struct {
	TasksPerS float64 `json:"tasks_per_s"`
	Family    string  `json:"family"`
	Model     string  `json:"model"`
	Learner   string  `json:"learner"`
	Inner     int     `json:"inner"`
	Order     string  `json:"order,omitempty"` // second or first, of the inner steps
	Threads   int     `json:"threads"`
	Batch     int     `json:"batch"`
	Params    int     `json:"params"`
	// GFLOPS are counted by the rule of learner.Work: two for each multiply-add of every product in forward, backward,
	// R-forward and R-backward. Left out where they are not counted.
	GFLOPS float64 `json:"gflops,omitempty"`
	// FLOPs of the first task, by the same rule.
	FLOPs float64 `json:"flops_per_task,omitempty"`
	// Form is lanes, sixteen tasks at once, or single: what was found to be faster here.
	Form   string `json:"form"`
	Kernel string `json:"kernel"` // avx512, avx2 or plain
	// SampleShare is the time it takes to draw the tasks alone over that of a step, both at their best.
	SampleShare float64 `json:"sample_share"`
	// SampleWaitShare is the part of it that the computation waited for: of the tasks that were not drawn ahead. Without
	// --ahead it is all of it.
	SampleWaitShare float64 `json:"sample_wait_share"`
	Seconds         float64 `json:"seconds"`
	Tasks           int64   `json:"tasks"`
	// SHA256 is of the summed gradient (little-endian float32) of the first meta-batch: equal on every machine, for any
	// number of threads, for one spec and batch.
	SHA256 string `json:"sha256"`
}

func benchInner(ctx context.Context, env *environment, args []string) error {
	var f innerFlags
	fs := env.flags()
	fs.StringVar(&f.family, "family", "", "tasks of this `family`; sinusoid where neither this nor a spec is given")
	fs.StringVar(&f.model, "model", "", "network: `name` of a model; the family's usual one where empty")
	fs.StringVar(&f.hidden, "hidden", "", "`widths` of the hidden layers of mlp, such as 40,40")
	fs.StringVar(&f.learner, "learner", "", "inner loop: `name` of a learner; maml where neither this nor a spec is given")
	fs.IntVar(&f.inner, "inner", 0, "inner `steps`; the learner's default where 0")
	fs.BoolVar(&f.firstOrder, "first-order", false, "leave out the Hessian: fomaml in place of maml")
	fs.IntVar(&f.threads, "threads", 1, "`goroutines`, each with a work space of its own")
	fs.IntVar(&f.batch, "batch", 512, "`tasks` summed at a time")
	fs.BoolVar(&f.ahead, "ahead", false, "draw tasks ahead as a worker does, beside each of --threads; else in line, so that one thread is one core's figure")
	fs.Float64Var(&f.seconds, "seconds", 3, "how `long` to measure, in seconds")
	fs.BoolVar(&f.json, "json", false, "print one JSON object, one line")
	fs.Var(&f.sets, "set", "`PATH=VALUE` overrides a field of the spec; may be given again")
	positional, err := parse(fs, args)
	if err != nil {
		return err
	}
	switch {
	case len(positional) > 1:
		return usage("found %d arguments, expected one spec file or none", len(positional))
	case f.threads < 1 || f.threads > 1024:
		return usage("--threads: found %d, expected 1 to 1024", f.threads)
	case f.batch < 1 || f.batch > 1<<20:
		return usage("--batch: found %d, expected 1 to %d", f.batch, 1<<20)
	case !(f.seconds > 0):
		return usage("--seconds: found %v, expected above 0", f.seconds)
	}
	spec, data, err := f.spec(env, positional)
	if err != nil {
		return err
	}
	race, err := newRace(env.kinds, spec, data, f.threads, f.batch)
	if err != nil {
		return err
	}
	if f.ahead {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		for _, l := range race.loops {
			l.DrawAhead(ctx)
		}
	}
	r, err := race.run(ctx, time.Duration(f.seconds*float64(time.Second)))
	if err != nil {
		return err
	}
	return r.write(env, f.json)
}

// leastBench is what is measured where no spec is given, below what the flags say.
const leastBench = "name: bench\nfamily: sinusoid\nlearner: maml\nevaluation: {table: false}\n"

// spec reads the spec to measure: a file's or the family's own, with the flags on it.
func (f *innerFlags) spec(env *environment, positional []string) (spec metatrain.RunSpec, data *taskshards.DataSet, err error) {
	changes, err := overrides(f.sets)
	if err != nil {
		return spec, nil, err
	}
	set := func(flag, path, value string) {
		if value != "" {
			changes = append(changes, worker.Override{Path: path, Value: value, From: flag})
		}
	}
	learner := f.learner
	if f.firstOrder {
		if learner != "" && learner != "maml" && learner != "fomaml" {
			return spec, nil, usage("--first-order: found learner %s, expected maml", learner)
		}
		learner = "fomaml"
	}
	set("--family "+f.family, "family.name", f.family)
	set("--model "+f.model, "model.name", f.model)
	set("--learner "+learner, "learner.name", learner)
	if f.hidden != "" {
		set("--hidden "+f.hidden, "model.hidden", "["+f.hidden+"]")
	}
	if f.inner != 0 {
		steps := strconv.Itoa(f.inner)
		set("--inner "+steps, "learner.steps", steps)
	}
	var in input
	if len(positional) == 1 {
		in, err = env.readInput(positional[0], changes, false, false)
	} else {
		in, err = env.completeInput("bench", []byte(leastBench), changes, false, false)
	}
	if err != nil {
		return spec, nil, err
	}
	if in.packed != nil {
		data, err = taskshards.Unpack(in.packed)
	}
	return in.spec, data, err
}

func (r *innerResult) write(env *environment, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(env.out).Encode(r)
	}
	work := "operations not counted for this learner"
	if r.GFLOPS > 0 {
		work = fmt.Sprintf("%.1f GFLOP/s", r.GFLOPS)
	}
	steps := "no inner steps"
	if r.Inner > 0 {
		steps = fmt.Sprintf("%d inner steps, %s order", r.Inner, r.Order)
	}
	_, err := fmt.Fprintf(env.out, "%s, %s, %s, %s, %d parameters\n%.0f tasks/s on %d threads (%s, %s), %s, sampling %.1f %% of the time, %.1f %% waited for\nsha256 %s\n",
		r.Family, r.Model, r.Learner, steps, r.Params, r.TasksPerS, r.Threads, r.Form, r.Kernel, work, 100*r.SampleShare, 100*r.SampleWaitShare, r.SHA256)
	return err
}

// kernelResult is a line of `warmstart bench kernel --json`.
type kernelResult struct {
	M       int     `json:"m"`
	N       int     `json:"n"`
	K       int     `json:"k"`
	Product float64 `json:"gflops"`       // of kernel.Gemm
	Lanes   float64 `json:"gflops_lanes"` // of kernel.LaneGemm, sixteen products at once
	Kernel  string  `json:"kernel"`
}

func benchKernel(ctx context.Context, env *environment, args []string) error {
	fs := env.flags()
	shapes := fs.String("shapes", "10x40x40,40x40x10,10x128x128,128x128x10,64x64x64,256x256x256,512x512x512", "`MxNxK` of the products, separated by commas")
	seconds := fs.Float64("seconds", 0.2, "how `long` to measure each, in seconds")
	asJSON := fs.Bool("json", false, "print one JSON object a line")
	positional, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(positional) > 0 || !(*seconds > 0) {
		return usage("found %d arguments and --seconds %v, expected none and above 0", len(positional), *seconds)
	}
	for shape := range strings.SplitSeq(*shapes, ",") {
		var r kernelResult
		if n, err := fmt.Sscanf(shape, "%dx%dx%d", &r.M, &r.N, &r.K); n != 3 || err != nil || r.M < 1 || r.N < 1 || r.K < 1 || r.M*r.N*r.K > 1<<30 {
			return usage("--shapes: found %q, expected MxNxK of numbers from 1, such as 10x40x40", shape)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.measure(time.Duration(*seconds * float64(time.Second)))
		if *asJSON {
			if err := json.NewEncoder(env.out).Encode(r); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(env.out, "%4d x %4d x %4d  %7.1f GFLOP/s, over lanes %7.1f  (%s)\n", r.M, r.N, r.K, r.Product, r.Lanes, r.Kernel)
	}
	return nil
}

// measure times both products of the shape, each for half the time.
func (r *kernelResult) measure(total time.Duration) {
	r.Kernel = kernel.Level()
	flops := 2 * float64(r.M) * float64(r.N) * float64(r.K)
	a, b, c := make([]float32, r.M*r.K), make([]float32, r.K*r.N), make([]float32, r.M*r.N)
	r.Product = flops / 1e9 / perCall(total/2, func() {
		kernel.Gemm(kernel.FromZero, nil, r.M, r.N, r.K, a, r.K, 1, b, r.N, c, r.N)
	})
	if r.M*r.K+r.K*r.N+r.M*r.N > 1<<22 {
		return // sixteen of them are beyond any use
	}
	x, y := kernel.Operand{X: kernel.NewLanes(r.M * r.K), Row: r.K, Col: 1}, kernel.Operand{X: kernel.NewLanes(r.K * r.N), Row: r.N, Col: 1}
	z := kernel.NewLanes(r.M * r.N)
	r.Lanes = kernel.Lanes * flops / 1e9 / perCall(total/2, func() {
		kernel.LaneGemm(kernel.FromZero, nil, r.M, r.N, r.K, x, y, z, r.N)
	})
}

// perCall is the seconds a call takes on average, once warm.
func perCall(total time.Duration, f func()) float64 {
	f()
	began, calls := time.Now(), 0
	for batch := 1; ; batch *= 2 {
		for range batch {
			f()
		}
		calls += batch
		if took := time.Since(began); took >= total {
			return took.Seconds() / float64(calls)
		}
	}
}
