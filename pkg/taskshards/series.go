package taskshards

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Series is the event rate of one job (or another quantity of it) on an even
// grid.
type Series struct {
	Name     string  // unique in a data set
	Group    string  // names the siblings: series that must stay in one split
	Interval float64 // seconds between values
	Segments []Segment
}

// Segment is a stretch of a series without a break. No window crosses from one
// into the next.
type Segment struct {
	Start  int64 // time of Values[0], Unix milliseconds
	Values []float64

	// Held lists, in ascending order, the positions of values that were not
	// observed but repeat the value before (small gaps). They serve as inputs,
	// never as targets.
	Held []int
}

// Len returns the number of values in all segments, held ones included.
func (s *Series) Len() int {
	n := 0
	for _, g := range s.Segments {
		n += len(g.Values)
	}
	return n
}

// Constant reports whether all values are equal; an empty series is.
func (s *Series) Constant() bool {
	first, seen := 0.0, false
	for _, g := range s.Segments {
		for _, v := range g.Values {
			if !seen {
				first, seen = v, true
			}
			if v != first {
				return false
			}
		}
	}
	return true
}

// DataSet is what a family reads: the traces of a fleet in the order of their
// names, or images, or arrays, one of the three.
type DataSet struct {
	Series []Series
	Images *ImageSet
	Arrays *ArraySet
}

// NewDataSet sorts the series by name and checks them.
func NewDataSet(series []Series) (*DataSet, error) {
	slices.SortStableFunc(series, func(a, b Series) int { return strings.Compare(a.Name, b.Name) })
	ds := &DataSet{Series: series}
	if err := ds.check(); err != nil {
		return nil, err
	}
	return ds, nil
}

// Groups returns the names of the groups, sorted. Each class of images is one.
func (ds *DataSet) Groups() []string {
	var names []string
	if ds.Images != nil {
		for _, c := range ds.Images.Classes {
			names = append(names, c.Name)
		}
	}
	if ds.Arrays != nil {
		for _, t := range ds.Arrays.Tasks {
			names = append(names, t.Group)
		}
	}
	for i := range ds.Series {
		names = append(names, ds.Series[i].Group)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// maxValue bounds what a value may be: far beyond any rate, and its square, and
// sums of such squares, stay finite.
const maxValue = 1e100

func (ds *DataSet) check() error {
	switch {
	case ds.Images != nil:
		return ds.Images.check()
	case ds.Arrays != nil:
		return ds.Arrays.check()
	}
	for i := range ds.Series {
		s := &ds.Series[i]
		if s.Name == "" || s.Group == "" {
			return fmt.Errorf("check data set: series %d: found name %q in group %q, expected both to be named", i, s.Name, s.Group)
		}
		if i > 0 && ds.Series[i-1].Name >= s.Name {
			return fmt.Errorf("check data set: found series %q after %q, expected names in ascending order, each once", s.Name, ds.Series[i-1].Name)
		}
		if err := s.check(); err != nil {
			return fmt.Errorf("check data set: series %q: %w", s.Name, err)
		}
	}
	return nil
}

func (s *Series) check() error {
	if !utf8.ValidString(s.Name) || !utf8.ValidString(s.Group) {
		return fmt.Errorf("found group %q, expected name and group in UTF-8", s.Group)
	}
	if !(s.Interval > 0 && s.Interval <= maxInterval) {
		return fmt.Errorf("found interval %g s, expected more than 0 and at most %g", s.Interval, float64(maxInterval))
	}
	if len(s.Segments) == 0 {
		return fmt.Errorf("found no segment, expected one or more")
	}
	for k, g := range s.Segments {
		if len(g.Values) == 0 {
			return fmt.Errorf("segment %d: found no value, expected one or more", k)
		}
		for j, v := range g.Values {
			if !(math.Abs(v) <= maxValue) {
				return fmt.Errorf("segment %d, value %d: found %g, expected a number within +-%g", k, j, v, maxValue)
			}
		}
		for j, h := range g.Held {
			if h < 1 || h >= len(g.Values) || j > 0 && h <= g.Held[j-1] {
				return fmt.Errorf("segment %d: found held position %d, expected ascending ones within 1 to %d", k, h, len(g.Values)-1)
			}
		}
	}
	return nil
}

// maxInterval is a hundred years, in seconds.
const maxInterval = 100 * 366 * 86400
