package strictyaml

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxFaults bounds what one Decode reports: a list of 10,000 wrong elements is one mistake, not 10,000.
const maxFaults = 20

// Fault is one thing wrong with a document. Decode joins several by errors.Join; errors.As finds the first.
type Fault struct {
	// Where is "spec.yaml:12", or "--set optimizer.rate=abc" for a value that Set gave.
	Where string
	// Path is the dotted key, "optimizer.rate" or "shots[2]"; "" for the document as a whole.
	Path string
	// Problem says what was found and what was expected.
	Problem string
	// Hint is the remedy, "" where there is nothing to add.
	Hint string
}

// Error is "where: path: problem; hint".
func (f *Fault) Error() string {
	var parts []string
	for _, p := range []string{f.Where, f.Path, f.Problem} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	text := strings.Join(parts, ": ")
	if f.Hint != "" {
		text += "; " + f.Hint
	}
	return text
}

// origin is where a value was written: a line of a file, or (line 0) something else that source names.
type origin struct {
	source string
	line   int
}

func (o origin) String() string {
	switch {
	case o.line == 0:
		return o.source
	case o.source == "":
		return "line " + strconv.Itoa(o.line)
	}
	return o.source + ":" + strconv.Itoa(o.line)
}

// faults collects in order of discovery, which follows the lines of the document.
type faults struct {
	list    []error
	dropped int
}

func (fs *faults) add(f *Fault) {
	if len(fs.list) >= maxFaults {
		fs.dropped++
		return
	}
	fs.list = append(fs.list, f)
}

func (fs *faults) at(o origin, path, problem, hint string) {
	fs.add(&Fault{Where: o.String(), Path: path, Problem: problem, Hint: hint})
}

func (fs *faults) err() error {
	if fs.dropped > 0 {
		return errors.Join(append(fs.list, fmt.Errorf("and %d more", fs.dropped))...)
	}
	return errors.Join(fs.list...)
}

// join appends a key to a dotted path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// shown is a key as an error prints it: as it is when harmless, quoted and cut when it is long or could confuse.
func shown(key string) string {
	for _, r := range key {
		if r <= ' ' || r == '"' || r == '.' || r == ':' || !strconv.IsPrint(r) {
			return quote(key)
		}
	}
	if key == "" || len(key) > 60 {
		return quote(key)
	}
	return key
}

// quote is %q of the first 40 characters.
func quote(text string) string {
	if r := []rune(text); len(r) > 40 {
		text = string(r[:37]) + "..."
	}
	return strconv.Quote(text)
}
