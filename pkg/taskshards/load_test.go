package taskshards

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// fleet is a data set of n jobs with two siblings each, of the given length.
func fleet(tb testing.TB, n, length int) *DataSet {
	tb.Helper()
	var series []Series
	for i := range n {
		for k := range 2 {
			v := noisy(uint64(2*i+k), length)
			series = append(series, Series{Name: fmt.Sprintf("job-%d/%d", i, k), Group: fmt.Sprintf("job-%d", i), Interval: 300, Segments: []Segment{{Values: v}}})
		}
	}
	ds, err := NewDataSet(series)
	if err != nil {
		tb.Fatal(err)
	}
	return ds
}

func load(tb testing.TB, ds *DataSet, edit func(*Config)) *Load {
	tb.Helper()
	c, _ := Default("load")
	c.Features, c.Generator.Series, c.Mixture.Series = nil, 64, 64
	if edit != nil {
		edit(&c)
	}
	f, err := NewLoad(c, ds)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// tracesOnly turns off everything but traces.
func tracesOnly(c *Config) { c.Generator.Share, c.Mixture.Share = 0, 0 }

func TestG1_LoadTasksAreKeyed(t *testing.T) {
	ds := fleet(t, 8, 400)
	checkKeyed(t, func() Family {
		return load(t, ds, func(c *Config) { c.Features = FeatureNames() })
	})
}

func TestLoadAllocatesNothing(t *testing.T) {
	checkSteadyStateAllocatesNothing(t, load(t, fleet(t, 8, 400), nil))
}

// A packed data set gives the same tasks as the one that was read.
func TestG1_LoadTasksSurvivePacking(t *testing.T) {
	ds := fleet(t, 8, 400)
	back, err := Unpack(mustPack(t, ds))
	if err != nil {
		t.Fatal(err)
	}
	if familyDigest(t, load(t, ds, nil)) != familyDigest(t, load(t, back, nil)) {
		t.Error("tasks differ")
	}
}

// position finds a sample among all windows of a data set: its series and its
// place in it.
type position struct{ series, window int }

func index(f *Load, ds *DataSet) map[string][]position {
	at := make(map[string][]position)
	for k := range ds.Series {
		ws := f.Windows(&ds.Series[k])
		for i := range ws.N {
			key := fmt.Sprint(ws.X[i*ws.In:(i+1)*ws.In], ws.Y[i])
			at[key] = append(at[key], position{k, i})
		}
	}
	return at
}

func positions(t *testing.T, b *Batch, in int, at map[string][]position) (out []position) {
	t.Helper()
	for i := range b.N {
		p := at[fmt.Sprint(b.X[i*in:(i+1)*in], b.Y[i])]
		if len(p) != 1 {
			t.Fatalf("sample %d is window %v of the data, want one", i, p)
		}
		out = append(out, p[0])
	}
	return out
}

// The episode: consecutive support of one series, query from all that comes
// later, targets disjoint.
func TestEpisodeIsSupportThenQuery(t *testing.T) {
	ds := fleet(t, 8, 400)
	f := load(t, ds, tracesOnly)
	at := index(f, ds)
	d := f.Division()
	shots, starts, lastQuery := map[int]int{}, map[int]bool{}, 0
	series := map[int]bool{}
	var task Task
	for split := range 3 {
		for k := range uint64(300) {
			mustSample(t, f, Split(split), 1, 0, k, &task)
			support, query := positions(t, &task.Support, f.In(), at), positions(t, &task.Query, f.In(), at)
			shots[len(support)]++
			all := slices.Concat(support, query)
			starts[all[0].window] = true
			for i, p := range all {
				switch {
				case p.series != all[0].series:
					t.Fatalf("task %d mixes series", k)
				case i > 0 && p.window <= all[i-1].window:
					t.Fatalf("task %d: window %d after %d, want rising ones", k, p.window, all[i-1].window)
				case i > 0 && i < len(support) && p.window != all[i-1].window+1:
					t.Fatalf("task %d: support skips from %d to %d", k, all[i-1].window, p.window)
				}
			}
			if g := ds.Series[all[0].series].Group; !d.Has(Split(split), g) {
				t.Fatalf("a task of %s comes from %s", Split(split), g)
			}
			series[all[0].series] = true
			lastQuery = max(lastQuery, query[len(query)-1].window)
			if len(query) != 50 {
				t.Fatalf("task %d: %d query windows, want 50", k, len(query))
			}
		}
	}
	for _, k := range []int{0, 5, 10, 20, 50} {
		if shots[k] < 120 {
			t.Errorf("shots %v, want each of 0, 5, 10, 20, 50 about 180 times", shots)
			break
		}
	}
	if len(starts) < 200 {
		t.Errorf("tasks begin at %d different windows, want most of 334", len(starts))
	}
	if len(series) != len(ds.Series) || lastQuery < 400-16-10 {
		t.Errorf("tasks come from %d of %d series, up to window %d", len(series), len(ds.Series), lastQuery)
	}
}

// The weights make the loss the error over that of the last value.
func TestQueryWeightsAreRelativeToTheLastValue(t *testing.T) {
	f := load(t, fleet(t, 8, 400), nil)
	var task Task
	for k := range uint64(500) {
		mustSample(t, f, Train, 1, 0, k, &task)
		var last float64
		for i, y := range task.Query.Y {
			w := float64(task.Query.W[i])
			if !(w >= 0 && w <= 10) || math.Abs(float64(y)) > Clip {
				t.Fatalf("task %d: weight %g, target %g", k, w, y)
			}
			last += w * math.Abs(float64(y))
		}
		if last > 1+1e-5 {
			t.Fatalf("task %d: the last value's loss is %g, want at most 1", k, last)
		}
		var support float64
		for _, w := range task.Support.W {
			support += float64(w)
		}
		if support > 1+1e-5 {
			t.Fatalf("task %d: support weighs %g, want at most 1", k, support)
		}
	}
}

func TestWeightsByHand(t *testing.T) {
	b := Batch{N: 3, Y: []float32{1, -2, 0}, W: make([]float32, 3), scale: []float64{3, 1, 0}}
	if !b.weighByScale() || !slices.Equal(b.W, []float32{0.6, 0.2, 0}) {
		t.Errorf("got %v, want 3/5, 1/5, 0", b.W)
	}
	b = Batch{N: 2, Y: []float32{0, 0}, W: make([]float32, 2), scale: []float64{3, 1}}
	if !b.weighByScale() || !slices.Equal(b.W, []float32{7.5, 2.5}) {
		t.Errorf("nothing moves: got %v, want 10 times the share of s", b.W)
	}
	b = Batch{N: 1, Y: []float32{0}, W: []float32{9}, scale: []float64{0}}
	if b.weighByScale() || b.W[0] != 0 {
		t.Errorf("constant windows: got %v, want 0", b.W)
	}
}

// With fewer than five jobs training must not touch the last fifth.
func TestFewJobsTrainOnTheirEarlierPartOnly(t *testing.T) {
	ds := fleet(t, 2, 500)
	f := load(t, ds, tracesOnly)
	if !f.Division().ByTime {
		t.Fatal("two jobs are not divided by time")
	}
	at := index(f, ds)
	n := f.Windows(&ds.Series[0]).N
	var task Task
	for split := range 3 {
		lo, hi := f.division.Range(Split(split), n)
		for k := range uint64(200) {
			mustSample(t, f, Split(split), 1, 0, k, &task)
			for _, p := range slices.Concat(positions(t, &task.Support, f.In(), at), positions(t, &task.Query, f.In(), at)) {
				if p.window < lo || p.window >= hi {
					t.Fatalf("%s took window %d, want %d to %d", Split(split), p.window, lo, hi-1)
				}
			}
		}
	}
	// Mixtures too are made of the training part alone: change what comes later
	// and nothing may change.
	before := trainDigest(t, load(t, ds, func(c *Config) { c.Generator.Share, c.Mixture.Share = 0, 0.6 }))
	for k := range ds.Series {
		v := ds.Series[k].Segments[0].Values
		_, hi := f.division.Range(Train, n)
		for i := f.Lags() + hi; i < len(v); i++ {
			v[i] = 0
		}
	}
	if trainDigest(t, load(t, ds, func(c *Config) { c.Generator.Share, c.Mixture.Share = 0, 0.6 })) != before {
		t.Error("training changes with values behind its part")
	}
}

func trainDigest(tb testing.TB, f Family) string {
	var task Task
	all := ""
	for k := range uint64(200) {
		mustSample(tb, f, Train, 1, 0, k, &task)
		all += taskDigest(&task)
	}
	return all
}

// No value of a held-out job reaches training, mixtures included.
func TestHeldOutJobsDoNotReachTraining(t *testing.T) {
	ds := fleet(t, 10, 300)
	edit := func(c *Config) { c.Generator.Share, c.Mixture.Share = 0.2, 0.4 }
	f := load(t, ds, edit)
	before := trainDigest(t, f)
	d := f.Division()
	for k := range ds.Series {
		if !d.Has(Train, ds.Series[k].Group) {
			clear(ds.Series[k].Segments[0].Values)
		}
	}
	if trainDigest(t, load(t, ds, edit)) != before {
		t.Error("training changes with a held-out job")
	}
}

func TestGeneratorAloneIsAFamily(t *testing.T) {
	f := load(t, nil, nil)
	var task Task
	seen := map[string]bool{}
	for _, split := range []Split{Train, Validate, Test} {
		mustSample(t, f, split, 1, 0, 0, &task)
		seen[taskDigest(&task)] = true
		if task.Query.N == 0 {
			t.Errorf("%s: no query", split)
		}
	}
	if len(seen) != 3 {
		t.Error("splits share tasks")
	}
}

func TestShortSeriesTakeFewerShots(t *testing.T) {
	ds := fleet(t, 1, 16+30) // 30 windows, of which 20 train
	f := load(t, ds, tracesOnly)
	var task Task
	for k := range uint64(100) {
		mustSample(t, f, Train, 1, 0, k, &task)
		if task.Support.N > 10 || task.Query.N < 1 || task.Support.N+task.Query.N > 20 {
			t.Fatalf("task %d: %d + %d samples of 20 windows", k, task.Support.N, task.Query.N)
		}
	}
}

func TestG7_LoadRefusesWhatItCannotSample(t *testing.T) {
	c, _ := Default("load")
	c.Generator.Share = 0
	if _, err := New(c, nil); err == nil || !strings.Contains(err.Error(), "neither traces nor") {
		t.Errorf("no source: got %v", err)
	}
	c.Lags = 500
	if _, err := New(c, fleet(t, 6, 400)); err == nil || !strings.Contains(err.Error(), "no job to train on among 4 groups") {
		t.Errorf("windows longer than traces: got %v", err)
	}
	f := load(t, fleet(t, 6, 400), func(c *Config) {
		tracesOnly(c)
		c.Division = DivisionConfig{}
	})
	var task Task
	if err := f.Sample(Test, 1, 0, 0, &task); err == nil || !strings.Contains(err.Error(), "no job in split test") {
		t.Errorf("empty split: got %v", err)
	}
}

func benchmarkSample(b *testing.B, f Family) {
	var task Task
	for k := range uint64(5000) {
		mustSample(b, f, Train, 1, 0, k, &task)
	}
	k := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		mustSample(b, f, Train, 1, 0, k, &task)
		k++
	}
}

