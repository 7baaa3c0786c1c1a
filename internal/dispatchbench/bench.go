package dispatchbench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Config of a bench.
type Config struct {
	// Workers that wait, each with an id and a long poll of its own.
	Workers int
	// Connections to NATS that the workers share, each with a broadcast subscription; 0 is one for 128 workers.
	Connections int
	// Steps of the outer loop, and Wait, what a worker takes for a shard. Wait 0: as fast as it goes.
	Steps int
	Wait  time.Duration
	// Parameters of the base model.
	Parameters int
	// Shard is the tasks of a shard, a power of two, and Tasks those of a step; 0 gives every worker one shard.
	Shard, Tasks int
	// Straggler is how many times slower worker 0 is than the others; 0 and 1: it is not.
	Straggler float64
	// Profile is a folder for CPU profiles of the coordinator and of what runs beside it; "" makes none.
	Profile string
	// Coordinator is the command that starts a coordinator process: one that calls Coordinate with the arguments appended.
	Coordinator []string
	// Progress hears now and then how many steps were begun; nil: nobody does.
	Progress func(step int64)
	// Log hears of what goes wrong; nil discards it.
	Log *slog.Logger
}

// withDefaults fills what depends on other fields.
func (c Config) withDefaults() Config {
	c.Connections = cmp.Or(c.Connections, (c.Workers+127)/128)
	c.Shard = cmp.Or(c.Shard, 1)
	c.Tasks = cmp.Or(c.Tasks, c.Workers*c.Shard)
	c.Straggler = cmp.Or(c.Straggler, 1)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate names the first field that no bench can be made of.
func (c Config) Validate() error {
	d := c.withDefaults()
	for _, f := range []struct {
		name            string
		found, from, to float64
	}{
		{"workers", float64(c.Workers), 1, 20_000}, {"connections", float64(d.Connections), 1, float64(max(c.Workers, 1))},
		{"steps", float64(c.Steps), 1, 1e8}, {"wait", c.Wait.Seconds(), 0, 60}, {"parameters", float64(c.Parameters), 1, 1e7},
		{"shard", float64(d.Shard), 1, 1 << 16}, {"tasks", float64(d.Tasks), 1, 1 << 16}, {"straggler", d.Straggler, 1, 1000},
	} {
		if !(f.found >= f.from && f.found <= f.to) {
			return fmt.Errorf("--%s: found %v, expected %v to %v", f.name, f.found, f.from, f.to)
		}
	}
	if d.Shard&(d.Shard-1) != 0 {
		return fmt.Errorf("--shard: found %d, expected a power of two: shards are aligned subtrees", d.Shard)
	}
	return nil
}

// shards of a step.
func (c Config) shards() int { return (c.Tasks + c.Shard - 1) / c.Shard }

// ideal is what a step takes where nothing but waiting costs time: the shards in rounds of all workers.
func (c Config) ideal() time.Duration {
	return time.Duration((c.shards()+c.Workers-1)/c.Workers) * c.Wait
}

// Run brings a cluster up, trains, and compares what came out with the serial loop. The report is whole or there is an
// error.
func Run(ctx context.Context, c Config) (Report, error) {
	if err := c.Validate(); err != nil {
		return Report{}, err
	}
	c = c.withDefaults()
	defer debug.SetGCPercent(debug.SetGCPercent(fleetGC)) // what is measured is the coordinator, in a process of its own
	dir, err := os.MkdirTemp("", "warmstart-bench")
	if err != nil {
		return Report{}, fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s, err := startSite(ctx, c, dir, cancel)
	if err != nil {
		return Report{}, fmt.Errorf("bench: %w", err)
	}
	defer s.stop()
	r, err := s.measure(ctx, cancel)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err != nil {
		return Report{}, fmt.Errorf("bench: %w", err)
	}
	return r, nil
}

// fleetGC is how much this process, of a thousand workers, may grow between two collections, in percent.
const fleetGC = 400

// measure runs one training on the site.
func (s *site) measure(ctx context.Context, fail func(error)) (Report, error) {
	m := newMeter(s.cfg)
	m.pid = s.coordinator.Process.Pid
	f, err := newFleet(ctx, s, m, fail)
	if err != nil {
		return Report{}, err
	}
	defer f.close()
	stop, err := profile(s.cfg.Profile, "fleet")
	if err != nil {
		return Report{}, err
	}
	defer stop()
	f.start()
	c := f.client
	run, _, err := c.Submit(ctx, s.cfg.spec(), false)
	if err != nil {
		return Report{}, err
	}
	watch := m.watch(ctx)
	status, err := s.await(ctx, c, run.Run, m)
	if err != nil {
		return Report{}, err
	}
	memory := watch()
	m.waiters = f.waiters
	model, err := c.Get(ctx, checkpoint.VersionFolder(status.Name, int64(status.Version))+checkpoint.ModelFile)
	if err != nil {
		return Report{}, err
	}
	f.close()
	stop()
	s.stop()
	return s.report(m, memory, model)
}

// await waits for a run's end. While it trains it is asked for seldom: the answer names all workers.
func (s *site) await(ctx context.Context, c *client.Client, run string, m *meter) (metatrain.RunStatus, error) {
	wait, all := 10*time.Second, m.all
	for {
		select {
		case <-ctx.Done():
			return metatrain.RunStatus{}, ctx.Err()
		case <-all:
			wait, all = 50*time.Millisecond, nil
		case <-time.After(wait):
		}
		runs, _, err := c.Runs(ctx, run)
		if err != nil {
			return metatrain.RunStatus{}, err
		}
		switch r := runs[0]; r.State {
		case metatrain.Finished:
			return r, nil
		case metatrain.Active:
			if s.cfg.Progress != nil {
				s.cfg.Progress(r.Step)
			}
		default:
			return r, fmt.Errorf("the run is %s: %s", r.State, r.Reason)
		}
	}
}
