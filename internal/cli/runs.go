package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/strictyaml"
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
	q, err := readRuns(positional)
	if err != nil {
		return err
	}
	site, err := openCluster(ctx, &c.common, &c.nats)
	if err != nil {
		return err
	}
	defer site.close()
	ask, cancel := context.WithTimeout(ctx, max(c.common.Wait, time.Second))
	defer cancel()
	switch q.verb {
	case "workers":
		workers, quarantine, err := site.client.Workers(ask)
		switch {
		case err != nil:
			return err
		case *asJSON:
			return json.NewEncoder(env.out).Encode(map[string]any{"workers": workers, "quarantine": quarantine})
		}
		return listWorkers(env, workers, quarantine)
	case "ls", "show":
		runs, workers, err := site.client.Runs(ask, q.run)
		switch {
		case err != nil:
			return err
		case *asJSON:
			return json.NewEncoder(env.out).Encode(map[string]any{"runs": runs, "workers": workers})
		case q.verb == "show":
			return showRun(env, runs[0])
		}
		return listRuns(env, runs, workers)
	case "follow":
		return followRun(ctx, env, site, q.run)
	case "weight":
		return site.client.Weigh(ask, q.run, q.weight)
	case "lift":
		return site.client.Lift(ask, q.run)
	}
	return site.client.Control(ask, q.run, q.verb)
}

// followRun follows a run to its end, and fails where that is no good one, so that a script need not read why.
func followRun(ctx context.Context, env *environment, site *site, run string) error {
	p := newProgress(env.err)
	last, err := site.client.Follow(ctx, run, p.see)
	p.end()
	if err != nil {
		return err
	}
	fmt.Fprintf(env.out, "run %s is %s %s\n", last.Run, last.State, last.Reason)
	if last.State == metatrain.Failed || last.State == metatrain.Cancelled {
		return fmt.Errorf("run %s did not finish", last.Run)
	}
	return nil
}

// request is what `runs` is asked to do.
type request struct {
	verb, run string // run: of lift, the process
	weight    int
}

var (
	verbsOfAll = []string{"ls", "workers"}
	verbsOfOne = []string{"show", "follow", "pause", "resume", "cancel", "weight", "lift"}
)

func readRuns(args []string) (request, error) {
	if len(args) == 0 {
		return request{}, usage("expected a verb: %s", strings.Join(slices.Concat(verbsOfAll, verbsOfOne), ", "))
	}
	q := request{verb: args[0]}
	of, what := 0, "no run"
	switch {
	case slices.Contains(verbsOfAll, q.verb):
	case q.verb == "weight":
		of, what = 2, "a run and its weight, such as `warmstart runs weight RUN 3`"
	case q.verb == "lift":
		of, what = 1, "a process in quarantine; `warmstart runs workers` lists them"
	case slices.Contains(verbsOfOne, q.verb):
		of, what = 1, "one run; `warmstart runs ls` lists them"
	default:
		all, hint := slices.Concat(verbsOfAll, verbsOfOne), ""
		if near := strictyaml.Nearest(q.verb, all); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		return q, usage("found verb %q, expected one of %s%s", q.verb, strings.Join(all, ", "), hint)
	}
	if rest := args[1:]; len(rest) != of {
		return q, usage("found %q after %s, expected %s", rest, q.verb, what)
	}
	if of > 0 {
		q.run = args[1]
	}
	if q.verb == "weight" {
		var err error
		if q.weight, err = strconv.Atoi(args[2]); err != nil {
			return q, usage("found weight %q, expected a whole number", args[2])
		}
	}
	return q, nil
}

func listRuns(env *environment, runs []metatrain.RunStatus, workers []metatrain.WorkerStatus) error {
	w := tabwriter.NewWriter(env.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tSTATE\tSTEP\tTASKS/S\tWEIGHT\tBEST\tMODEL\tREASON")
	for _, r := range runs {
		model := ""
		if r.Version > 0 {
			model = fmt.Sprintf("%s:%d", r.Name, r.Version)
		}
		fmt.Fprintf(w, "%s\t%s\t%d/%d\t%.0f\t%d\t%.4f\t%s\t%s\n", r.Run, r.State, position(r), r.Steps*int64(r.Tracks), r.TasksPerS, r.Weight, r.BestScore, model, r.Reason)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(env.out, "%d workers\n", len(workers))
	return nil
}

func listWorkers(env *environment, workers []metatrain.WorkerStatus, quarantine []metatrain.Quarantined) error {
	w := tabwriter.NewWriter(env.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WORKER\tHOST\tCLASS\tENGINE\tRELEASE\tSLOTS\tMEMORY\tLEASES\tTASKS\tSILENT\tNOTE")
	for _, k := range workers {
		var notes []string
		if k.Leaving {
			notes = append(notes, "leaving")
		}
		if k.Bits == "none" {
			notes = append(notes, "bits none")
		}
		memory := "no limit"
		if k.Memory > 0 {
			memory = fmt.Sprintf("%d MiB", k.Memory>>20)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%d\t%d\t%v\t%s\n", k.ID, k.Host, k.Class, k.Engine, k.Release, k.Slots, memory,
			k.Leases, k.Tasks, time.Duration(k.SilentMS)*time.Millisecond, strings.Join(notes, ", "))
	}
	for _, q := range quarantine {
		fmt.Fprintf(w, "%s\t%s\t\t\t\t\t\t\t\t\tprocess %s in quarantine since %s, %d results refused: %s\n", q.Worker, q.Host, q.Process,
			time.Unix(q.Since, 0).UTC().Format(time.RFC3339), q.Refused, q.Reason)
	}
	return w.Flush()
}

func showRun(env *environment, r metatrain.RunStatus) error {
	enc := json.NewEncoder(env.out)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
