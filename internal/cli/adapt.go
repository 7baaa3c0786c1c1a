package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/coldstart"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// adapt fits a base model to one member's samples, and writes the adapted model and its forecasts.
func adapt(ctx context.Context, env *environment, args []string) error {
	var p place
	set := env.flags()
	p.add(set)
	data := set.String("data", "", "`file` with the new member's trace: CSV (timestamp,value), .gz too")
	shots := set.Int("shots", coldstart.AllSamples, "adapt to this many of the latest `samples`; -1 = all there are")
	to := set.String("to", "adapted", "`folder` for the adapted model and the forecasts")
	strict := set.Bool("strict", false, "refuse a trace with duplicate, unordered or off-grid rows")
	skipBad := set.Bool("skip-bad", false, "leave out, and count, rows that would be refused")
	asJSON := set.Bool("json", false, "print JSON, one line a series")
	positional, err := p.parse(set, args)
	if err != nil {
		return err
	}
	switch {
	case len(positional) != 1 || *data == "":
		return usage("found %d models and --data %q, expected one model, such as builtin:load, and a file", len(positional), *data)
	case *shots < coldstart.AllSamples:
		return usage("--shots: found %d, expected a number from 0, or -1 for all", *shots)
	}
	base, err := p.base(ctx, positional[0])
	if err != nil {
		return err
	}
	if base.Family.Name != "load" {
		return fmt.Errorf("model %s is of family %s; adapt forecasts a trace, which family load is for. For arrays see `warmstart eval` and python/warmstart.py", positional[0], base.Family.Name)
	}
	config := base.Family
	config.Strict, config.SkipBad, config.Group, config.MinValues = *strict, *skipBad, "", base.Family.Lags+1
	ds, err := readData([]string{*data}, config, env.err)
	if err != nil {
		return err
	}
	for i := range ds.Series {
		folder := *to
		if len(ds.Series) > 1 {
			folder = filepath.Join(*to, strings.ReplaceAll(ds.Series[i].Name, "/", "_"))
		}
		if err := adaptOne(env, base, &ds.Series[i], *shots, folder, *asJSON); err != nil {
			return err
		}
	}
	return nil
}

func adaptOne(env *environment, base *coldstart.Base, s *taskshards.Series, shots int, folder string, asJSON bool) error {
	a, err := coldstart.Adapt(base, s, coldstart.AdaptOptions{Shots: shots, Clock: time.Now})
	if err != nil {
		return err
	}
	model, err := a.Encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("write adapted model: %w", err)
	}
	if err := os.WriteFile(filepath.Join(folder, "adapted.safetensors"), model, 0o644); err != nil {
		return fmt.Errorf("write adapted model: %w", err)
	}
	if err := writeForecasts(filepath.Join(folder, "forecast.csv"), a.Forecasts); err != nil {
		return fmt.Errorf("write forecasts: %w", err)
	}
	next := a.Forecasts[len(a.Forecasts)-1]
	if asJSON {
		return json.NewEncoder(env.out).Encode(map[string]any{
			"job": a.Job, "shots": a.Shots, "millis": float64(a.Took.Microseconds()) / 1000, "fell_back": a.FellBack,
			"scored": a.Check.Windows, "mase": a.Check.Model, "mase_last": a.Check.Last, "next_time": stamp(next.Time), "next": next.Forecast, "to": folder,
		})
	}
	fmt.Fprintf(env.out, "%s: adapted to %d samples in %.2f ms\n", a.Job, a.Shots, float64(a.Took.Microseconds())/1000)
	switch {
	case a.Check.Windows == 0:
		fmt.Fprintf(env.out, "  too short to check on its own latest samples\n")
	default:
		fmt.Fprintf(env.out, "  on its latest %d samples, adapted to what came before: MASE %.4f, last value %.4f\n", a.Check.Windows, a.Check.Model, a.Check.Last)
	}
	if a.FellBack {
		fmt.Fprintf(env.out, "  that is worse than the last value, which forecasts instead\n")
	}
	fmt.Fprintf(env.out, "  next value, %s: %.6g\n  %s: adapted.safetensors, forecast.csv\n", stamp(next.Time), next.Forecast, folder)
	return nil
}

func stamp(millis int64) string { return time.UnixMilli(millis).UTC().Format(time.RFC3339) }

// writeForecasts writes time, actual value (empty where it is not known yet) and forecast.
func writeForecasts(path string, forecasts []coldstart.Forecast) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	w := csv.NewWriter(f)
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	rows := [][]string{{"timestamp", "actual", "forecast"}}
	for _, p := range forecasts {
		actual := ""
		if p.Actual != nil {
			actual = number(*p.Actual)
		}
		rows = append(rows, []string{stamp(p.Time), actual, number(p.Forecast)})
	}
	return w.WriteAll(rows)
}
