package taskshards

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// rowError is an error that belongs to one line of a file.
type rowError struct {
	line int
	text string
}

func (e *rowError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.text) }

// notTrace says that a file is readable but plainly something else.
type notTrace struct{ reason string }

func (e *notTrace) Error() string { return e.reason }

// table reads the rows of one delimited file.
type table struct {
	csv     *csv.Reader
	first   []string // the first record, which may be a header
	line    int      // of the record read last
	skipBad bool
	skipped int
}

// openTable finds the delimiter (tab, bar, semicolon or comma, in this order of
// preference) in the first line and reads it.
func openTable(r io.Reader, skipBad bool) (*table, error) {
	br := bufio.NewReaderSize(r, 1<<16)
	if bom, _ := br.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		br.Discard(3)
	}
	head, err := br.Peek(1 << 16)
	if err != nil && err != io.EOF {
		return nil, err
	}
	line, _, _ := bytes.Cut(bytes.TrimLeft(head, "\r\n"), []byte("\n"))
	t := &table{csv: csv.NewReader(br), skipBad: skipBad}
	t.csv.FieldsPerRecord = -1
	t.csv.TrimLeadingSpace = true
	for _, delimiter := range "\t|;," {
		if bytes.ContainsRune(line, delimiter) {
			t.csv.Comma = delimiter
			break
		}
	}
	t.first, err = t.csv.Read()
	if err == io.EOF {
		return nil, errors.New("found no row, expected timestamp,value")
	}
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		return nil, &rowError{line: bad.Line, text: bad.Err.Error()}
	}
	if err != nil {
		return nil, err
	}
	t.line, _ = t.csv.FieldPos(0)
	t.csv.ReuseRecord = true
	return t, nil
}

// next returns the next record of n fields; io.EOF at the end. A record that is
// broken is an error, or counted and passed over.
func (t *table) next(n int) ([]string, error) {
	for {
		rec, err := t.csv.Read()
		var bad *csv.ParseError
		switch {
		case errors.As(err, &bad):
			err = &rowError{line: bad.Line, text: bad.Err.Error()}
		case err != nil:
			return nil, err
		default:
			t.line, _ = t.csv.FieldPos(0)
			if len(rec) == n {
				return rec, nil
			}
			err = &rowError{line: t.line, text: fmt.Sprintf("found %d fields, expected %d", len(rec), n)}
		}
		if err := t.bad(err); err != nil {
			return nil, err
		}
	}
}

// bad decides about a broken row: nil means that it was counted and left out.
func (t *table) bad(err error) error {
	if !t.skipBad {
		return err
	}
	t.skipped++
	return nil
}

// columns says where timestamp and value stand.
type columns struct {
	at, value         int
	atName, valueName string
	header            bool
}

// findColumns reads the first record. Two columns are timestamp and value unless
// their names say the reverse; of more, two must bear the names. What has
// neither is no trace.
func findColumns(first []string, line int) (columns, error) {
	var c clock
	if _, isTime := c.parse(first[0]); isTime {
		if len(first) != 2 {
			return columns{}, &rowError{line: line, text: fmt.Sprintf("found %d fields and no header, expected 2: timestamp,value", len(first))}
		}
		return columns{at: 0, value: 1, atName: "1", valueName: "2"}, nil
	}
	at, value := columnNamed(first, atNames()), columnNamed(first, valueNames())
	if at >= 0 && value >= 0 {
		return columns{at: at, value: value, atName: first[at], valueName: first[value], header: true}, nil
	}
	if len(first) != 2 {
		return columns{}, &notTrace{fmt.Sprintf("no columns timestamp and value among %d", len(first))}
	}
	if _, err := strconv.ParseFloat(first[1], 64); err == nil {
		return columns{}, &rowError{line: line, text: columnError("1", first[0], wantTimestamp)}
	}
	return columns{at: 0, value: 1, atName: first[0], valueName: first[1], header: true}, nil
}

func atNames() []string {
	return []string{"timestamp", "time", "datetime", "date", "ts", "ds", "epoch", "@timestamp"}
}

func valueNames() []string {
	return []string{"value", "values", "count", "rate", "events", "load", "y"}
}

// columnNamed returns the column that bears the first of these names that
// occurs, or -1.
func columnNamed(header, names []string) int {
	for _, name := range names {
		if i := slices.IndexFunc(header, func(h string) bool { return strings.EqualFold(strings.TrimSpace(h), name) }); i >= 0 {
			return i
		}
	}
	return -1
}

func columnError(column, found, expected string) string {
	return fmt.Sprintf("column %s: found %q, expected %s; mend the row, or leave such rows out with skip_bad", column, found, expected)
}

// readRows reads a trace of timestamp and value.
func readRows(t *table) ([]row, error) {
	c, err := findColumns(t.first, t.line)
	if err != nil {
		return nil, err
	}
	var rows []row
	var stamps clock
	rec, n := t.first, len(t.first)
	if c.header {
		rec, err = t.next(n)
	}
	for ; err == nil; rec, err = t.next(n) {
		r, bad := readRow(rec, c, &stamps, t.line)
		if bad != nil {
			if err := t.bad(bad); err != nil {
				return nil, err
			}
			continue
		}
		rows = append(rows, r)
	}
	if err != io.EOF {
		return nil, err
	}
	return rows, nil
}

func readRow(rec []string, c columns, stamps *clock, line int) (row, error) {
	at, ok := stamps.parse(rec[c.at])
	if !ok {
		return row{}, &rowError{line: line, text: columnError(c.atName, rec[c.at], wantTimestamp)}
	}
	v, ok := parseValue(rec[c.value])
	if !ok {
		return row{}, &rowError{line: line, text: columnError(c.valueName, rec[c.value], "a number")}
	}
	return row{at: at, value: v, line: line}, nil
}

// parseValue takes finite numbers within the bounds of a data set.
func parseValue(s string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return v, err == nil && math.Abs(v) <= maxValue
}
