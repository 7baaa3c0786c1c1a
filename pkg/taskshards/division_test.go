package taskshards

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
)

func names(n int) []string {
	var g []string
	for i := range n {
		g = append(g, fmt.Sprintf("job-%d", i))
	}
	slices.Sort(g)
	return g
}

func TestDivisionHoldsOutJobs(t *testing.T) {
	groups := names(40)
	d := Divide(groups, DivisionConfig{Validate: 0.15, Test: 0.25})
	if d.ByTime || len(d.Groups[Test]) != 10 || len(d.Groups[Validate]) != 6 || len(d.Groups[Train]) != 24 {
		t.Errorf("got %v", d.Groups)
	}
	all := slices.Concat(d.Groups[Train], d.Groups[Validate], d.Groups[Test])
	slices.Sort(all)
	if !slices.Equal(all, groups) {
		t.Errorf("splits hold %v, want each job once", all)
	}
	for s := range d.Groups {
		for _, g := range d.Groups[s] {
			if !d.Has(Split(s), g) || d.Has(Split((s+1)%3), g) {
				t.Errorf("%s is not in %s alone", g, Split(s))
			}
		}
	}
	if lo, hi := d.Range(Test, 100); lo != 0 || hi != 100 {
		t.Errorf("by job a split has windows %d to %d of 100, want all", lo, hi)
	}
	slices.Reverse(groups)
	if other := Divide(append(groups, "job-7"), DivisionConfig{Validate: 0.15, Test: 0.25}); !reflect.DeepEqual(other, d) {
		t.Error("the order of reading changes the division")
	}
}

func TestFoldsTestEachJobOnce(t *testing.T) {
	groups := names(40)
	tested := map[string]int{}
	for fold := range 5 {
		d := Divide(groups, DivisionConfig{Validate: 0.1, Folds: 5, Fold: fold})
		for _, g := range d.Groups[Test] {
			tested[g]++
			if FoldOf(g, 5) != fold {
				t.Errorf("%s of fold %d is tested in fold %d", g, FoldOf(g, 5), fold)
			}
		}
		if n := len(d.Groups[Validate]); n != 4 {
			t.Errorf("fold %d: %d jobs validate, want 4", fold, n)
		}
	}
	if f := [3]int{FoldOf("a", 5), FoldOf("b", 5), FoldOf("c", 5)}; f != [3]int{2, 4, 2} {
		t.Errorf("jobs a, b, c are in folds %v; folds are part of every reported figure", f)
	}
	if len(tested) != 40 {
		t.Errorf("%d of 40 jobs are tested in some fold", len(tested))
	}
}

func TestSmallShareStillHoldsOutOneJob(t *testing.T) {
	d := Divide(names(5), DivisionConfig{Validate: 0.01, Test: 0.01})
	if len(d.Groups[Validate]) != 1 || len(d.Groups[Test]) != 1 || len(d.Groups[Train]) != 3 {
		t.Errorf("got %v", d.Groups)
	}
	d = Divide(names(5), DivisionConfig{})
	if len(d.Groups[Train]) != 5 {
		t.Errorf("shares of 0: got %v, want all in training", d.Groups)
	}
}

func TestFewerThanFiveJobsAreDividedByTime(t *testing.T) {
	d := Divide(names(4), DivisionConfig{Validate: 0.15, Test: 0.15})
	if !d.ByTime || len(d.Groups[Train]) != 4 || len(d.Groups[Test]) != 4 {
		t.Fatalf("got %+v", d)
	}
	var got [3][2]int
	for s := range got {
		got[s][0], got[s][1] = d.Range(Split(s), 1000)
	}
	if want := [3][2]int{{0, 640}, {640, 800}, {800, 1000}}; got != want {
		t.Errorf("got ranges %v, want %v", got, want)
	}
}
