package taskshards

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

// Source is a folder, or one file, with traces.
type Source struct {
	FS   fs.FS
	Root string // "." for all of FS, or a file or folder in it
}

// IngestOptions says how traces are read.
type IngestOptions struct {
	Strict    bool           // refuse duplicate, unordered and off-grid rows
	SkipBad   bool           // leave out, and count, what would be refused
	MinValues int            // least number of values of a series; 0: DefaultMinValues
	Active    float64        // least share of non-zero minutes in the wide form; 0: DefaultActive
	Group     *regexp.Regexp // its first capture on a series' name is its group; nil: the file, or the app in the wide form
}

// IngestOptions returns the options that the configuration stands for.
func (c Config) IngestOptions() (IngestOptions, error) {
	re, err := c.groupPattern()
	if err != nil {
		return IngestOptions{}, err
	}
	return IngestOptions{Strict: c.Strict, SkipBad: c.SkipBad, MinValues: c.MinValues, Active: c.Active, Group: re}, nil
}

// Ingest reads all traces under the sources. A file ending in .csv or .tsv, or
// either with .gz, is a trace of timestamp and value, or a table in the wide
// form (see readWide); a table that has columns for neither is passed over and
// counted, like every other kind of file and whatever begins with a dot.
//
// A series is named by its file's path below the source, without endings. The
// report is there in case of an error too. Errors name file, line and column.
func Ingest(sources []Source, o IngestOptions) (*DataSet, *Report, error) {
	in := newIngester(o)
	for _, s := range sources {
		if err := in.walk(s); err != nil {
			return nil, &in.report, fmt.Errorf("read traces: %w", err)
		}
	}
	return in.finish()
}

// ReadTrace reads one trace, not compressed, from a reader. The name stands in
// errors and, without its endings, names the series.
func ReadTrace(name string, r io.Reader, o IngestOptions) (*DataSet, *Report, error) {
	in := newIngester(o)
	if err := in.read(name, seriesName(name), r); err != nil {
		return nil, &in.report, fmt.Errorf("read traces: %w", err)
	}
	return in.finish()
}

// ingester gathers series and counts.
type ingester struct {
	o      IngestOptions
	report Report
	series []Series
	origin map[string]string // file by name of series
}

func newIngester(o IngestOptions) *ingester {
	if o.MinValues == 0 {
		o.MinValues = DefaultMinValues
	}
	if o.Active == 0 {
		o.Active = DefaultActive
	}
	return &ingester{o: o, origin: make(map[string]string)}
}

func (in *ingester) walk(s Source) error {
	return fs.WalkDir(s.FS, s.Root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(d.Name(), ".") && file != s.Root
		if d.IsDir() {
			if hidden {
				return fs.SkipDir
			}
			return nil
		}
		if hidden || !isTraceName(file) {
			in.report.PassedOver++
			return nil
		}
		below := strings.TrimPrefix(strings.TrimPrefix(file, s.Root), "/")
		if below == "" {
			below = path.Base(file)
		}
		return in.open(s.FS, file, seriesName(below))
	})
}

func isTraceName(file string) bool {
	file = strings.TrimSuffix(strings.ToLower(file), ".gz")
	return strings.HasSuffix(file, ".csv") || strings.HasSuffix(file, ".tsv")
}

// seriesName takes the endings off a file's name.
func seriesName(file string) string {
	for _, end := range []string{".gz", ".csv", ".tsv"} {
		if n := len(file) - len(end); n > 0 && strings.EqualFold(file[n:], end) {
			file = file[:n]
		}
	}
	return file
}

