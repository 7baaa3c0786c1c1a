package taskshards

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// The wide per-minute form of the Azure Functions traces (Shahrad et al., 2020):
// one function a row, its owner, app, own hash and trigger, then the number of
// invocations in each minute.
const (
	wideOwner = iota
	wideApp
	wideFunction
	wideTrigger
	wideKeys // number of columns before the minutes
)

// isWide tells the form by its first four columns.
func isWide(header []string) bool {
	if len(header) <= wideKeys {
		return false
	}
	return slices.EqualFunc(header[:wideKeys], []string{"HashOwner", "HashApp", "HashFunction", "Trigger"},
		func(a, b string) bool { return strings.EqualFold(strings.TrimSpace(a), b) })
}

// wideRow is one function.
type wideRow struct {
	app, function string
	values        []float64
	line          int
	nonZero       int // minutes that are not 0
}

// readWide returns the functions of the table and the number of the first
// minute, counted from 1.
func readWide(t *table) (rows []wideRow, first int, err error) {
	n := len(t.first)
	names := slices.Clone(t.first)
	for i, name := range names[wideKeys:] {
		minute, err := strconv.Atoi(strings.TrimSpace(name))
		if i == 0 {
			first = minute
		}
		if err != nil || minute != first+i || minute < 1 || minute > 1e6 {
			return nil, 0, &rowError{line: t.line, text: fmt.Sprintf("column %d: found %q, expected the number of a minute, one more than in the column before", wideKeys+i+1, name)}
		}
	}
	for {
		rec, err := t.next(n)
		if err == io.EOF {
			return rows, first, nil
		}
		if err != nil {
			return nil, 0, err
		}
		r, err := readWideRow(rec, names, t.line)
		if err != nil {
			if err := t.bad(err); err != nil {
				return nil, 0, err
			}
			continue
		}
		rows = append(rows, r)
	}
}

func readWideRow(rec, names []string, line int) (wideRow, error) {
	r := wideRow{app: strings.Clone(rec[wideApp]), function: strings.Clone(rec[wideFunction]), line: line}
	if r.app == "" || r.function == "" {
		return r, &rowError{line: line, text: "found no app or function, expected the hash of each"}
	}
	r.values = make([]float64, 0, len(rec)-wideKeys)
	for i := wideKeys; i < len(rec); i++ {
		v, ok := parseValue(rec[i])
		if !ok {
			return r, &rowError{line: line, text: columnError(names[i], rec[i], "a number")}
		}
		if v != 0 {
			r.nonZero++
		}
		r.values = append(r.values, v)
	}
	return r, nil
}

// shortHash keeps names readable: 12 hexadecimal digits tell the functions of
// any trace apart.
func shortHash(h string) string {
	if len(h) > 12 {
		return h[:12]
	}
	return h
}
