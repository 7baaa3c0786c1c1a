package taskshards

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// wantTimestamp is what an error expects in a timestamp column.
const wantTimestamp = "a date and time as 2006-01-02 15:04:05, with or without zone, or seconds or milliseconds since 1970"

// clock reads the timestamps of one trace. What it learns from the first row
// (unit of numbers, layout of dates) it keeps for the others.
type clock struct {
	perMilli float64 // numbers: units in a millisecond; 0 until the first is read
	layout   string  // dates: the layout of the last row
}

// layouts are tried after a T is replaced by a space; each also takes fractions
// of a second. A time without zone is UTC.
func layouts() []string {
	return []string{
		"2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z0700", "2006-01-02 15:04:05 Z07:00", "2006-01-02 15:04:05 Z0700",
		"2006-01-02 15:04", "2006-01-02 15:04Z07:00", "2006-01-02",
		"2006/01/02 15:04:05", "2006/01/02 15:04",
	}
}

// maxMilli bounds timestamps: some thirty thousand years, in milliseconds.
const maxMilli = 1e15

// parse returns Unix milliseconds.
func (c *clock) parse(s string) (ms int64, ok bool) {
	s = strings.TrimSpace(s)
	if v, err := strconv.ParseFloat(s, 64); err == nil {
		return c.parseNumber(v)
	}
	if len(s) > 10 && (s[10] == 'T' || s[10] == 't') {
		s = s[:10] + " " + s[11:]
	}
	if c.layout != "" {
		if t, err := time.Parse(c.layout, s); err == nil {
			return t.UnixMilli(), true
		}
	}
	for _, layout := range layouts() {
		if t, err := time.Parse(layout, s); err == nil {
			c.layout = layout
			return t.UnixMilli(), true
		}
	}
	return 0, false
}

func (c *clock) parseNumber(v float64) (ms int64, ok bool) {
	if c.perMilli == 0 {
		c.perMilli = unitsPerMilli(math.Abs(v))
	}
	m := math.Round(v / c.perMilli)
	if !(math.Abs(m) <= maxMilli) {
		return 0, false
	}
	return int64(m), true
}

// unitsPerMilli tells s, ms, us and ns since 1970 apart by their size: for each,
// years 1973 to 5138 lie within its range.
func unitsPerMilli(v float64) float64 {
	switch {
	case v < 1e11:
		return 1e-3
	case v < 1e14:
		return 1
	case v < 1e17:
		return 1e3
	}
	return 1e6
}
