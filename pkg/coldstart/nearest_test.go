package coldstart

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// kinds are series that move in unlike ways: by turns, in waves of 12 values, in
// waves of 40, and at random.
var kinds = []string{"zigzag", "waves", "swell", "walk"}

// moving is a series of one kind, of its own level, unit and noise.
func moving(kind string, seed uint64, level, unit float64, n int) *taskshards.Series {
	st := taskshards.NewStream(seed, "coldstart/moving/"+kind, 0, 0)
	v := make([]float64, n)
	at := 0.0
	for i := range v {
		switch kind {
		case "zigzag":
			at = float64(i % 2)
		case "waves":
			at = 3 * math.Sin(2*math.Pi*float64(i)/12)
		case "swell":
			at = 10 * math.Sin(2*math.Pi*float64(i)/40)
		default:
			at += st.Normal()
		}
		v[i] = level + unit*(at+0.05*st.Normal())
	}
	return series(fmt.Sprintf("%s%d", kind, seed), 300, v...)
}

func nearestConfig(t *testing.T) *Base {
	c := loadConfig()
	c.Family.Options = []byte(`{"lags":24}`)
	return testBase(t, c)
}

// Whatever its unit and level, a job's support of a few windows finds the training
// job that moves like it.
func TestNearestFindsTheJobThatMovesAlike(t *testing.T) {
	b := nearestConfig(t)
	var train []*taskshards.Series
	for i, kind := range kinds {
		train = append(train, moving(kind, 1, 100*float64(i), 1, 400))
	}
	ns, err := neighbours(b, train)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		jobs, _, err := newJobs(b, []*taskshards.Series{moving(kind, 2, 5e6, 300, 200)}, Options{Shots: []int{10}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []int{5, 10} {
			for _, where := range []string{First, Recent} {
				if n := closest(ns, jobs[0], b.Family.Lags, k, where); n.name != kind+"1" {
					t.Errorf("%s, %d shots, %s: nearest is %s", kind, k, where, n.name)
				}
			}
		}
	}
}

// Siblings of a job, and the job itself, are no neighbours; with none left the row
// is that of finetuned.
func TestNearestPassesSiblingsBy(t *testing.T) {
	b := nearestConfig(t)
	own, sibling, other := moving("waves", 1, 0, 1, 300), moving("waves", 2, 0, 1, 300), moving("walk", 3, 0, 1, 300)
	sibling.Group = own.Group
	o := Options{Shots: []int{10}, Train: []*taskshards.Series{own, sibling, other}}
	ns, err := neighbours(b, o.Train)
	if err != nil {
		t.Fatal(err)
	}
	jobs, _, err := newJobs(b, []*taskshards.Series{own}, o, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := closest(ns, jobs[0], b.Family.Lags, 10, First); n.name != "walk3" {
		t.Errorf("nearest is %s, a sibling", n.name)
	}
	o.Train = o.Train[:2]
	table := mustEvaluate(t, b, []*taskshards.Series{own}, o)
	if a, z := rowOf(t, table, "finetuned", 10), rowOf(t, table, "nearest", 10); a.MASE != z.MASE {
		t.Errorf("without a neighbour MASE is %v, finetuned's %v", z.MASE, a.MASE)
	}
}

// A neighbour that moves alike must help where the pooled model is of no use: it
// is untrained here.
func TestNearestBeatsFineTuningAnUntrainedModel(t *testing.T) {
	b := nearestConfig(t)
	var train, test []*taskshards.Series
	for i, kind := range kinds[:3] {
		train = append(train, moving(kind, 1, 100*float64(i), 1, 400))
		test = append(test, moving(kind, 2, 50, 10, 300))
	}
	table := mustEvaluate(t, b, test, Options{Shots: []int{5}, Train: train})
	a, z := rowOf(t, table, "finetuned", 5), rowOf(t, table, "nearest", 5)
	if z.MASE > 0.9*a.MASE {
		t.Errorf("nearest %v, finetuned %v: no better for a neighbour", z.MASE, a.MASE)
	}
}

// The row comes with training series, changes no other, and does not depend on
// their order; without them the table says that it is left out.
func TestNearestRowComesWithTrainingSeries(t *testing.T) {
	b := testBase(t, loadConfig())
	train, test := fleet(9)[4:], fleet(4)
	o := Options{Shots: []int{0, 5, 20}}
	without := mustEvaluate(t, b, test, o)
	if !strings.Contains(strings.Join(without.Notes, "\n"), "nearest is left out") {
		t.Errorf("notes %q, want one that says that nearest is left out", without.Notes)
	}
	o.Train = train
	with := mustEvaluate(t, b, test, o)
	if strings.Contains(strings.Join(with.Notes, "\n"), "left out") {
		t.Errorf("notes %q, want none of a row left out", with.Notes)
	}
	var rest []Row
	for _, r := range with.Rows {
		if r.Method != "nearest" {
			rest = append(rest, r)
		}
	}
	if a, z := mustJSON(t, without.Rows), mustJSON(t, rest); !bytes.Equal(a, z) || len(with.Rows) != len(rest)+2 {
		t.Errorf("of %d rows, %d are not nearest's:\n%s\nwithout it:\n%s", len(with.Rows), len(rest), z, a)
	}
	slices.Reverse(o.Train)
	if again := mustEvaluate(t, b, test, o); !bytes.Equal(mustJSON(t, with), mustJSON(t, again)) {
		t.Error("another order of the training series makes another table")
	}
}

// Tune chooses for nearest where there are training series, and Evaluate takes it.
func TestTuneChoosesForNearest(t *testing.T) {
	b := testBase(t, loadConfig())
	ss := fleet(5)
	o := Options{Shots: []int{0, 5, 20}}
	plain, err := Tune(b, ss, o)
	if err != nil || plain.Nearest != nil {
		t.Fatalf("without training series: %+v (%v)", plain.Nearest, err)
	}
	o.Train = ss
	c, err := Tune(b, ss, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Nearest) != 2 || c.Nearest[0].Shots != 5 || c.Nearest[1].Kind != network || c.check() != nil {
		t.Errorf("got %+v, want choices for 5 and 20 shots", c.Nearest)
	}
	c.Nearest = nil
	if a, z := mustJSON(t, plain), mustJSON(t, c); !bytes.Equal(a, z) {
		t.Errorf("the other choices differ:\n%s\n%s", a, z)
	}
}

func mustNearest(t *testing.T, w *workshop, o Options) []method {
	t.Helper()
	ms, err := w.nearestMethods(o, untuned())
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

// What is nearest is told from the support alone: here the job moves on in another
// way after it, like another neighbour.
func TestNearestSeesTheSupportAlone(t *testing.T) {
	b := nearestConfig(t)
	train := []*taskshards.Series{moving("zigzag", 1, 0, 1, 400), moving("swell", 1, 0, 1, 400)}
	ns, err := neighbours(b, train)
	if err != nil {
		t.Fatal(err)
	}
	later := moving("swell", 2, 0, 1, 400).Segments[0].Values
	early := moving("zigzag", 2, 0, 1, 24+10).Segments[0].Values
	s := series("turns", 300, append(slices.Clone(early), later...)...)
	jobs, _, err := newJobs(b, []*taskshards.Series{s}, Options{Shots: []int{10}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := closest(ns, jobs[0], b.Family.Lags, 10, First); n.name != "zigzag1" {
		t.Errorf("nearest is %s, which the job is like after its support", n.name)
	}
}

// Of equals the first by name, whatever the order they come in.
func TestNearestOfEqualsIsTheFirstByName(t *testing.T) {
	b := nearestConfig(t)
	one := moving("waves", 1, 0, 1, 300)
	two := *one
	one.Name, one.Group, two.Name, two.Group = "b", "b", "a", "a"
	jobs, _, err := newJobs(b, []*taskshards.Series{moving("walk", 2, 0, 1, 300)}, Options{Shots: []int{10}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, train := range [][]*taskshards.Series{{one, &two}, {&two, one}} {
		ns, err := neighbours(b, train)
		if err != nil {
			t.Fatal(err)
		}
		if n := closest(ns, jobs[0], b.Family.Lags, 10, First); n.name != "a" {
			t.Errorf("of a and b, %s first, nearest is %s", train[0].Name, n.name)
		}
	}
}
