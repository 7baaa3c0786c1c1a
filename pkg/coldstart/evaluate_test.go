package coldstart

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Twelve values, two a day, lags 2: windows have the targets 2 to 11. With a
// support of 5 the scored ones are 7 to 11.
func TestFiguresByHand(t *testing.T) {
	c := loadConfig()
	c.Family.Options = json.RawMessage(`{"lags":2}`)
	b := testBase(t, c)
	s := series("a", 43200, 1, 2, 4, 2, 1, 3, 4, 6, 4, 0, 2, 5)
	o := Options{Shots: []int{5}, Comparators: &Comparators{Alpha: 0.5, Scratch: []Choice{{Shots: 5, Kind: linear, Precision: 1e30}}}}
	table := mustEvaluate(t, b, []*taskshards.Series{s}, o)

	scale := (1 + 2 + 2 + 1 + 2 + 1 + 2 + 2 + 4 + 2 + 3) / 11.0
	// Targets 6 4 0 2 5; last 4 6 4 0 2: errors 2 2 4 2 3.
	want := map[string]failure{
		"last": {13.0 / 5 / scale, math.Sqrt(37.0/5) / scale, 20 * (2.0/10 + 2.0/10 + 1 + 1 + 3.0/7)},
		// One day ago: 3 4 6 4 0: errors 3 0 6 2 5.
		"seasonal": {16.0 / 5 / scale, math.Sqrt(74.0/5) / scale, 20 * (3.0/9 + 0 + 1 + 2.0/6 + 1)},
	}
	// Levels before each target: 1, 1.5, 2.75, 2.375, 1.6875, 2.34375, 3.171875 |
	// 4.5859375, 4.29296875, 2.146484375, 2.0732421875.
	levels := []float64{3.171875, 4.5859375, 4.29296875, 2.146484375, 2.0732421875}
	var f failure
	for i, target := range []float64{6, 4, 0, 2, 5} {
		e := math.Abs(target - levels[i])
		f.mase += e / 5 / scale
		f.rmse += e * e / 5 / scale / scale
		f.smape += 20 * e / (target + levels[i])
	}
	f.rmse = math.Sqrt(f.rmse)
	want["ses"] = f
	for method, w := range want {
		r := rowOf(t, table, method, allHistory)
		if !near(r.MASE, w.mase, 1e-6) || !near(r.RMSE, w.rmse, 1e-6) || !near(*r.SMAPE, w.smape, 1e-6) {
			t.Errorf("%s: got MASE %g, RMSE %g, SMAPE %g, want %+v", method, r.MASE, r.RMSE, *r.SMAPE, w)
		}
		if r.MASECI != [2]float64{r.MASE, r.MASE} || r.Jobs != 1 {
			t.Errorf("%s: got interval %v of %d jobs, want that of one job", method, r.MASECI, r.Jobs)
		}
	}
	last := rowOf(t, table, "last", allHistory)
	if scratch := rowOf(t, table, "scratch", 5); scratch.MASE != last.MASE || last.WorstVsLast != 1 {
		t.Errorf("got MASE %g of a linear model held at 0, %g of the last value and ratio %g, want them equal, and 1", scratch.MASE, last.MASE, last.WorstVsLast)
	}
	if r := rowOf(t, table, "seasonal", allHistory); !near(r.WorstVsLast, 16.0/13, 1e-6) {
		t.Errorf("got ratio %g, want 16/13", r.WorstVsLast)
	}
}

