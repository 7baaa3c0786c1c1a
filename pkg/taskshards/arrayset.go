package taskshards

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// ArraySet is tasks of the user's own: rows of features and what is to be
// predicted of them.
type ArraySet struct {
	// In is the shape of a row's features, one to three numbers.
	In []int

	// Out is the number of targets of a row or, with Classes, of classes.
	Out     int
	Classes bool

	Tasks []ArrayTask // in the order of their names
}

// ArrayTask is one task.
type ArrayTask struct {
	Name  string // unique, ascending in a set
	Group string // names the siblings: tasks that must stay in one split

	// Split is where the folders of the source put the task; Undivided where a
	// hash of the groups decides.
	Split Split

	// Support is the number of leading rows that make the support, the others
	// being the query; Drawn where both are drawn from all rows.
	Support int

	X []float32 // [rows][In...]
	Y []float32 // [rows][Out], or with Classes [rows] labels from 0 to Out-1
	W []float32 // [rows] weights, 0 or more; nil: all alike
}

// Undivided is the split of a task that is yet to be divided.
const Undivided Split = -1

// Drawn is a number of support rows that each draw decides.
const Drawn = -1

// Bounds of what a set of arrays may hold.
const (
	maxRowFeatures = 1 << 16
	maxTargets     = 1 << 16
	maxWeight      = 1e30
)

// features is the number of features of a row.
func (s *ArraySet) features() int {
	n := 1
	for _, d := range s.In {
		n *= d
	}
	return n
}

// targets is the number of numbers of Y in a row.
func (s *ArraySet) targets() int {
	if s.Classes {
		return 1
	}
	return s.Out
}

// Rows is the number of rows of task k.
func (s *ArraySet) Rows(k int) int { return len(s.Tasks[k].X) / s.features() }

func (s *ArraySet) check() error {
	if len(s.In) < 1 || len(s.In) > 3 {
		return fmt.Errorf("check arrays: found features of shape %v, expected one to three axes", s.In)
	}
	for _, d := range s.In {
		if d < 1 || d > maxRowFeatures {
			return fmt.Errorf("check arrays: found features of shape %v, expected 1 to %d along each axis", s.In, maxRowFeatures)
		}
	}
	if s.features() > maxRowFeatures || s.Out < 1 || s.Out > maxTargets {
		return fmt.Errorf("check arrays: found %d features and %d targets or classes, expected 1 to %d of each", s.features(), s.Out, maxTargets)
	}
	if len(s.Tasks) == 0 {
		return fmt.Errorf("check arrays: found no task, expected one or more")
	}
	for k := range s.Tasks {
		t := &s.Tasks[k]
		if k > 0 && s.Tasks[k-1].Name >= t.Name {
			return fmt.Errorf("check arrays: found task %q after %q, expected names in ascending order, each once", t.Name, s.Tasks[k-1].Name)
		}
		if t.Split != s.Tasks[0].Split && (t.Split == Undivided || s.Tasks[0].Split == Undivided) {
			return fmt.Errorf("check arrays: task %q: found it in split %v beside %q in %v, expected folders for all tasks or for none", t.Name, t.Split, s.Tasks[0].Name, s.Tasks[0].Split)
		}
		if err := s.checkTask(t); err != nil {
			return fmt.Errorf("check arrays: task %q: %w", t.Name, err)
		}
	}
	return nil
}

func (s *ArraySet) checkTask(t *ArrayTask) error {
	rows := len(t.X) / s.features()
	switch {
	case t.Name == "" || t.Group == "" || !utf8.ValidString(t.Name) || !utf8.ValidString(t.Group):
		return fmt.Errorf("found group %q, expected name and group in UTF-8", t.Group)
	case t.Split < Undivided || t.Split > Test:
		return fmt.Errorf("found split %d, expected train, validate, test or none", t.Split)
	case len(t.X) != rows*s.features() || len(t.Y) != rows*s.targets() || t.W != nil && len(t.W) != rows:
		return fmt.Errorf("found %d features, %d targets and %d weights, expected whole rows of %d, %d and 1", len(t.X), len(t.Y), len(t.W), s.features(), s.targets())
	case t.Support < Drawn || t.Support > rows-1 || t.Support == Drawn && rows < 2:
		return fmt.Errorf("found %d rows of which %d are the support, expected one or more beside it", rows, t.Support)
	}
	for i, v := range t.X {
		if !finite(v) {
			return fmt.Errorf("row %d, feature %d: found %v, expected a finite number", i/s.features(), i%s.features(), v)
		}
	}
	for i, v := range t.Y {
		switch {
		case !finite(v):
			return fmt.Errorf("row %d, target %d: found %v, expected a finite number", i/s.targets(), i%s.targets(), v)
		case s.Classes && (v < 0 || v >= float32(s.Out) || v != float32(int(v))):
			return fmt.Errorf("row %d: found label %v, expected a whole number from 0 to %d", i, v, s.Out-1)
		}
	}
	return checkWeights(t)
}

// checkWeights refuses weights that could not be scaled to a sum of 1.
func checkWeights(t *ArrayTask) error {
	for i, w := range t.W {
		if !(w >= 0 && w <= maxWeight) {
			return fmt.Errorf("row %d: found weight %v, expected 0 to %g", i, w, maxWeight)
		}
	}
	parts := map[string][]float32{"file": t.W}
	if t.W != nil && t.Support != Drawn {
		parts = map[string][]float32{"support": t.W[:t.Support], "query": t.W[t.Support:]}
	}
	for name, part := range parts {
		sum := 0.0
		for _, w := range part {
			sum += float64(w)
		}
		if len(part) > 0 && sum == 0 {
			return fmt.Errorf("found weights of the %s that are all 0, expected one above", name)
		}
	}
	return nil
}

func finite(v float32) bool { return math.Abs(float64(v)) <= math.MaxFloat32 }
