package cli

import (
	"strings"
	"testing"
)

func TestG7_RunsArgumentsAreNamed(t *testing.T) {
	for args, want := range map[string]string{
		"":              "ls, workers, show",
		"shwo x":        `did you mean "show"?`,
		"show":          "runs ls",
		"ls x":          "expected no run",
		"pause a b":     "expected one run",
		"weight a":      "runs weight RUN 3",
		"weight a much": `"much"`,
		"workers a":     "expected no run",
	} {
		if _, err := readRuns(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("runs %s: found %v, expected an error with %s", args, err, want)
		}
	}
	if q, err := readRuns([]string{"weight", "a", "1000"}); err != nil || q != (request{verb: "weight", run: "a", weight: 1000}) {
		t.Errorf("runs weight a 1000: %+v, %v", q, err)
	}
	if q, err := readRuns([]string{"workers"}); err != nil || q != (request{verb: "workers"}) {
		t.Errorf("runs workers: %+v, %v", q, err)
	}
}