// 0/0 is 0, and a value below 0 takes a job out of SMAPE alone.
func TestSMAPEOfZerosAndOfNegatives(t *testing.T) {
	b := testBase(t, loadConfig())
	v := make([]float64, 40)
	v[3], v[12], v[30] = 2, 2, 4
	zeros := series("a", 300, v...)
	below := changed(zeros, func(i int, v float64) float64 { return v - 1 })
	below.Name = "b"
	o := Options{Shots: []int{2}, Comparators: &Comparators{Alpha: 1, Scratch: []Choice{{Kind: linear, Precision: 1}}}}
	// Of the 30 windows scored, targets 10 to 39, those of 12, 13, 30, 31 move.
	want := 100 * 4.0 / 30
	table := mustEvaluate(t, b, []*taskshards.Series{zeros, below}, o)
	if r := rowOf(t, table, "last", allHistory); r.Jobs != 2 || r.SMAPE == nil || !near(*r.SMAPE, want, 1e-6) {
		t.Errorf("got %+v, want SMAPE %g of one job of two", r, want)
	}
	table = mustEvaluate(t, b, []*taskshards.Series{below}, o)
	if r := rowOf(t, table, "last", allHistory); r.SMAPE != nil {
		t.Errorf("got SMAPE %g of a series below 0, want none", *r.SMAPE)
	}
}

// MASE has no unit: a power of two changes no bit, another factor next to none.
func TestScalingASeriesChangesNoMASE(t *testing.T) {
	b := testBase(t, loadConfig())
	ss := fleet(6)
	want := mustEvaluate(t, b, ss, Options{})
	for factor, tolerance := range map[float64]float64{1024: 0, 1.0 / 4096: 0, 37.3: 1e-5} {
		var scaled []*taskshards.Series
		for _, s := range ss {
			scaled = append(scaled, changed(s, func(_ int, v float64) float64 { return v * factor }))
		}
		got := mustEvaluate(t, b, scaled, Options{})
		for i, r := range got.Rows {
			w := want.Rows[i]
			if !near(r.MASE, w.MASE, tolerance) || !near(r.RMSE, w.RMSE, tolerance) || !near(*r.SMAPE, *w.SMAPE, 100*tolerance) {
				t.Errorf("x %g: %s %v: got %+v, want %+v", factor, r.Method, shotsText(r.Shots), r, w)
			}
		}
	}
}