func (in *ingester) open(fsys fs.FS, file, name string) error {
	f, err := fsys.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if !strings.HasSuffix(strings.ToLower(file), ".gz") {
		return in.read(file, name, f)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return in.read(file, name, z)
}

// read takes in one file.
func (in *ingester) read(file, name string, r io.Reader) error {
	err := in.readTable(file, name, r)
	var other *notTrace
	if errors.As(err, &other) {
		in.report.PassedOver++
		in.report.Others = append(in.report.Others, file+": "+other.reason)
		return nil
	}
	var bad *rowError
	if errors.As(err, &bad) {
		return fmt.Errorf("%s:%d: %s", file, bad.line, bad.text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

func (in *ingester) readTable(file, name string, r io.Reader) error {
	t, err := openTable(r, in.o.SkipBad)
	if err != nil {
		return err
	}
	defer func() { in.report.BadRows += t.skipped }()
	if isWide(t.first) {
		return in.addWide(file, name, t)
	}
	rows, err := readRows(t)
	if err != nil {
		return err
	}
	in.report.Files++
	if short, err := in.tooShort(len(rows)); short {
		return err
	}
	g, err := layOnGrid(rows, in.o.Strict)
	if err != nil {
		return err
	}
	in.countMended(&g.report)
	return in.add(file, Series{Name: name, Group: name, Interval: float64(g.interval) / 1000, Segments: g.segments})
}

func (in *ingester) addWide(file, name string, t *table) error {
	rows, first, err := readWide(t)
	if err != nil {
		return err
	}
	in.report.Files++
	start := int64(first-1) * 60_000
	for _, r := range rows {
		if float64(r.nonZero) < in.o.Active*float64(len(r.values)) {
			in.report.Inactive++
			continue
		}
		if short, err := in.tooShort(len(r.values)); err != nil {
			return err
		} else if short {
			continue
		}
		s := Series{
			Name: name + "/" + shortHash(r.app) + "/" + shortHash(r.function), Group: r.app, Interval: 60,
			Segments: []Segment{{Start: start, Values: r.values}},
		}
		if err := in.add(file, s); err != nil {
			return fmt.Errorf("line %d: %w", r.line, err)
		}
	}
	return nil
}

// tooShort refuses a series, or counts it and says that it is left out.
func (in *ingester) tooShort(values int) (bool, error) {
	if values >= in.o.MinValues {
		return false, nil
	}
	if in.o.SkipBad {
		in.report.Short++
		return true, nil
	}
	return true, fmt.Errorf("found %d values, expected %d or more; leave such series out with skip_bad, or lower min_values", values, in.o.MinValues)
}

func (in *ingester) countMended(r *Report) {
	if r.Equal+r.OffGrid+r.Backward+r.Gaps+r.Held > 0 {
		in.report.Mended++
	}
	in.report.Equal += r.Equal
	in.report.OffGrid += r.OffGrid
	in.report.Backward += r.Backward
	in.report.Gaps += r.Gaps
	in.report.Held += r.Held
}

// add puts a series into its group, unless it is constant.
func (in *ingester) add(file string, s Series) error {
	if s.Constant() {
		in.report.Constant++
		return nil
	}
	if other, twice := in.origin[s.Name]; twice {
		return fmt.Errorf("found a second series %q, the first is in %s; expected each name once: rename one, or name the folder above both", s.Name, other)
	}
	in.origin[s.Name] = file
	if in.o.Group != nil {
		if m := in.o.Group.FindStringSubmatch(s.Name); m != nil && m[1] != "" {
			s.Group = m[1]
		} else {
			in.report.Ungrouped++
		}
	}
	for _, g := range s.Segments {
		in.report.Values += len(g.Values) - len(g.Held)
	}
	in.report.Segments += len(s.Segments)
	in.series = append(in.series, s)
	return nil
}

func (in *ingester) finish() (*DataSet, *Report, error) {
	r := &in.report
	r.Series = len(in.series)
	if r.Series == 0 {
		return nil, r, fmt.Errorf("read traces: %w", in.nothingLeft())
	}
	ds, err := NewDataSet(in.series)
	if err != nil {
		return nil, r, fmt.Errorf("read traces: %w", err)
	}
	r.Groups = len(ds.Groups())
	return ds, r, nil
}

func (in *ingester) nothingLeft() error {
	r := &in.report
	if r.Constant+r.Inactive+r.Short > 0 {
		return fmt.Errorf("found no series to use: %d constant, %d inactive, %d too short; expected one or more that changes", r.Constant, r.Inactive, r.Short)
	}
	if len(r.Others) > 0 {
		return fmt.Errorf("found no trace among %d files (%s), expected CSV files with timestamp,value", r.PassedOver, r.Others[0])
	}
	return fmt.Errorf("found no trace among %d files, expected CSV files with timestamp,value", r.PassedOver)
}
