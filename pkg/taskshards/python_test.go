package taskshards

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/testpython"
)

const arraysScript = "testdata/arrays.py"

// written is the folder of what the script writes; the test is skipped where Python lacks a module.
func written(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(testpython.Find(t, arraysScript), append([]string{"-B", arraysScript, dir}, args...)...)
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == 3 {
		t.Skip("needs Python's safetensors: pip install safetensors")
	}
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// ingest reads one file of a folder.
func ingest(dir, file string) (*ArraySet, error) {
	ds, _, err := IngestArrays([]Source{{FS: os.DirFS(dir), Root: file}}, ArrayOptions{})
	if err != nil {
		return nil, err
	}
	return ds.Arrays, nil
}

// What numpy itself writes is read, by every kind of element, in either order of bytes and of axes, stored and deflated.
func TestNumpysOwnFilesAreRead(t *testing.T) {
	dir := written(t)
	count := func(n int, of func(i int) int) (v []float32) {
		for i := range n {
			v = append(v, float32(of(i)))
		}
		return v
	}
	itself := func(i int) int { return i }
	x, labels := count(24, itself), count(8, func(i int) int { return i % 3 })
	targets := []float32{0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75}
	read := map[string]int{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(file string, d fs.DirEntry, err error) error {
		kind, rest, _ := strings.Cut(strings.TrimSuffix(file, ".npz"), "-")
		if err != nil || d.IsDir() || kind == "refused" {
			return err
		}
		want := ArraySet{In: []int{3}, Out: 1}
		task := ArrayTask{Support: Drawn, X: x, Y: targets}
		switch {
		case strings.HasPrefix(rest, "bool") && kind == "x":
			task.X = count(24, func(i int) int { return min(i, 1) })
		case strings.HasPrefix(rest, "bool"):
			task.Y, want.Out, want.Classes = count(8, func(i int) int { return min(i%3, 1) }), 2, true
		case strings.HasPrefix(rest, "numbers"):
			task.Y, want.Out = x, 3
		case kind == "images":
			want.In, task.X, task.Y, want.Out, want.Classes = []int{4, 5, 2}, count(8*4*5*2, itself), labels, 3, true
		case kind == "empty":
			task.Support = 0
		case kind == "y" && strings.Contains(rest[:5], "f"): // f2 to big-f8
			task.Y = labels
		case kind == "y":
			task.Y, want.Out, want.Classes = labels, 3, true
		}
		read[kind]++
		got, err := ingest(dir, file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			return nil
		}
		if k := got.Tasks[0]; !slices.Equal(got.In, want.In) || got.Out != want.Out || got.Classes != want.Classes || k.Support != task.Support ||
			!slices.Equal(k.X, task.X) || !slices.Equal(k.Y, task.Y) {
			t.Errorf("%s: got %+v, want features %v, %d targets or classes (%v) and %+v", file, *got, want.In, want.Out, want.Classes, task)
		}
		return nil
	})
	if err != nil || read["x"] != 42 || read["y"] != 40 || read["images"] != 2 || read["empty"] != 2 {
		t.Errorf("read %v, %v: the script writes others", read, err)
	}
}

func TestG7_NumpysOwnFilesAreRefusedByName(t *testing.T) {
	dir := written(t)
	for name, want := range map[string]string{
		"nan":        "array query_x, index [1 2]: found NaN",
		"infinite":   "array y, index [4]: found +Inf",
		"huge":       "array x, index [0 1]: found 1e+300, expected a finite number that float32 holds",
		"unnamed":    `found array "arr_0", expected support_x`,
		"object":     `array y: header`,
		"complex":    `found elements of type "<c8", expected numbers`,
		"text":       `found elements of type "<U3", expected numbers`,
		"long":       `found elements of type "<f16", expected numbers`,
		"date":       `found elements of type "<M8[s]", expected numbers`,
		"structured": "found structured elements",
		"norows":     "array x: found 0 rows",
		"nofeatures": "array x: found shape [8 0], expected one feature or more",
		"noquery":    "array query_x: found 0 rows",
		"scalar":     "array x: found shape []",
		"notargets":  "array y: found shape [8 0], expected [8] or [8][targets]",
	} {
		file := "refused-" + name + ".npz"
		_, err := ingest(dir, file)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: got %v, want an error with %q and the file", file, err, want)
		}
	}
	if files, err := filepath.Glob(dir + "/refused-*"); err != nil || len(files) != 15 {
		t.Errorf("the script writes %d files to refuse, %v", len(files), err)
	}
}

func TestSafetensorsOwnFilesAreRead(t *testing.T) {
	dir := written(t, "safetensors")
	files, err := filepath.Glob(dir + "/*.safetensors")
	if err != nil || len(files) != 12 {
		t.Fatalf("found %d files, %v", len(files), err)
	}
	for _, file := range files {
		got, err := ingest(dir, filepath.Base(file))
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		for i, v := range got.Tasks[0].X {
			if want := float32(i); v != want && !(strings.Contains(file, "bool") && v == min(want, 1)) {
				t.Errorf("%s: element %d is %v", file, i, v)
			}
		}
	}
}
