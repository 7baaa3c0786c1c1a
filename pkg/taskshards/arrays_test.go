package taskshards

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// drawnArrays are tasks of [2][3] features: of rows alone with labels of four classes, or with support, query and weights
// of their own and two targets.
func drawnArrays(tasks int, drawn bool) *DataSet {
	s := &ArraySet{In: []int{2, 3}, Out: 4, Classes: true}
	if !drawn {
		s.Out, s.Classes = 2, false
	}
	for k := range tasks {
		name := fmt.Sprintf("task%03d", k)
		t := ArrayTask{Name: name, Group: name, Split: Undivided, Support: Drawn}
		st := NewStream(uint64(k), "arrays", 0, 0)
		rows := 10 + k
		for range rows * 6 {
			t.X = append(t.X, float32(st.Uniform(-1, 1)))
		}
		for range rows {
			if drawn {
				t.Y = append(t.Y, float32(st.Intn(4)))
				continue
			}
			t.Y = append(t.Y, float32(st.Uniform(0, 1)), float32(st.Uniform(0, 1)))
			t.W = append(t.W, float32(st.Uniform(0, 5)))
		}
		if !drawn {
			t.Support = 4
		}
		s.Tasks = append(s.Tasks, t)
	}
	return &DataSet{Arrays: s}
}

