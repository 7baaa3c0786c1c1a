package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/coldstart"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// eval prints the cold-start table of a model on traces it has never seen.
func eval(ctx context.Context, env *environment, args []string) error {
	var p place
	set := env.flags()
	p.add(set)
	var tasks list
	set.Var(&tasks, "tasks", "`folder` or file with traces; may be given again")
	shots := set.String("shots", "0,5,10,20,50", "sizes of support, in `samples`")
	support := set.String("support", "first", "first: the first windows of a series; recent: the last ones before the scored part")
	score := set.Float64("score", 0, "score only this last `share` of each series; 0 = all windows after the support")
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
	if base.Family.Name != "load" {
		return fmt.Errorf("model %s is of family %s; eval reads traces, which family load has", positional[0], base.Family.Name)
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
			Steps    *int     `json:"steps"`
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
	case kind.Rows[0].Steps != nil:
		table = new(coldstart.StepTable)
	}
	if err := json.Unmarshal(data, table); err != nil {
		return fmt.Errorf("read table: %w", err)
	}
	return table.Write(w)
}
