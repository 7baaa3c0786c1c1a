//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rows changes lines of a good trace: line 1 is its header.
func rows(change map[int]string) string {
	lines := strings.SplitAfter(trace(9, 260, "iso"), "\n")
	for line, text := range change {
		if text != "" {
			text += "\n"
		}
		lines[line-1] = text
	}
	return strings.Join(lines, "")
}

func constant(rows int) string {
	var b strings.Builder
	for i := range rows {
		fmt.Fprintf(&b, "%d,5\n", 1700000000+300*i)
	}
	return b.String()
}

// Each trace is read among five good ones; --dry-run reads all and trains nothing.
func TestG7_WrongTracesAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		args       []string
		says       []string // nil: it is taken
		skip       string   // what --skip-bad counts of it, "" where that does not help
	}{
		{name: "good", text: rows(nil)},
		{name: "broken row", text: rows(map[int]string{42: "2024-03-10 03:20:00"}), says: []string{"bad.csv:42"}, skip: "1 bad rows"},
		{name: "value is no number", text: rows(map[int]string{42: "2024-03-10 03:20:00,many"}), says: []string{"bad.csv:42", "many"}, skip: "1 bad rows"},
		{name: "NaN", text: rows(map[int]string{42: "2024-03-10 03:20:00,NaN"}), says: []string{"bad.csv:42", "NaN"}, skip: "1 bad rows"},
		{name: "infinite", text: rows(map[int]string{42: "2024-03-10 03:20:00,+Inf"}), says: []string{"bad.csv:42", "Inf"}, skip: "1 bad rows"},
		{name: "unparsable timestamp", text: rows(map[int]string{42: "tenth of March,7"}), says: []string{"bad.csv:42", "tenth of March"}, skip: "1 bad rows"},
		{name: "timestamp of no calendar", text: rows(map[int]string{42: "2024-13-45 03:20:00,7"}), says: []string{"bad.csv:42", "2024-13-45"}, skip: "1 bad rows"},
		{name: "two broken rows", text: rows(map[int]string{42: "x,1", 77: "2024-03-10 06:15:00,"}), says: []string{"bad.csv:42"}, skip: "2 bad rows"},
		{name: "too short", text: trace(9, 60, "iso"), says: []string{"bad.csv", "60 values", "120"}, skip: "1 short series"},
		{name: "torn gzip", says: []string{"bad.csv.gz"}},
		{name: "strict duplicate", text: rows(map[int]string{42: "2024-03-10 03:15:00,7"}), args: []string{"--strict"}, says: []string{"bad.csv:42"}},
		{name: "strict unordered", text: rows(map[int]string{42: "2024-03-10 01:00:00,7"}), args: []string{"--strict"}, says: []string{"bad.csv:42"}},
		{name: "strict off the grid", text: rows(map[int]string{42: "2024-03-10 03:21:10,7"}), args: []string{"--strict"}, says: []string{"bad.csv:42"}},
		{name: "duplicate", text: rows(map[int]string{42: "2024-03-10 03:15:00,7"})},
		{name: "unordered", text: rows(map[int]string{42: "2024-03-10 01:00:00,7"})},
		{name: "off the grid", text: rows(map[int]string{42: "2024-03-10 03:21:10,7"})},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := loadSpec(t)
			bad := filepath.Join(filepath.Dir(spec), "traces", "bad.csv")
			if c.name == "torn gzip" {
				bad += ".gz"
				zip(t, bad, rows(nil))
				if err := os.Truncate(bad, 500); err != nil {
					t.Fatal(err)
				}
			} else {
				put(t, bad, c.text)
			}
			args := append([]string{"train", spec, "--dry-run"}, c.args...)
			code := 0
			if c.says != nil {
				code = 1
			}
			said := warmstart(t, code, args...)
			says(t, said, c.says...)
			if code == 0 {
				says(t, said, "8 series")
			}
			if c.skip != "" {
				says(t, warmstart(t, 0, append(args, "--skip-bad")...), c.skip)
			}
		})
	}
}

func TestG7_FoldersWithoutUseAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files map[string]string
		says  []string
	}{
		{"empty", nil, []string{"no trace"}},
		{"other files", map[string]string{"notes.txt": "hello\n", "image.png": "\x89PNG"}, []string{"no trace", "2 files"}},
		{"text that ends in .csv", map[string]string{"notes.csv": "hello\nthere is nothing here\n"}, []string{"notes.csv"}},
		{"an empty file", map[string]string{"a.csv": ""}, []string{"a.csv"}},
		{"a header alone", map[string]string{"a.csv": "timestamp,value\n"}, []string{"a.csv"}},
		{"all constant", map[string]string{"a.csv": constant(200), "b.csv": constant(300)}, []string{"2 constant"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range c.files {
				put(t, filepath.Join(dir, name), text)
			}
			spec := write(t, "load.yaml", fmt.Sprintf(load, dir))
			says(t, warmstart(t, 1, "train", spec), c.says...)
		})
	}
	t.Run("not there", func(t *testing.T) {
		missing := filepath.Join(t.TempDir(), "none")
		spec := write(t, "load.yaml", fmt.Sprintf(load, missing))
		says(t, warmstart(t, 1, "train", spec), missing, "no such file")
	})
	t.Run("other content than the spec pins", func(t *testing.T) {
		says(t, warmstart(t, 1, "train", loadSpec(t), "--set", "family.digest="+strings.Repeat("0", 64)), "family.digest", strings.Repeat("0", 64))
	})
}

// Fewer than five jobs: all are trained on, each is scored on its unseen last fifth, and the table says so.
func TestFewJobsAreScoredOnTheirLastFifth(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for job := range 3 {
		put(t, filepath.Join(dir, fmt.Sprintf("%d.csv", job)), trace(job, 300, "s"))
	}
	spec := write(t, "load.yaml", fmt.Sprintf(load, dir))
	code, stdout, stderr := program{args: []string{"warmstart", "train", spec}}.run(t)
	if code != 0 {
		t.Fatalf("exit status %d: %s", code, stderr)
	}
	says(t, stdout, "fewer than five jobs", "last fifth", "base model rates:1", "sha256")
}
