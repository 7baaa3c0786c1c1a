package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// runs lists, shows, follows and controls the runs of a cluster.
func runs(ctx context.Context, env *environment, args []string) error {
	var c connection
	set := env.flags()
	c.add(set)
	set.Bool("cluster", true, "runs are a cluster's; accepted for symmetry")
	asJSON := set.Bool("json", false, "print JSON, one line")
	positional, err := c.parse(set, args)
	if err != nil {
		return err
	}
	verb, run := "ls", ""
	switch {
	case len(positional) == 1 && positional[0] == "ls":
	case len(positional) == 2 && positional[0] != "ls":
		verb, run = positional[0], positional[1]
	default:
		return usage("found %q, expected a verb and, but for ls, a run", positional)
	}
	site, err := openCluster(ctx, &c.common, &c.nats)
	if err != nil {
		return err
	}
	defer site.close()
	ask, cancel := context.WithTimeout(ctx, max(c.common.Wait, time.Second))
	defer cancel()
	switch verb {
	case "ls", "show":
		runs, workers, err := site.client.Runs(ask, run)
		if err != nil {
			return err
		}
		if *asJSON {
			return json.NewEncoder(env.out).Encode(map[string]any{"runs": runs, "workers": workers})
		}
		if verb == "ls" {
			return listRuns(env, runs, workers)
		}
		return showRun(env, runs[0])
	case "follow":
		p := newProgress(env.err)
		last, err := site.client.Follow(ctx, run, p.see)
		p.end()
		if err == nil {
			fmt.Fprintf(env.out, "run %s is %s %s\n", last.Run, last.State, last.Reason)
		}
		return err
	case "pause", "resume", "cancel":
		return site.client.Control(ask, run, verb)
	}
	return usage("found verb %q, expected ls, show, follow, pause, resume or cancel", verb)
}

func listRuns(env *environment, runs []metatrain.RunStatus, workers []metatrain.WorkerStatus) error {
	w := tabwriter.NewWriter(env.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tSTATE\tSTEP\tTASKS/S\tBEST\tMODEL\tREASON")
	for _, r := range runs {
		model := ""
		if r.Version > 0 {
			model = fmt.Sprintf("%s:%d", r.Name, r.Version)
		}
		fmt.Fprintf(w, "%s\t%s\t%d/%d\t%.0f\t%.4f\t%s\t%s\n", r.Run, r.State, position(r), r.Steps*int64(r.Tracks), r.TasksPerS, r.BestScore, model, r.Reason)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(env.out, "%d workers\n", len(workers))
	return nil
}

func showRun(env *environment, r metatrain.RunStatus) error {
	enc := json.NewEncoder(env.out)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
