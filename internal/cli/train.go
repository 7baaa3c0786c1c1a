package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/warmstart-ml/warmstart/internal/wiring"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// trainFlags are the flags of `warmstart train`.
type trainFlags struct {
	sets                list
	dataDir             string
	workers             int
	listen              string
	memory              worker.Bytes
	shardTasks          int
	cluster             bool
	fresh, dryRun, json bool
	explain, schema     bool
	strict, skipBad     bool
	connection
	to string
}

func train(ctx context.Context, env *environment, args []string) error {
	var f trainFlags
	fs := env.flags()
	fs.Var(&f.sets, "set", "`PATH=VALUE` overrides a field of the spec; may be given again")
	fs.StringVar(&f.dataDir, "data-dir", ".warmstart", "`folder` of the embedded stack: its state, and the models it publishes")
	fs.IntVar(&f.workers, "workers", runtime.NumCPU(), "worker `processes` of the embedded stack")
	fs.Var(&f.memory, "memory", "`amount` of memory that each worker of the embedded stack may take, such as 2GiB; 0 = no limit")
	fs.StringVar(&f.listen, "listen", "127.0.0.1:0", "`address` of the embedded NATS; port 0 takes a free one")
	fs.IntVar(&f.shardTasks, "shard-tasks", 0, "`tasks` per shard, for experiments; 0 sizes shards by what they cost. Never changes bits")
	fs.BoolVar(&f.cluster, "cluster", false, "submit to a cluster and follow, instead of training here")
	fs.BoolVar(&f.fresh, "fresh", false, "train anew even where this very run is finished")
	fs.BoolVar(&f.dryRun, "dry-run", false, "read and check spec and data, print the complete spec, train nothing")
	fs.BoolVar(&f.json, "json", false, "end with one JSON object on stdout")
	fs.BoolVar(&f.explain, "explain", false, "print every field of a spec with unit, default and reason")
	fs.BoolVar(&f.schema, "schema", false, "print the JSON schema of a spec")
	fs.BoolVar(&f.strict, "strict", false, "refuse traces with duplicate, unordered or off-grid rows")
	fs.BoolVar(&f.skipBad, "skip-bad", false, "leave out, and count, rows and series that would be refused")
	fs.StringVar(&f.to, "to", "", "also copy the published model to this `folder`")
	f.connection.add(fs)
	positional, err := f.connection.parse(fs, args)
	if err != nil {
		return err
	}
	switch {
	case f.explain:
		return env.kinds.Explain(env.out)
	case f.schema:
		schema, err := env.kinds.Schema()
		if err == nil {
			_, err = env.out.Write(schema)
		}
		return err
	case len(positional) != 1:
		return usage("found %d arguments, expected one spec file", len(positional))
	case f.workers < 1 || f.workers > 1024:
		return usage("--workers: found %d, expected 1 to 1024", f.workers)
	}
	changes, err := overrides(f.sets)
	if err != nil {
		return err
	}
	in, err := env.readInput(positional[0], changes, f.strict, f.skipBad)
	if err != nil {
		return err
	}
	if err := f.checkMemory(env, in); err != nil {
		return err
	}
	if f.dryRun {
		_, err := env.out.Write(metatrain.EncodeSpec(in.spec))
		return err
	}
	return trainOn(ctx, env, &f, in)
}

// checkMemory refuses a run that no worker of the embedded stack has room for, before anything starts.
func (f *trainFlags) checkMemory(env *environment, in input) error {
	if f.memory == 0 || f.cluster {
		return nil
	}
	return env.kinds.CheckMemory(in.spec, in.data, len(in.packed), f.memory)
}

// trainOn submits the run to the embedded stack or a cluster, follows it, and shows what came of it.
func trainOn(ctx context.Context, env *environment, f *trainFlags, in input) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	site, err := f.open(ctx, env, fail)
	if err != nil {
		return err
	}
	defer site.close()
	if err := trainAt(ctx, env, f, in, site); err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			return cause // a server of the stack failed for good
		}
		return err
	}
	return nil
}

func trainAt(ctx context.Context, env *environment, f *trainFlags, in input, site *site) error {
	if in.packed != nil {
		if _, err := site.client.Upload(ctx, in.packed, nil); err != nil {
			return err
		}
	}
	run, created, err := site.client.Submit(ctx, in.spec, f.fresh)
	if err != nil {
		return err
	}
	switch run.State {
	case metatrain.Paused, metatrain.Failed:
		fmt.Fprintf(env.err, "run %s was %s (%s); resuming it\n", run.Run, run.State, run.Reason)
		if err := site.client.Control(ctx, run.Run, "resume"); err != nil {
			return err
		}
	case metatrain.Cancelled:
		return fmt.Errorf("run %s was cancelled; --fresh trains anew", run.Run)
	}
	if err := site.alone(ctx, run.Run); err != nil {
		return err
	}
	p := newProgress(env.err)
	p.begin(run, created)
	last, err := site.client.Follow(ctx, run.Run, p.see)
	p.end()
	if err != nil {
		if ctx.Err() != nil {
			fmt.Fprintf(env.err, "stopped at step %d; the same command goes on from the last checkpoint\n", last.Step)
		}
		return err
	}
	if last.State != metatrain.Finished {
		return fmt.Errorf("run %s is %s: %s", last.Run, last.State, last.Reason)
	}
	return report(ctx, env, f, site, last, p, in.spec.MetaBatch)
}

