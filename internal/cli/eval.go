package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/coldstart"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// eval prints the cold-start table of a model on tasks it has never seen.
func eval(ctx context.Context, env *environment, args []string) error {
	var p place
	set := env.flags()
	p.add(set)
	var tasks list
	set.Var(&tasks, "tasks", "`folder` or file with traces, images or arrays, as the model's family reads them; may be given again")
	shots := set.String("shots", "0,5,10,20,50", "load: sizes of support, in `samples`")
	support := set.String("support", "first", "load: first: the first windows of a series; recent: the last ones before the scored part")
	score := set.Float64("score", 0, "load: score only this last `share` of each series; 0 = all windows after the support")
	steps := set.String("steps", "0,1,3,10", "omniglot, arrays: numbers of inner steps")
	episodes := set.Int("episodes", 0, "omniglot, arrays: `tasks` scored; 0 = 600, or each file once where files say support and query")
	strict := set.Bool("strict", false, "refuse traces with duplicate, unordered or off-grid rows")
	skipBad := set.Bool("skip-bad", false, "leave out, and count, rows and series that would be refused")
	asJSON := set.Bool("json", false, "print JSON, one line")
	positional, err := p.parse(set, args)
	if err != nil {
		return err
	}
	if len(positional) != 1 || len(tasks) == 0 {
		return usage("found %d models and %d --tasks, expected one model and at least one folder", len(positional), len(tasks))
	}
	options := coldstart.Options{Support: *support, Score: *score}
	if options.Shots, err = numbers(*shots); err != nil {
		return usage("--shots: %v", err)
	}
	base, err := p.base(ctx, positional[0])
	if err != nil {
		return err
	}
	if base.Family.Name == "omniglot" || base.Family.Name == "arrays" {
		if err := misplaced(set, base.Family.Name, "shots", "support", "score", "strict", "skip-bad"); err != nil {
			return err
		}
		inner, err := numbers(*steps)
		if err != nil {
			return usage("--steps: %v", err)
		}
		return evalTasks(env, base, tasks, inner, *episodes, *asJSON)
	}
	if base.Family.Name != "load" {
		return fmt.Errorf("model %s is of family %s; eval reads the data of families load, omniglot and arrays", positional[0], base.Family.Name)
	}
	if err := misplaced(set, base.Family.Name, "steps", "episodes"); err != nil {
		return err
	}
	config := base.Family
	config.Strict, config.SkipBad, config.Group = *strict, *skipBad, ""
	ds, err := readData(tasks, config, env.err)
	if err != nil {
		return err
	}
	series := make([]*taskshards.Series, len(ds.Series))
	for i := range ds.Series {
		series[i] = &ds.Series[i]
	}
	table, err := coldstart.Evaluate(base, series, options)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(env.out).Encode(table)
	}
	return table.Write(env.out)
}

// misplaced refuses flags that were given and mean nothing for models of a family.
func misplaced(set *flag.FlagSet, family string, names ...string) (err error) {
	set.Visit(func(f *flag.Flag) {
		if err == nil && slices.Contains(names, f.Name) {
			err = usage("--%s: means nothing for a model of family %s, whose tasks are as its spec or their files say; leave it out", f.Name, family)
		}
	})
	return err
}

// evalTasks prints the table of a family without series: accuracy or squared error, by inner steps.
func evalTasks(env *environment, base *coldstart.Base, paths []string, steps []int, episodes int, asJSON bool) error {
	if episodes < 0 {
		return usage("--episodes: found %d, expected a number of tasks", episodes)
	}
	config, shape := base.Family, base.Config.Shape
	config.Group = ""
	if config.Name == "arrays" {
		if config.Numbers = !shape.Classes; shape.Classes {
			config.Classes = shape.Out
		}
	}
	ds, err := readData(paths, config, env.err)
	if err != nil {
		return err
	}
	family, tasks, err := taskshards.HeldOut(config, ds)
	if err != nil {
		return err
	}
	s := family.Shape()
	if found := (metatrain.Shape{In: s.In, Extra: s.Extra, Out: s.Out, Classes: s.Classes}); !found.Equal(shape) {
		return fmt.Errorf("eval: found samples of shape %+v in %s, expected %+v as the model was trained on", found, strings.Join(paths, ", "), shape)
	}
	if episodes > 0 {
		tasks = episodes
	}
	table, err := taskTable(base, family, tasks, steps)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(env.out).Encode(table)
	}
	return table.Write(env.out)
}

// evalSeed draws what the data leaves open.
const evalSeed = 1

func taskTable(base *coldstart.Base, f taskshards.Family, tasks int, steps []int) (interface{ Write(io.Writer) error }, error) {
	o := coldstart.TaskOptions{Seed: evalSeed, Tasks: tasks, Steps: steps, Untuned: base.Family.Name == "arrays"}
	if !f.Shape().Classes {
		t, err := coldstart.EvaluateRegression(base, f, o)
		return &t, err
	}
	t, err := coldstart.EvaluateClasses(base, f, o)
	return &t, err
}

func numbers(text string) ([]int, error) {
	var out []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 0 {
			return nil, fmt.Errorf("found %q, expected whole numbers from 0 separated by commas", part)
		}
		out = append(out, n)
	}
	return out, nil
}

// writeTable prints the table that a finished run left, whichever kind its family has.
func writeTable(w io.Writer, data []byte) error {
	var kind struct {
		Rows []struct {
			MSE      *float64 `json:"mse"`
			Accuracy *float64 `json:"accuracy"`
		} `json:"rows"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return fmt.Errorf("read table: %w", err)
	}
	var table interface{ Write(io.Writer) error } = new(coldstart.Table)
	switch {
	case len(kind.Rows) == 0:
	case kind.Rows[0].Accuracy != nil:
		table = new(coldstart.ClassTable)
	case kind.Rows[0].MSE != nil:
		table = new(coldstart.RegressionTable)
	}
	if err := json.Unmarshal(data, table); err != nil {
		return fmt.Errorf("read table: %w", err)
	}
	return table.Write(w)
}
