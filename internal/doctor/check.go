// Package doctor says what is wrong with a cluster, one line for each thing looked at, with the remedy; and rebuilds the
// state of a cluster whose etcd is lost, from what its store holds.
package doctor

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Level says how bad what a check found is.
type Level string

// The levels. Nothing works rightly with a Fail; with a Warn it works, less well or not for long.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "FAIL"
)

// Check is one thing looked at.
type Check struct {
	Name   string `json:"check"`
	Level  Level  `json:"level"`
	Found  string `json:"found"`
	Remedy string `json:"remedy,omitempty"`
}

// Report is all that was looked at, in order.
type Report struct {
	Checks []Check `json:"checks"`
}

func (r *Report) add(level Level, name, remedy, format string, a ...any) {
	r.Checks = append(r.Checks, Check{name, level, fmt.Sprintf(format, a...), remedy})
}

func (r *Report) ok(name, format string, a ...any) { r.add(OK, name, "", format, a...) }

func (r *Report) warn(name, remedy, format string, a ...any) { r.add(Warn, name, remedy, format, a...) }

func (r *Report) fail(name, remedy, format string, a ...any) { r.add(Fail, name, remedy, format, a...) }

// refuse reports an error of a shell, whose words mostly end in the remedy: "what was found; what to do". otherwise is
// the remedy where they don't.
func (r *Report) refuse(name string, err error, otherwise string) {
	found, remedy := err.Error(), otherwise
	if at := strings.LastIndex(found, "; "); at >= 0 {
		found, remedy = found[:at], found[at+2:]
	}
	r.add(Fail, name, remedy, "%s", found)
}

// Failed is how many checks failed.
func (r *Report) Failed() int { return r.count(Fail) }

func (r *Report) count(level Level) int {
	n := 0
	for _, c := range r.Checks {
		if c.Level == level {
			n++
		}
	}
	return n
}

// Write writes a line for each check and one that counts them.
func (r *Report) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range r.Checks {
		line := strings.ReplaceAll(c.Found, "\n", " ")
		if c.Remedy != "" {
			line += "; " + c.Remedy
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", c.Level, c.Name, line)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d ok, %d warn, %d FAIL\n", r.count(OK), r.count(Warn), r.count(Fail))
	return err
}

// WriteJSON writes the report as one line.
func (r *Report) WriteJSON(w io.Writer) error {
	return json.NewEncoder(w).Encode(struct {
		OK     int     `json:"ok"`
		Warn   int     `json:"warn"`
		Fail   int     `json:"fail"`
		Checks []Check `json:"checks"`
	}{r.count(OK), r.count(Warn), r.count(Fail), r.Checks})
}
