package taskshards

import (
	"fmt"
	"maps"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
)

// ArrayOptions say how tasks are read.
type ArrayOptions struct {
	Classes int            // number of classes; 0: one more than the largest label
	Numbers bool           // integer y are numbers to predict, not labels
	Group   *regexp.Regexp // its first capture on a task's name is its group; nil: each file is its own
}

// ArrayReport counts what IngestArrays found.
type ArrayReport struct {
	Files      int  `json:"files"`
	PassedOver int  `json:"passed_over"` // other kinds of file
	Rows       int  `json:"rows"`
	Groups     int  `json:"groups"`
	Folders    bool `json:"folders"` // train, validate and test are folders

	In      []int `json:"in"`
	Out     int   `json:"out"`
	Classes bool  `json:"classes"`
}

// String tells the report in a line.
func (r *ArrayReport) String() string {
	what := fmt.Sprintf("%d targets", r.Out)
	if r.Classes {
		what = fmt.Sprintf("%d classes", r.Out)
	}
	split := "divided by group"
	if r.Folders {
		split = "divided by folder"
	}
	return fmt.Sprintf("%d tasks in %d groups, %d rows of features %v and %s, %s; %d other files passed over", r.Files, r.Groups, r.Rows, r.In, what, split, r.PassedOver)
}

// IngestArrays reads the tasks below the sources: every .npz and .safetensors
// file is one task, named by its path without the ending. It holds either
//
//	support_x [n][features...], support_y [n][targets] or [n], query_x, query_y,
//	and where wanted support_w [n], query_w [m]: weights
//
// or x, y and where wanted w, of which each use of the task draws its support
// and query. Integer y (truth values too) of one axis or one column are labels of
// classes unless the options say Numbers; other y are regression targets, of which
// [n] is [n][1]. All files must agree in shape and kind.
//
// Where a source has folders named train, validate or test, these are the
// splits; else a hash of the groups decides. Errors name file, array, index.
func IngestArrays(sources []Source, o ArrayOptions) (*DataSet, *ArrayReport, error) {
	in := arrayIngester{o: o, set: &ArraySet{}, origin: map[string]string{}}
	for _, s := range sources {
		err := walkFiles(s, func(file, below string) error {
			if end := strings.ToLower(path.Ext(file)); end != ".npz" && end != ".safetensors" {
				in.report.PassedOver++
				return nil
			}
			if err := in.file(s, file, below); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			return nil
		})
		if err != nil {
			return nil, &in.report, fmt.Errorf("read arrays: %w", err)
		}
	}
	ds, err := in.finish()
	if err != nil {
		return nil, &in.report, fmt.Errorf("read arrays: %w", err)
	}
	return ds, &in.report, nil
}

type arrayIngester struct {
	o      ArrayOptions
	set    *ArraySet
	report ArrayReport
	first  string            // the file that the others are held against
	origin map[string]string // file by name of task
	most   int               // largest label
	mostAt string            // where it stands
}

// arrayNames are the arrays of a file, those of one form or of the other.
var arrayNames = [2][]string{{"support_x", "support_y", "query_x", "query_y", "support_w", "query_w"}, {"x", "y", "w"}}

func (in *arrayIngester) file(s Source, file, below string) error {
	name := strings.TrimSuffix(below, path.Ext(below))
	if other, twice := in.origin[name]; twice {
		return fmt.Errorf("found a second task %q, the first is in %s; expected each name once: rename one, or name the folder above both", name, other)
	}
	data, err := readWhole(s.FS, file)
	if err != nil {
		return err
	}
	arrays, err := decodeArrays(file, data)
	if err != nil {
		return err
	}
	t := ArrayTask{Name: name, Group: in.group(name), Split: splitOf(below), Support: Drawn}
	if err := checkNames(arrays); err != nil {
		return err
	}
	parts := []string{""}
	if arrays["x"] == nil {
		parts = []string{"support_", "query_"}
	}
	for _, prefix := range parts {
		n, err := in.part(file, &t, arrays, prefix)
		if err != nil {
			return err
		}
		if prefix == "support_" {
			t.Support = n
		}
	}
	if err := checkWeights(&t); err != nil {
		return err
	}
	in.origin[name] = file
	in.report.Files++
	in.set.Tasks = append(in.set.Tasks, t)
	return nil
}