// outcome is what `train --json` ends with.
type outcome struct {
	Run       string          `json:"run"`
	Steps     int64           `json:"steps"`
	Seconds   float64         `json:"seconds"`
	TasksPerS float64         `json:"tasks_per_s"`
	Model     string          `json:"model"`
	SHA256    string          `json:"sha256"`
	BestStep  int64           `json:"best_step"`            // of the model published
	BestScore float64         `json:"best_score"`           // its validation; lower is better
	Improved  bool            `json:"improved"`             // false: no step validated better than theta_0, which is published
	OutsideG1 string          `json:"outside_g1,omitempty"` // why the same spec need not give the same model
	Table     json.RawMessage `json:"table"`
}

func report(ctx context.Context, env *environment, f *trainFlags, site *site, run metatrain.RunStatus, p *progress, metaBatch int) error {
	n := int64(run.Version)
	man, err := checkpoint.VerifyVersion(ctx, site.getter, run.Name, n)
	if err != nil {
		return err
	}
	out := outcome{Run: run.Run, Steps: run.Steps, Seconds: time.Since(p.began).Seconds(), TasksPerS: p.rate(metaBatch), OutsideG1: man.OutsideG1, Table: json.RawMessage("null")}
	out.SHA256 = digestOf(man, checkpoint.ModelFile)
	out.BestStep, out.BestScore, out.Improved = man.Steps, man.Metrics["validation"], man.Steps > 0
	if !out.Improved {
		fmt.Fprintln(env.err, unimproved(out.BestScore, run.Steps))
	}
	out.Model = site.place(run.Name, n)
	if f.to != "" {
		if _, err := checkpoint.Pull(ctx, site.getter, run.Name, n, f.to); err != nil {
			return err
		}
		out.Model, _ = filepath.Abs(f.to)
	}
	folder := checkpoint.VersionFolder(run.Name, n)
	table, err := site.getter.Get(ctx, folder+metatrain.EvaluationFile)
	if err == nil {
		out.Table = table
	}
	if f.json {
		return json.NewEncoder(env.out).Encode(out)
	}
	if err == nil {
		if err := writeTable(env.out, table); err != nil {
			return err
		}
	}
	fmt.Fprintf(env.out, "\nbase model %s:%d  %s\nsha256 %s\n", run.Name, n, out.Model, out.SHA256)
	if man.OutsideG1 != "" {
		fmt.Fprintf(env.out, "outside G1: %s\n", man.OutsideG1)
	}
	return nil
}

// unimproved says that theta_0 itself is published: the best model by validation, as the spec asks, and no use of the training.
func unimproved(score float64, steps int64) string {
	return fmt.Sprintf("training did not improve on the initial parameters: best validation score %.4g at step 0 of %d, and they are what is published; "+
		"take more steps, lower optimizer.rate or, where the learner takes steps, learner.rate; or validate as the model is trained (validation.adapt, validation.targets)", score, steps)
}

// site is where a run is trained: the embedded stack or a cluster.
type site struct {
	client *client.Client
	getter checkpoint.Reader
	// place says where a published version lies.
	place func(model string, n int64) string
	// alone keeps other runs from sharing the machine, where it is ours.
	alone func(ctx context.Context, run string) error
	close func()
}

// open brings up or reaches the site; fail hears of a stack that can serve no longer.
func (f *trainFlags) open(ctx context.Context, env *environment, fail func(error)) (*site, error) {
	if !f.cluster {
		return openEmbedded(ctx, f, fail)
	}
	site, err := openCluster(ctx, &f.common, &f.nats)
	if err == nil {
		site.client.User = f.user
	}
	return site, err
}

// openCluster reaches a cluster over NATS, the only thing it needs a credential for. One without a leader is not reached.
func openCluster(ctx context.Context, common *wiring.Common, nats *wiring.NATS) (*site, error) {
	log, err := common.Log()
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname()
	c, end, err := nats.Client(ctx, common, fmt.Sprintf("warmstart %s/%d", host, os.Getpid()), log)
	if err != nil {
		return nil, err
	}
	wait, cancel := context.WithTimeout(ctx, common.Wait)
	defer cancel()
	if _, _, err := c.Runs(wait, ""); err != nil {
		end()
		return nil, fmt.Errorf("reach the cluster: %w", err)
	}
	return &site{
		client: c, getter: c,
		place: func(model string, n int64) string { return fmt.Sprintf("%s:%d", model, n) },
		alone: func(context.Context, string) error { return nil },
		close: end,
	}, nil
}
