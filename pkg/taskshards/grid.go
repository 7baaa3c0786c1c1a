package taskshards

import (
	"fmt"
	"strconv"
)

// maxGap is the largest distance between two rows, in slots, that does not break
// a series: up to maxGap-1 slots between them are filled.
const maxGap = 3

// row is one line of a trace.
type row struct {
	at    int64 // Unix milliseconds
	value float64
	line  int
}

// modalInterval returns the most frequent positive distance between rows, in
// milliseconds; of equally frequent ones the smallest. 0: there is none.
func modalInterval(rows []row) int64 {
	count := make(map[int64]int)
	var best int64
	for i := 1; i < len(rows); i++ {
		d := rows[i].at - rows[i-1].at
		if d <= 0 {
			continue
		}
		count[d]++
		if c := count[d]; c > count[best] || c == count[best] && d < best {
			best = d
		}
	}
	return best
}

// gridder lays the rows of one series on an even grid, by these rules: the grid
// is the modal interval, counted from a segment's first row; a row takes the
// nearest slot; rows in one slot are averaged; a backward stamp, or a gap of
// more than maxGap slots, begins a new segment; smaller gaps hold the value
// before, which is what was known at the time.
type gridder struct {
	interval int64
	strict   bool
	report   Report // counts of this series

	segments []Segment
	slot     int64 // last slot taken in the last segment
	inSlot   int   // rows averaged in it
}

// layOnGrid returns the segments of a series, its interval in milliseconds and
// what was mended. In strict mode it refuses what it would mend by moving or
// merging rows.
func layOnGrid(rows []row, strict bool) (*gridder, error) {
	g := &gridder{interval: modalInterval(rows), strict: strict}
	if g.interval == 0 {
		return nil, fmt.Errorf("found %d rows at no more than one point in time, expected rising timestamps", len(rows))
	}
	for i, r := range rows {
		if i > 0 && r.at >= rows[i-1].at {
			if err := g.next(r, r.at == rows[i-1].at); err != nil {
				return nil, err
			}
			continue
		}
		if i > 0 {
			if strict {
				return nil, strictError(r, "a timestamp before that of the row above", "rising timestamps")
			}
			g.report.Backward++
		}
		g.begin(r)
	}
	return g, nil
}

func (g *gridder) begin(r row) {
	g.segments = append(g.segments, Segment{Start: r.at, Values: []float64{r.value}})
	g.slot, g.inSlot = 0, 1
}

// next places a row that is not before the one above it.
func (g *gridder) next(r row, equal bool) error {
	s := &g.segments[len(g.segments)-1]
	since := r.at - s.Start
	slot := (since + g.interval/2) / g.interval
	off := since%g.interval != 0
	if g.strict && equal {
		return strictError(r, "the timestamp of the row above again", "each once")
	}
	if g.strict && off {
		return strictError(r, "a timestamp off the grid", fmt.Sprintf("multiples of %s s since the segment's first row", strconv.FormatFloat(float64(g.interval)/1000, 'g', -1, 64)))
	}
	gap := slot - g.slot
	if gap > maxGap {
		g.report.Gaps++
		g.begin(r)
		return nil
	}
	if off {
		g.report.OffGrid++
	}
	if gap == 0 {
		g.report.Equal++
		g.inSlot++
		last := &s.Values[len(s.Values)-1]
		*last += (r.value - *last) / float64(g.inSlot)
		return nil
	}
	for range gap - 1 {
		g.report.Held++
		s.Held = append(s.Held, len(s.Values))
		s.Values = append(s.Values, s.Values[len(s.Values)-1])
	}
	s.Values = append(s.Values, r.value)
	g.slot, g.inSlot = slot, 1
	return nil
}

// strictError is an error of one row; the caller puts the file's name before it.
func strictError(r row, found, expected string) error {
	return &rowError{line: r.line, text: fmt.Sprintf("found %s, expected %s; without strict it is mended and counted", found, expected)}
}
