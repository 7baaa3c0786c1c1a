package taskshards

import (
	"reflect"
	"strings"
	"testing"
)

// rowsAt makes rows at the given seconds with values 0, 1, 2, ...
func rowsAt(seconds ...int64) []row {
	rows := make([]row, len(seconds))
	for i, s := range seconds {
		rows[i] = row{at: s * 1000, value: float64(i), line: i + 2}
	}
	return rows
}

func TestDirtyRowsAreMendedAndCounted(t *testing.T) {
	cases := []struct {
		name    string
		seconds []int64
		want    []Segment
		report  Report
	}{
		{"clean", []int64{0, 10, 20, 30},
			[]Segment{{Start: 0, Values: []float64{0, 1, 2, 3}}}, Report{}},
		{"snapped", []int64{0, 10, 20, 26, 44, 50, 60, 70},
			[]Segment{{Start: 0, Values: []float64{0, 1, 2, 3, 4, 5, 6, 7}}}, Report{OffGrid: 2}},
		{"equal stamps averaged", []int64{0, 10, 10, 10, 20, 30},
			[]Segment{{Start: 0, Values: []float64{0, 2, 4, 5}}}, Report{Equal: 2}},
		{"equal slot averaged", []int64{0, 10, 13, 20, 30, 40},
			[]Segment{{Start: 0, Values: []float64{0, 1.5, 3, 4, 5}}}, Report{Equal: 1, OffGrid: 1}},
		{"backward stamp", []int64{0, 10, 20, 5, 15, 25},
			[]Segment{{Start: 0, Values: []float64{0, 1, 2}}, {Start: 5000, Values: []float64{3, 4, 5}}}, Report{Backward: 1}},
		{"gap of three slots is held", []int64{0, 10, 20, 50, 60, 70},
			[]Segment{{Start: 0, Values: []float64{0, 1, 2, 2, 2, 3, 4, 5}, Held: []int{3, 4}}}, Report{Held: 2}},
		{"gap of four slots breaks", []int64{0, 10, 20, 60, 70, 80},
			[]Segment{{Start: 0, Values: []float64{0, 1, 2}}, {Start: 60000, Values: []float64{3, 4, 5}}}, Report{Gaps: 1}},
		{"a break anchors the grid anew", []int64{0, 10, 20, 63, 73, 83},
			[]Segment{{Start: 0, Values: []float64{0, 1, 2}}, {Start: 63000, Values: []float64{3, 4, 5}}}, Report{Gaps: 1}},
	}
	for _, tc := range cases {
		g, err := layOnGrid(rowsAt(tc.seconds...), false)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if g.interval != 10_000 || !reflect.DeepEqual(g.segments, tc.want) || !reflect.DeepEqual(g.report, tc.report) {
			t.Errorf("%s: got interval %d ms, %v, %+v; want 10000, %v, %+v", tc.name, g.interval, g.segments, g.report, tc.want, tc.report)
		}
	}
}

func TestG7_StrictRefusesDirtyRows(t *testing.T) {
	for _, tc := range []struct {
		want    string
		seconds []int64
	}{
		{"line 4: found the timestamp of the row above again", []int64{0, 10, 10, 20, 30}},
		{"line 4: found a timestamp before that of the row above", []int64{0, 10, 5, 15, 25}},
		{"line 5: found a timestamp off the grid, expected multiples of 10 s", []int64{0, 10, 20, 31, 41, 51}},
	} {
		if _, err := layOnGrid(rowsAt(tc.seconds...), true); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want an error with %q", err, tc.want)
		}
	}
	if _, err := layOnGrid(rowsAt(0, 10, 20, 40, 100, 110, 120), true); err != nil {
		t.Errorf("gaps on the grid: got %v, want none refused", err)
	}
}

func TestModalIntervalTakesTheSmallerOfEquals(t *testing.T) {
	if got := modalInterval(rowsAt(0, 20, 30, 50, 60)); got != 10_000 {
		t.Errorf("got %d ms, want 10000", got)
	}
	if _, err := layOnGrid(rowsAt(5, 5, 5), false); err == nil {
		t.Error("rows at one point in time: got no error")
	}
}