func BenchmarkSampleSinusoid(b *testing.B) { benchmarkSample(b, sinusoid(b)) }

func BenchmarkSampleLoad(b *testing.B) { benchmarkSample(b, load(b, fleet(b, 20, 1000), nil)) }

func BenchmarkSampleLoadAllFeatures(b *testing.B) {
	benchmarkSample(b, load(b, fleet(b, 20, 1000), func(c *Config) { c.Features = FeatureNames() }))
}

// A job that begins with its support knows no earlier day there, but in time; in
// a fifth of the tasks it is an old job, which does.
func TestMostJobsAreNew(t *testing.T) {
	ds := fleet(t, 8, 400)
	for i := range ds.Series {
		ds.Series[i].Interval = 7200
	}
	f := load(t, ds, func(c *Config) {
		tracesOnly(c)
		c.Lags, c.Features, c.Shots = 4, []string{"season"}, []int{5}
	})
	var task Task
	knows := func(b *Batch, i int) bool { return b.X[i*f.in+f.in-1] == 1 }
	old := 0
	const tasks = 400
	for i := range uint64(tasks) {
		if err := f.Sample(Train, 1, 0, i, &task); err != nil {
			t.Fatal(err)
		}
		if knows(&task.Support, 0) {
			old++
		}
		if !knows(&task.Query, task.Query.N-1) {
			t.Fatalf("task %d: the last window of the query knows no earlier day", i)
		}
	}
	if old < tasks*15/100 || old > tasks*25/100 {
		t.Errorf("got %d old jobs of %d, want about a fifth", old, tasks)
	}
}
