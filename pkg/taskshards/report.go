package taskshards

import (
	"fmt"
	"strings"
)

// Report counts what Ingest found, mended and left out. Nothing is mended or
// left out that is not counted here.
type Report struct {
	Files      int      `json:"files"`       // read as traces
	PassedOver int      `json:"passed_over"` // plainly not traces: other kinds of file, tables without timestamp and value
	Others     []string `json:"-"`           // those tables, each with the reason

	Series   int `json:"series"`
	Groups   int `json:"groups"`
	Segments int `json:"segments"`
	Values   int `json:"values"` // observed values, held ones not counted

	Mended   int `json:"mended"`   // series that one of the five below applies to
	Equal    int `json:"equal"`    // rows in a slot that was taken already: averaged
	OffGrid  int `json:"off_grid"` // rows beside the grid: snapped
	Backward int `json:"backward"` // rows with an earlier stamp than the row before: a new segment each
	Gaps     int `json:"gaps"`     // gaps of more than maxGap slots: a new segment each
	Held     int `json:"held"`     // slots in smaller gaps: filled with the value before, never a target

	Constant  int `json:"constant"`  // series left out: they never change
	Inactive  int `json:"inactive"`  // functions left out: too few minutes are not zero
	Short     int `json:"short"`     // series left out: too few values (with SkipBad)
	BadRows   int `json:"bad_rows"`  // rows left out (with SkipBad)
	Ungrouped int `json:"ungrouped"` // series that the group pattern does not match
}

// String tells the report in up to four lines.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d files: %d series in %d groups, %d values in %d segments; %d other files passed over",
		r.Files, r.Series, r.Groups, r.Values, r.Segments, r.PassedOver)
	if r.Mended > 0 {
		fmt.Fprintf(&b, "\nmended %d series: %d rows off the grid (snapped), %d in an equal slot (averaged), %d slots in small gaps (held), %d backward stamps and %d gaps over %d slots (new segments)",
			r.Mended, r.OffGrid, r.Equal, r.Held, r.Backward, r.Gaps, maxGap)
	}
	if r.Constant+r.Inactive+r.Short+r.BadRows > 0 {
		fmt.Fprintf(&b, "\nleft out: %d constant series, %d inactive functions, %d short series, %d bad rows", r.Constant, r.Inactive, r.Short, r.BadRows)
	}
	if r.Ungrouped > 0 {
		fmt.Fprintf(&b, "\nthe group pattern does not match %d series: each keeps its own group", r.Ungrouped)
	}
	return b.String()
}