func mustArrays(tb testing.TB, edit func(*Config), ds *DataSet) *Arrays {
	tb.Helper()
	c, _ := Default("arrays")
	c.Shots = []int{0, 3, 7, 50}
	if edit != nil {
		edit(&c)
	}
	f, err := NewArrays(c, ds)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func TestG1_ArrayTasksAreKeyed(t *testing.T) {
	for _, drawn := range []bool{true, false} {
		build := func() Family {
			return mustArrays(t, func(c *Config) { c.Division.Test, c.Division.Validate = 0.05, 0.05 }, drawnArrays(200, drawn))
		}
		if drawn {
			checkKeyed(t, build)
		}
		checkSteadyStateAllocatesNothing(t, build())
	}
}

func TestArrayTasksAreRowsOfOneFile(t *testing.T) {
	ds := drawnArrays(20, true)
	f := mustArrays(t, nil, ds)
	at := map[string][2]int{} // content -> task, row
	for k, task := range ds.Arrays.Tasks {
		for r := range ds.Arrays.Rows(k) {
			at[fmt.Sprint(task.X[r*6:(r+1)*6])] = [2]int{k, r}
		}
	}
	var task Task
	sizes := map[int]int{}
	for n := range uint64(400) {
		mustSample(t, f, Train, 1, 0, n, &task)
		sizes[task.Support.N]++
		file, rows := -1, map[int]bool{}
		for _, b := range []*Batch{&task.Support, &task.Query} {
			total := 0.0
			for i := range b.N {
				from, ok := at[fmt.Sprint(b.X[i*6:(i+1)*6])]
				if !ok || file >= 0 && file != from[0] || rows[from[1]] {
					t.Fatalf("row %v: known %v, task of %d, taken %v", from, ok, file, rows[from[1]])
				}
				file, rows[from[1]] = from[0], true
				if y := b.Y[i*4 : (i+1)*4]; sum(y) != 1 || y[int(ds.Arrays.Tasks[from[0]].Y[from[1]])] != 1 {
					t.Fatalf("got target %v of row %v", y, from)
				}
				total += float64(b.W[i])
			}
			if b.N > 0 && math.Abs(total-1) > 1e-6 {
				t.Fatalf("weights of %d rows add up to %g", b.N, total)
			}
		}
		if task.Query.N < 1 || task.Query.N > 15 {
			t.Fatalf("got a query of %d rows, want 1 to 15", task.Query.N)
		}
	}
	if len(sizes) != 3 || sizes[50] != 0 {
		t.Errorf("supports came as %v, want 0, 3 and 7: no file leaves a query beside 50", sizes)
	}
}

// A file's own support and query stay as they are, weights scaled to 1.
func TestOwnSupportAndQueryStay(t *testing.T) {
	ds := drawnArrays(6, false)
	f := mustArrays(t, func(c *Config) { c.Division.Test, c.Division.Validate = 0.2, 0.2 }, ds)
	var task Task
	mustSample(t, f, Test, 1, 0, 0, &task)
	k := slices.IndexFunc(ds.Arrays.Tasks, func(a ArrayTask) bool { return a.Name == f.Tasks(Test)[0] })
	own := ds.Arrays.Tasks[k]
	if task.Support.N != 4 || task.Query.N != ds.Arrays.Rows(k)-4 || !slices.Equal(task.Support.X[:24], own.X[:24]) || !slices.Equal(task.Query.Y[:2], own.Y[8:10]) {
		t.Errorf("got %d + %d rows, want the file's", task.Support.N, task.Query.N)
	}
	total := 0.0
	for _, w := range own.W[:4] {
		total += float64(w)
	}
	for i, w := range task.Support.W {
		if want := float32(float64(own.W[i]) / total); w != want {
			t.Errorf("weight %d is %g, want %g", i, w, want)
		}
	}
}

func TestArraysAreDividedByGroupOrFolder(t *testing.T) {
	ds := drawnArrays(20, true)
	for k := range ds.Arrays.Tasks {
		ds.Arrays.Tasks[k].Group = fmt.Sprint("g", k/2)
	}
	f := mustArrays(t, nil, ds)
	group := map[string]Split{}
	for s := Train; s <= Test; s++ {
		for _, name := range f.Tasks(s) {
			g := ds.Arrays.Tasks[slices.IndexFunc(ds.Arrays.Tasks, func(a ArrayTask) bool { return a.Name == name })].Group
			if other, seen := group[g]; seen && other != s {
				t.Errorf("group %s is in %v and %v", g, other, s)
			}
			group[g] = s
		}
	}
	if len(group) != 10 || len(f.Tasks(Validate)) != 4 || len(f.Tasks(Test)) != 4 {
		t.Errorf("got %d groups, %d tasks to validate and %d to test on", len(group), len(f.Tasks(Validate)), len(f.Tasks(Test)))
	}
	for k := range ds.Arrays.Tasks {
		ds.Arrays.Tasks[k].Split = Split(k % 2 * 2)
	}
	f = mustArrays(t, nil, ds)
	if len(f.Tasks(Train)) != 10 || len(f.Tasks(Test)) != 10 {
		t.Errorf("by folder: %d tasks to train and %d to test on, want 10 of each", len(f.Tasks(Train)), len(f.Tasks(Test)))
	}
	if err := f.Sample(Validate, 1, 0, 0, new(Task)); err == nil || !strings.Contains(err.Error(), "folder validate") {
		t.Errorf("an empty split: got %v", err)
	}
}

func f4(shape string, v ...float32) []byte { return npy(header("<f4", false, shape), v) }
func i8(shape string, v ...int64) []byte   { return npy(header("<i8", false, shape), v) }

func TestArrayFilesAreRead(t *testing.T) {
	tensors, err := checkpoint.EncodeTensors(nil, []checkpoint.Tensor{
		{Name: "x", Shape: []int{3, 2}, F32: []float32{1, 2, 3, 4, 5, 6}}, {Name: "y", Shape: []int{3}, F64: []float64{1, 2, 3}},
	})
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{
		"s1/day2.npz": {Data: npzOf(t, map[string][]byte{
			"support_x": f4("2, 2", 1, 2, 3, 4), "support_y": f4("2, 1", 5, 6), "query_x": f4("1, 2", 7, 8), "query_y": f4("1, 1", 9),
			"support_w": f4("2,", 1, 3), "query_w": f4("1,", 2),
		})},
		"s1/day1.safetensors": {Data: tensors}, "notes.md": {Data: []byte("text")},
	}
	c, _ := Default("arrays")
	c.Group = "^(s[0-9])/"
	ds, report, err := Read(c, []Source{{FS: fsys, Root: "."}})
	if err != nil {
		t.Fatal(err)
	}
	if got := report.String(); got != "2 tasks in 1 groups, 6 rows of features [2] and 1 targets, divided by group; 1 other files passed over" {
		t.Errorf("got %q", got)
	}
	first, second := ds.Arrays.Tasks[0], ds.Arrays.Tasks[1]
	if first.Name != "s1/day1" || first.Support != Drawn || first.Group != "s1" || first.X[5] != 6 || first.Y[2] != 3 || first.W != nil {
		t.Errorf("got %+v", first)
	}
	if second.Support != 2 || !slices.Equal(second.X, []float32{1, 2, 3, 4, 7, 8}) || !slices.Equal(second.Y, []float32{5, 6, 9}) || !slices.Equal(second.W, []float32{1, 3, 2}) {
		t.Errorf("got %+v", second)
	}
	back, err := Unpack(mustPack(t, ds))
	if err != nil || Digest(mustPack(t, back)) != Digest(mustPack(t, ds)) || back.Arrays.Tasks[1].Support != 2 || back.Arrays.Tasks[0].W != nil {
		t.Errorf("packed and unpacked: %+v, %v", back, err)
	}
	folders := fstest.MapFS{}
	for _, name := range []string{"train/a", "train/sub/b", "validate/a", "test/a"} {
		folders[name+".npz"] = &fstest.MapFile{Data: npzOf(t, map[string][]byte{"x": f4("2,", 1, 2), "y": i8("2,", 0, 2)})}
	}
	ds, _, err = IngestArrays([]Source{{FS: folders, Root: "."}}, ArrayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s := ds.Arrays; s.Out != 3 || !s.Classes || !slices.Equal(s.In, []int{1}) || s.Tasks[0].Name != "test/a" || s.Tasks[0].Split != Test || s.Tasks[2].Split != Train {
		t.Errorf("got %+v", s)
	}
}

// Integers of one axis or one column, and truth values, are labels; Numbers makes them targets.
func TestIntegersAreLabelsOrNumbers(t *testing.T) {
	truth := func(shape string, v ...byte) []byte { return npy(header("|b1", false, shape), v) }
	for _, c := range []struct {
		y       []byte
		o       ArrayOptions
		out     int
		classes bool
		last    float32
	}{
		{i8("3,", 0, 2, 1), ArrayOptions{}, 3, true, 1},
		{i8("3, 1", 0, 2, 1), ArrayOptions{}, 3, true, 1},
		{truth("3,", 0, 1, 1), ArrayOptions{}, 2, true, 1},
		{i8("3,", -5, 2, 4000), ArrayOptions{Numbers: true}, 1, false, 4000},
		{i8("3, 1", -5, 2, 4000), ArrayOptions{Numbers: true}, 1, false, 4000},
		{i8("3, 2", 0, 1, 2, 3, 4, 5), ArrayOptions{}, 2, false, 5},
		{f4("3,", 0, 2, 1), ArrayOptions{}, 1, false, 1},
		{i8("3,", 0, 2, 3999), ArrayOptions{Classes: 4000}, 4000, true, 3999},
	} {
		fsys := fstest.MapFS{"t.npz": {Data: npzOf(t, map[string][]byte{"x": f4("3,", 1, 2, 3), "y": c.y})}}
		ds, _, err := IngestArrays([]Source{{FS: fsys, Root: "."}}, c.o)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if s := ds.Arrays; s.Out != c.out || s.Classes != c.classes || s.Tasks[0].Y[len(s.Tasks[0].Y)-1] != c.last {
			t.Errorf("%+v of %q: found %d targets or classes (%v), %v", c.o, c.y[10:60], s.Out, s.Classes, s.Tasks[0].Y)
		}
	}
}

func TestG7_ArrayFilesAreRefusedByName(t *testing.T) {
	nan, huge := float32(math.NaN()), npy(header("<f8", false, "2, 1"), []float64{1, 1e300})
	x, y := f4("2, 1", 1, 2), f4("2,", 1, 2)
	for want, arrays := range map[string]map[string][]byte{
		"t.npz: array x, index [1 0]: found NaN":         {"x": f4("2, 1", 1, nan), "y": y},
		"index [1 0]: found 1e+300":                      {"x": huge, "y": y},
		"array y, index [0]: found +Inf":                 {"x": x, "y": f4("2,", float32(math.Inf(1)), 1)},
		"array y, row 1: found label 9, expected 0 to 4": {"x": x, "y": i8("2,", 0, 9)},
		"array y, row 0: found label -1":                 {"x": x, "y": i8("2,", -1, 1)},
		`found array "z", expected x, y, w`:              {"x": x, "y": y, "z": y},
		"found no array y":                               {"x": x},
		"found no array support_x":                       {"query_x": x},
		`found array "support_x", expected x, y, w`:      {"x": x, "y": y, "support_x": x},
		"weights for one of support and query":           {"support_x": x, "support_y": y, "query_x": x, "query_y": y, "query_w": y},
		"array x: found 1 rows":                          {"x": f4("1,", 1), "y": f4("1,", 1)},
		"array query_x: found 0 rows":                    {"support_x": x, "support_y": y, "query_x": f4("0, 1"), "query_y": f4("0,")},
		"array y: found shape [3]":                       {"x": x, "y": f4("3,", 1, 2, 3)},
		"array y: found shape [2 1 1]":                   {"x": x, "y": f4("2, 1, 1", 1, 2)},
		"array x: found shape []":                        {"x": f4("", 1), "y": y},
		"array w: found shape [1]":                       {"x": x, "y": y, "w": f4("1,", 1)},
		"found weight -1":                                {"x": x, "y": y, "w": f4("2,", 1, -1)},
		"weights of the file that are all 0":             {"x": x, "y": y, "w": f4("2,", 0, 0)},
		"weights of the support that are all 0":          {"support_x": x, "support_y": y, "query_x": x, "query_y": y, "support_w": f4("2,", 0, 0), "query_w": y},
	} {
		fsys := fstest.MapFS{"t.npz": {Data: npzOf(t, arrays)}}
		if _, _, err := IngestArrays([]Source{{FS: fsys, Root: "."}}, ArrayOptions{Classes: 5}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	first := npzOf(t, map[string][]byte{"x": x, "y": y})
	for want, arrays := range map[string]map[string][]byte{
		"b.npz: array x: found rows of shape [2], expected [1] as in a.npz": {"x": f4("2, 2", 1, 2, 3, 4), "y": y},
		"array y: found labels": {"x": x, "y": i8("2,", 0, 1)},
		"array y: found 2 targets in a row, expected 1 as in a.npz": {"x": x, "y": f4("2, 2", 1, 2, 3, 4)},
	} {
		fsys := fstest.MapFS{"a.npz": {Data: first}, "b.npz": {Data: npzOf(t, arrays)}}
		if _, _, err := IngestArrays([]Source{{FS: fsys, Root: "."}}, ArrayOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	for want, fsys := range map[string]fstest.MapFS{
		"found label 9 among 6 rows, expected no more classes than rows; where these integers are numbers to predict, name a loss of numbers (inner: {loss: mse})": {
			"a.npz": {Data: npzOf(t, map[string][]byte{"x": f4("6,", 1, 2, 3, 4, 5, 6), "y": i8("6,", 1, 2, 3, 4, 5, 9)})}},
		"array y, row 1: found label 1000, expected 0 to 999; where these": {"a.npz": {Data: npzOf(t, map[string][]byte{"x": x, "y": i8("2,", 0, 1000)})}},
		"array y, row 0: found label -3, expected 0 to 999; where these":   {"a.npz": {Data: npzOf(t, map[string][]byte{"x": x, "y": i8("2, 1", -3, 0)})}},
		"found no .npz or .safetensors file":                               {"a.csv": {Data: []byte("x")}},
		"labels of one class":                                              {"a.npz": {Data: npzOf(t, map[string][]byte{"x": x, "y": i8("2,", 0, 0)})}},
		"folders for all tasks or for none":                                {"a.npz": {Data: first}, "train/b.npz": {Data: first}},
		`a second task "a"`:                                                {"a.npz": {Data: first}, "a.safetensors": {Data: first}},
	} {
		if _, _, err := IngestArrays([]Source{{FS: fsys, Root: "."}}, ArrayOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	c, _ := Default("arrays")
	if _, err := NewArrays(c, drawnArrays(3, true)); err == nil || !strings.Contains(err.Error(), "found 3 groups of files, expected 5") {
		t.Errorf("three files: got %v", err)
	}
	if _, err := NewArrays(c, nil); err == nil || !strings.Contains(err.Error(), "family.path") {
		t.Errorf("no data: got %v", err)
	}
	c.Classes = 9
	if _, err := NewArrays(c, drawnArrays(20, true)); err == nil || !strings.Contains(err.Error(), "family.classes") {
		t.Errorf("another number of classes: got %v", err)
	}
}

// Held-out data is all for the test: each file once, or of a source with folders those in test; images keep their division.
func TestHeldOutDrawsFromWhatIsUnseen(t *testing.T) {
	c, _ := Default("arrays")
	for _, drawn := range []bool{true, false} {
		ds := drawnArrays(3, drawn)
		f, n, err := HeldOut(c, ds)
		if err != nil || n != map[bool]int{true: heldOutTasks, false: 3}[drawn] {
			t.Fatalf("got %d tasks, %v", n, err)
		}
		var task Task
		seen := map[string]bool{}
		for k := range uint64(3) {
			mustSample(t, f, Test, 1, 0, k, &task)
			seen[taskDigest(&task)] = true
		}
		if len(seen) != 3 {
			t.Errorf("three tasks hold %d different ones", len(seen))
		}
		if err := f.Sample(Train, 1, 0, 0, &task); err == nil {
			t.Error("held-out data was trained on")
		}
	}
	ds := drawnArrays(4, false)
	for k := range ds.Arrays.Tasks {
		ds.Arrays.Tasks[k].Split = Split(k / 2) // train, train, validate, validate
	}
	if _, _, err := HeldOut(c, ds); err == nil || !strings.Contains(err.Error(), "folder test") {
		t.Errorf("without a folder test: got %v", err)
	}
	ds.Arrays.Tasks[3].Split = Test
	if f, n, err := HeldOut(c, ds); err != nil || n != 1 || !slices.Equal(f.(*Arrays).Tasks(Test), []string{"task003"}) {
		t.Errorf("got %d tasks, %v", n, err)
	}
	if f, n, err := HeldOut(omniglotConfig(nil), glyphs(40, 8, 6)); err != nil || n != heldOutTasks || len(f.(*Omniglot).Characters(Test)) != 12 {
		t.Errorf("images: got %d tasks, %v", n, err)
	}
}
