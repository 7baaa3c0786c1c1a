package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/warmstart-ml/warmstart/internal/dispatchbench"
)

// benchDispatch measures what dispatch costs beside the work: many workers that wait, on a cluster of its own.
func benchDispatch(ctx context.Context, env *environment, args []string) error {
	var c dispatchbench.Config
	fs := env.flags()
	fs.IntVar(&c.Workers, "workers", 1000, "`workers` that wait instead of computing")
	fs.IntVar(&c.Connections, "connections", 0, "`connections` to NATS that the workers share; 0: one for 128 workers")
	fs.IntVar(&c.Steps, "steps", 50, "outer `steps`")
	fs.DurationVar(&c.Wait, "wait", 1e9, "how `long` a shard takes a worker; 0: no time")
	fs.IntVar(&c.Parameters, "parameters", 1761, "`parameters` of the base model")
	fs.IntVar(&c.Shard, "shard", 1, "`tasks` of a shard, a power of two")
	fs.IntVar(&c.Tasks, "tasks", 0, "`tasks` of a step; 0: one shard for each worker")
	fs.Float64Var(&c.Straggler, "straggler", 1, "how many `times` slower one worker is than the others")
	fs.StringVar(&c.Profile, "profile", "", "`folder` for CPU profiles: of the coordinator, and of what runs beside it")
	asJSON := fs.Bool("json", false, "print one JSON object, one line")
	positional, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(positional) > 0 {
		return usage("found argument %q, expected none", positional[0])
	}
	if err := c.Validate(); err != nil {
		return usageError{err.Error()}
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	c.Coordinator = []string{self, "bench-coordinator"}
	c.Progress = func(step int64) { fmt.Fprintf(env.err, "step %d of %d\n", step, c.Steps) }
	r, err := dispatchbench.Run(ctx, c)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(env.out).Encode(r)
	}
	return writeDispatch(env.out, r)
}

func writeDispatch(w io.Writer, r dispatchbench.Report) error {
	overhead := "nobody waits"
	if r.Overhead != nil {
		overhead = fmt.Sprintf("overhead %.2f %%", 100**r.Overhead)
	}
	optional := func(v *float64) string {
		if v == nil {
			return "?"
		}
		return fmt.Sprintf("%.1f", *v)
	}
	if r.LengthenedP50 != nil {
		overhead += fmt.Sprintf(", a worker %g times slower lengthens a step by %.2f shards (at worst %.2f)", r.Straggler, *r.LengthenedP50, *r.LengthenedWorst)
	}
	_, err := fmt.Fprintf(w, `%d workers on %d connections, %d parameters, %d steps of %d shards
%.2f s for %.2f s of waiting: %s, %.1f steps/s, step %.3f s (worst %.3f s)
%.0f requests/s, grants after %s ms (99 %%: %s ms), coordinator %.2f s of processor time, the rest %.2f s
coordinator's memory %s MB after warm-up, %s MB at the end, %s MB at most
%d results, the model is the serial loop's: sha256 %s
`, r.Workers, r.Connections, r.Parameters, r.Steps, r.Shards,
		r.Seconds, r.IdealSeconds, overhead, r.StepsPerS, r.StepP50, r.StepWorst,
		r.RequestsPerS, optional(r.GrantP50), optional(r.GrantP99), r.CPUSeconds, r.FleetCPUSeconds,
		optional(r.RSSWarm), optional(r.RSSEnd), optional(r.RSSPeak), r.Results, r.SHA256)
	return err
}

// benchCoordinator is the coordinator process of `bench dispatch`.
func benchCoordinator(ctx context.Context, _ *environment, args []string) error {
	return dispatchbench.Coordinate(ctx, args)
}