func (in *arrayIngester) group(name string) string {
	if in.o.Group != nil {
		if m := in.o.Group.FindStringSubmatch(name); m != nil && m[1] != "" {
			return m[1]
		}
	}
	return name
}

// splitOf reads the first folder of a path.
func splitOf(below string) Split {
	folder, _, _ := strings.Cut(below, "/")
	for s := Train; s <= Test; s++ {
		if folder == s.String() && folder != below {
			return s
		}
	}
	return Undivided
}

// checkNames holds that a file has the arrays of one form, and no others.
func checkNames(arrays map[string]*array) error {
	form := arrayNames[0]
	if arrays["x"] != nil || arrays["y"] != nil {
		form = arrayNames[1]
	}
	for _, name := range slices.Sorted(maps.Keys(arrays)) {
		if !slices.Contains(form, name) {
			return fmt.Errorf("found array %q, expected %s", name, strings.Join(form, ", "))
		}
	}
	for _, name := range form {
		if arrays[name] == nil && !strings.HasSuffix(name, "w") {
			return fmt.Errorf("found no array %s, expected %s (weights may be left out)", name, strings.Join(form, ", "))
		}
	}
	if (arrays["support_w"] == nil) != (arrays["query_w"] == nil) {
		return fmt.Errorf("found weights for one of support and query, expected support_w and query_w or neither")
	}
	return nil
}

// part appends the rows of x, y and w under a prefix to a task.
func (in *arrayIngester) part(file string, t *ArrayTask, arrays map[string]*array, prefix string) (rows int, err error) {
	x, y, w := arrays[prefix+"x"], arrays[prefix+"y"], arrays[prefix+"w"]
	fail := func(name string, format string, args ...any) error {
		return fmt.Errorf("array %s%s: %w", prefix, name, fmt.Errorf(format, args...))
	}
	if len(x.shape) < 1 || len(x.shape) > 4 {
		return 0, fail("x", "found shape %v, expected [rows][features...] of up to three axes beside the rows", x.shape)
	}
	rows = x.shape[0]
	features := x.shape[1:]
	if len(features) == 0 {
		features = []int{1}
	}
	if slices.Contains(features, 0) {
		return 0, fail("x", "found shape %v, expected one feature or more along each axis", x.shape)
	}
	if len(y.shape) < 1 || len(y.shape) > 2 || slices.Contains(y.shape[1:], 0) || y.shape[0] != rows {
		return 0, fail("y", "found shape %v, expected [%d] or [%d][targets] as %sx has %d rows", y.shape, rows, rows, prefix, rows)
	}
	out := 1
	if len(y.shape) == 2 {
		out = y.shape[1]
	}
	classes := y.elem.whole() && out == 1 && !in.o.Numbers
	if w != nil && (len(w.shape) != 1 || w.shape[0] != rows) {
		return 0, fail("w", "found shape %v, expected [%d]", w.shape, rows)
	}
	if err := in.agree(file, prefix, features, out, classes); err != nil {
		return 0, err
	}
	if rows < 1 && prefix != "support_" || rows < 2 && prefix == "" {
		return 0, fail("x", "found %d rows, expected more: a query has one or more", rows)
	}
	if t.X, err = appendFloats(t.X, x, prefix+"x"); err != nil {
		return 0, err
	}
	if w != nil {
		if t.W, err = appendFloats(t.W, w, prefix+"w"); err != nil {
			return 0, err
		}
	}
	if classes {
		if err := in.labels(file, y, prefix+"y"); err != nil {
			return 0, err
		}
	}
	t.Y, err = appendFloats(t.Y, y, prefix+"y")
	in.report.Rows += rows
	return rows, err
}