func TestTheOrderOfSeriesDoesNotMatter(t *testing.T) {
	b := testBase(t, loadConfig())
	ss := fleet(7)
	c, err := Tune(b, ss, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := mustEvaluate(t, b, ss, Options{Comparators: &c})
	slices.Reverse(ss)
	ss[0], ss[3] = ss[3], ss[0]
	again, err := Tune(b, ss, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := mustEvaluate(t, b, ss, Options{Comparators: &again})
	if a, b := mustJSON(t, want), mustJSON(t, got); !bytes.Equal(a, b) {
		t.Errorf("got another table of the same series:\n%s\n%s", a, b)
	}
}

// No method sees the future: what comes after a window changes no forecast of it.
func TestNoMethodSeesTheFuture(t *testing.T) {
	b := testBase(t, loadConfig())
	s := fleet(1)[0]
	const cut = 600 // position of the first value that differs
	other := changed(s, func(i int, v float64) float64 {
		if i >= cut {
			return 3*v + 1000*float64(i%7)
		}
		return v
	})
	for _, where := range []string{First, Recent} {
		o := Options{Support: where, Train: fleet(4)}.withDefaults()
		if where == Recent {
			o.Score = 0.9
		}
		a, z := forecasts(t, b, s, o), forecasts(t, b, other, o)
		for method, p := range a {
			q := z[method]
			same := 0
			for i := range p.at {
				if p.at[i] > cut { // its input holds the change
					break
				}
				if p.forecast[i] != q.forecast[i] {
					t.Fatalf("%s, %s: forecast of value %d: got %g and %g, want no difference before value %d", where, method, p.at[i], p.forecast[i], q.forecast[i], cut)
				}
				same++
			}
			if same < 100 {
				t.Errorf("%s, %s: compared %d forecasts only", where, method, same)
			}
		}
	}
}

type forecast struct {
	at       []int
	forecast []float64
}

// forecasts of the scored windows by method.
func forecasts(t *testing.T, b *Base, s *taskshards.Series, o Options) map[string]forecast {
	t.Helper()
	w, err := newWorkshop(b)
	if err != nil {
		t.Fatal(err)
	}
	jobs, _, err := newJobs(b, []*taskshards.Series{s}, o, 0)
	if err != nil || len(jobs) != 1 {
		t.Fatal(err, len(jobs))
	}
	out := make(map[string]forecast)
	for _, m := range append(w.methods(o, untuned()), mustNearest(t, w, o)...) {
		p, err := m.forecast(jobs[0])
		if err != nil {
			t.Fatal(err)
		}
		f := forecast{forecast: p}
		for _, k := range jobs[0].scored {
			f.at = append(f.at, jobs[0].ws.Index[k])
		}
		out[m.name+" "+shotsText(&m.shots)] = f
	}
	return out
}

// A segment without change, after others that have some, is forecast exactly.
func TestConstantStretchForecastsTheLastValue(t *testing.T) {
	b := testBase(t, loadConfig())
	s := fleet(1)[0]
	flat := make([]float64, 300)
	for i := range flat {
		flat[i] = 5
	}
	s.Segments = append(s.Segments, taskshards.Segment{Start: s.Segments[0].Start + 1e12, Values: flat})
	n := s.Len()
	for method, f := range forecasts(t, b, s, Options{}.withDefaults()) {
		if strings.HasPrefix(method, "ses") {
			continue
		}
		for i, at := range f.at {
			if at >= n-len(flat) && f.forecast[i] != 5 {
				t.Fatalf("%s: got %g for a value after constant ones, want 5", method, f.forecast[i])
			}
		}
	}
}

func TestConstantAndShortSeriesAreLeftOutAndCounted(t *testing.T) {
	b := testBase(t, loadConfig())
	ss := append(fleet(2), series("flat", 300, make([]float64, 500)...), series("brief", 300, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11))
	table := mustEvaluate(t, b, ss, Options{})
	if table.LeftOut != (LeftOut{Constant: 1, Short: 1}) || table.Rows[0].Jobs != 2 {
		t.Errorf("got %+v and %d jobs, want one constant, one short, 2 jobs", table.LeftOut, table.Rows[0].Jobs)
	}
	if _, err := Evaluate(b, ss[2:], Options{}); err == nil || !strings.Contains(err.Error(), "1 constant, 1 too short") {
		t.Errorf("got error %v, want one that counts what was left out", err)
	}
}

// 150 rows hold a window, 50 samples of support and some to score.
func TestSeriesOf150RowsIsScored(t *testing.T) {
	b := testBase(t, loadConfig())
	s := fleet(1)[0]
	s.Segments[0].Values = s.Segments[0].Values[:150]
	if got := mustEvaluate(t, b, []*taskshards.Series{s}, Options{}).PerJob[0].Scored; got != 150-8-50 {
		t.Errorf("got %d windows scored, want %d", got, 150-8-50)
	}
}

// What is scored is the same at any number of shots.
func TestScoreAndSupport(t *testing.T) {
	b := testBase(t, loadConfig())
	s := fleet(1)[0]
	n := s.Len() - 8
	j, _ := newJob(mustWindower(t, b), s, 50, 0.2, 0)
	if j.scored[0] != n-n/5 || len(j.scored) != n/5 {
		t.Errorf("got windows %d and on of %d, want the last fifth", j.scored[0], n)
	}
	if got := j.support(10, Recent); got.N != 10 || got.Y[9] != j.ws.Y[n-n/5-1] {
		t.Errorf("recent support: got %d samples, want the 10 before the scored ones", got.N)
	}
	if got := j.support(10, First); got.N != 10 || got.Y[0] != j.ws.Y[0] {
		t.Errorf("first support: got %d samples, want the first 10", got.N)
	}
}

func mustWindower(t *testing.T, b *Base) *taskshards.Windower {
	t.Helper()
	w, err := taskshards.NewWindower(b.Family)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWithoutPooledModelItsRowsAreLeftOut(t *testing.T) {
	b := testBase(t, loadConfig())
	b.Pooled = nil
	table := mustEvaluate(t, b, fleet(2), Options{})
	for _, r := range table.Rows {
		if r.Method == "pooled" || r.Method == "finetuned" {
			t.Errorf("got row %s without a pooled model", r.Method)
		}
	}
	if !strings.Contains(strings.Join(table.Notes, "\n"), "pooled.safetensors") {
		t.Errorf("got notes %q, want one that says so", table.Notes)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	b := testBase(t, loadConfig())
	for want, o := range map[string]Options{
		"shots":     {Shots: []int{5, -1}},
		"each once": {Shots: []int{5, 5}},
		"support":   {Support: "middle"},
		"score":     {Score: 1},
		"ses_alpha": {Comparators: &Comparators{}},
		"linear":    {Comparators: &Comparators{Alpha: 1, Scratch: []Choice{{Kind: "magic"}}}},
	} {
		if _, err := Evaluate(b, fleet(1), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one about %s", err, want)
		}
	}
}

// Tune must find what is best: here the last value is, and a walk has no level.
func TestTuneChoosesOnTrainingJobs(t *testing.T) {
	b := testBase(t, loadConfig())
	var walks []*taskshards.Series
	for i := range 4 {
		st := taskshards.NewStream(5, "walk", 0, uint64(i))
		v := make([]float64, 600)
		for k := range v {
			if k > 0 {
				v[k] = v[k-1] + st.Normal()
			}
		}
		walks = append(walks, series("walk"+string(rune('a'+i)), 300, v...))
	}
	c, err := Tune(b, walks, Options{Shots: []int{0, 10, 50}})
	if err != nil {
		t.Fatal(err)
	}
	if c.Alpha < 0.9 || c.Jobs != 4 || len(c.Scratch) != 2 || len(c.FineTuned) != 2 {
		t.Errorf("got %+v, want alpha near 1 and choices for 10 and 50 shots", c)
	}
	if s := c.Scratch[0]; s.Kind != linear || s.Precision < 1000 || s.Shots != 10 {
		t.Errorf("got %+v for walks, want a linear model held near the last value", s)
	}
}

func TestTableJSON(t *testing.T) {
	b := testBase(t, loadConfig())
	var ss []*taskshards.Series
	for i := range 3 { // no generated loads: the generator may change
		st := taskshards.NewStream(8, "coldstart/golden", 0, uint64(i))
		v := make([]float64, 120)
		for k := range v {
			v[k] = 50 + float64(k*(3+i)%24) + 4*st.Float64()
		}
		ss = append(ss, series("job"+string(rune('a'+i)), 3600, v...))
	}
	table := mustEvaluate(t, b, ss, Options{Shots: []int{0, 10}})
	got := mustJSON(t, table)
	var text bytes.Buffer
	if err := table.Write(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "table.json", got)
	golden(t, "table.txt", text.Bytes())
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s differs (%v); got:\n%s", file, err, got)
	}
}

// The interval of many equal jobs is a point, and it holds the mean.
func TestInterval(t *testing.T) {
	if got := interval([]float64{2, 2, 2}); got != [2]float64{2, 2} {
		t.Errorf("got %v, want 2 to 2", got)
	}
	var v []float64
	for i := range 400 {
		v = append(v, float64(i%2))
	}
	got := interval(v) // 0.5 +- 1.96 * 0.5 / 20
	if !near(got[0], 0.451, 0.006) || !near(got[1], 0.549, 0.006) {
		t.Errorf("got %v, want about 0.451 to 0.549", got)
	}
}

// A table of 60 series of 4,000 to 16,000 values takes seconds.
func BenchmarkEvaluate(b *testing.B) {
	base := testBase(b, loadConfig())
	var ss []*taskshards.Series
	for i, s := range fleet(60) {
		var v []float64
		for len(v) < 4000+i*200 {
			v = append(v, s.Segments[0].Values...)
		}
		s.Segments[0].Values = v
		ss = append(ss, s)
	}
	for b.Loop() {
		began := time.Now()
		c, err := Tune(base, ss[:24], Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "tune-s")
		mustEvaluate(b, base, ss, Options{Comparators: &c})
	}
}
