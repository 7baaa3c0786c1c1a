package taskshards

import (
	"cmp"
	"math"
	"slices"
)

// fewestGroups is the number of groups below which none is held out: a split by
// job would leave too little on either side.
const fewestGroups = 5

// Division says which jobs are trained on and which are held out. It is a
// function of the names of the groups, not of the order of reading.
type Division struct {
	// ByTime is set where there are fewer than five jobs and no folds were asked
	// for: then every job is in every split, and each split has a stretch of
	// each job's time to itself (see Range).
	ByTime bool

	// Groups names the groups of each split, sorted; where ByTime is set, all
	// of them in each.
	Groups [3][]string

	of map[string]Split
}

// Divide divides the groups. They stand in the order of a hash of their names;
// the first share of that order is tested on, the next validates. With folds the
// test split is FoldOf's, and the order of the rest decides who validates.
func Divide(groups []string, c DivisionConfig) Division {
	groups = slices.Clone(groups)
	slices.Sort(groups)
	groups = slices.Compact(groups)
	d := Division{of: make(map[string]Split, len(groups))}
	if len(groups) < fewestGroups && c.Folds == 0 {
		d.ByTime = true
		d.Groups = [3][]string{groups, groups, groups}
		return d
	}
	order := slices.Clone(groups)
	slices.SortFunc(order, func(a, b string) int { return cmp.Compare(hashString(a), hashString(b)) })
	tests := atLeastOne(c.Test, len(order))
	if c.Folds > 0 {
		inFold := func(g string) bool { return FoldOf(g, c.Folds) == c.Fold }
		slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(btoi(inFold(b)), btoi(inFold(a))) })
		for tests = 0; tests < len(order) && inFold(order[tests]); tests++ {
		}
	}
	validates := atLeastOne(c.Validate, len(order))
	for i, g := range order {
		switch {
		case i < tests:
			d.of[g] = Test
		case i < tests+validates && i < len(order)-1:
			d.of[g] = Validate
		}
	}
	for _, g := range groups {
		s := d.of[g]
		d.Groups[s] = append(d.Groups[s], g)
	}
	return d
}

// FoldOf returns the fold of a group, 0 to folds-1: a hash of its name.
func FoldOf(group string, folds int) int {
	return int(hashString("fold/"+group) % uint64(folds))
}

// atLeastOne is a share of n, rounded, but not less than 1 unless the share is 0.
func atLeastOne(share float64, n int) int {
	if share == 0 {
		return 0
	}
	return max(1, int(math.Round(share*float64(n))))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Has reports whether the split draws from that group.
func (d *Division) Has(split Split, group string) bool {
	return d.ByTime || d.of[group] == split
}

// Range returns the targets of a series of n windows that belong to a split, as
// a half-open range. By job it is all of them. By time the last fifth is for
// Test, the last fifth of the rest for Validate, what comes before for Train:
// inputs may reach back over a border, targets never.
func (d *Division) Range(split Split, n int) (lo, hi int) {
	if !d.ByTime {
		return 0, n
	}
	test := n - n/5
	validate := test - test/5
	switch split {
	case Train:
		return 0, validate
	case Validate:
		return validate, test
	}
	return test, n
}