// agree holds a file's shapes against those of the first.
func (in *arrayIngester) agree(file, prefix string, features []int, out int, classes bool) error {
	if in.first == "" {
		in.first, in.set.In, in.set.Out, in.set.Classes = file, slices.Clone(features), out, classes
	}
	if !slices.Equal(features, in.set.In) {
		return fmt.Errorf("array %sx: found rows of shape %v, expected %v as in %s", prefix, features, in.set.In, in.first)
	}
	if classes != in.set.Classes {
		kind := map[bool]string{true: "labels (integers)", false: "regression targets"}
		return fmt.Errorf("array %sy: found %s, expected %s as in %s", prefix, kind[classes], kind[!classes], in.first)
	}
	if out != in.set.Out {
		return fmt.Errorf("array %sy: found %d targets in a row, expected %d as in %s", prefix, out, in.set.Out, in.first)
	}
	return nil
}

// maxInferred is the most classes that labels alone decide: more of them are
// likely numbers.
const maxInferred = 1000

// notLabels is what to do where integers are no labels.
const notLabels = "where these integers are numbers to predict, name a loss of numbers (inner: {loss: mse}) or store them as floats; where they are labels, number them from 0, or say family.classes"

// labels checks that labels are within bounds.
func (in *arrayIngester) labels(file string, y *array, name string) error {
	limit, remedy := in.o.Classes, "family.classes says how many there are"
	if limit == 0 {
		limit, remedy = maxInferred, notLabels
	}
	for i := range y.len() {
		v := y.at(i)
		if v < 0 || v >= float64(limit) {
			return fmt.Errorf("array %s, row %d: found label %.0f, expected 0 to %d; %s", name, i, v, limit-1, remedy)
		}
		if int(v) > in.most {
			in.most, in.mostAt = int(v), fmt.Sprintf("%s, array %s, row %d", file, name, i)
		}
	}
	return nil
}

// appendFloats appends an array's elements, each rounded once to float32.
func appendFloats(into []float32, a *array, name string) ([]float32, error) {
	into = slices.Grow(into, a.len())
	for i := range a.len() {
		v := a.at(i)
		if !(math.Abs(v) <= math.MaxFloat32) {
			return nil, fmt.Errorf("array %s, index %v: found %v, expected a finite number that float32 holds", name, a.index(i), v)
		}
		into = append(into, float32(v))
	}
	return into, nil
}

// index is where element i stands along each axis.
func (a *array) index(i int) []int {
	at := make([]int, len(a.shape))
	for k := len(at) - 1; k >= 0; k-- {
		at[k] = i % a.shape[k]
		i /= a.shape[k]
	}
	return at
}

func (in *arrayIngester) finish() (*DataSet, error) {
	if in.report.Files == 0 {
		return nil, fmt.Errorf("found no .npz or .safetensors file among %d, expected one file a task", in.report.PassedOver)
	}
	if in.set.Classes {
		in.set.Out = in.o.Classes
		if in.set.Out == 0 {
			in.set.Out = in.most + 1
		}
		if in.set.Out < 2 {
			return nil, fmt.Errorf("found labels of one class, expected two or more; %s", notLabels)
		}
		if in.o.Classes == 0 && in.set.Out > in.report.Rows {
			return nil, fmt.Errorf("%s: found label %d among %d rows, expected no more classes than rows; %s", in.mostAt, in.most, in.report.Rows, notLabels)
		}
	}
	slices.SortFunc(in.set.Tasks, func(a, b ArrayTask) int { return strings.Compare(a.Name, b.Name) })
	ds := &DataSet{Arrays: in.set}
	if err := ds.check(); err != nil {
		return nil, err
	}
	r := &in.report
	r.Groups, r.Folders = len(ds.Groups()), in.set.Tasks[0].Split != Undivided
	r.In, r.Out, r.Classes = in.set.In, in.set.Out, in.set.Classes
	return ds, nil
}
