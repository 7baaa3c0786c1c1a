package taskshards

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// few is the rule for small test files.
var few = IngestOptions{MinValues: 3}

func gzipped(tb testing.TB, text string) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func mustRead(tb testing.TB, text string, o IngestOptions) (*DataSet, *Report) {
	tb.Helper()
	ds, r, err := ReadTrace("t.csv", strings.NewReader(text), o)
	if err != nil {
		tb.Fatal(err)
	}
	return ds, r
}

func TestTimestampsAndDelimiters(t *testing.T) {
	start := time.Date(2024, 2, 28, 23, 50, 0, 0, time.UTC)
	stamp := func(layout string) func(time.Time) string {
		return func(t time.Time) string { return t.Format(layout) }
	}
	east := time.FixedZone("east", 2*3600)
	cases := map[string]func(time.Time) string{
		"space":        stamp("2006-01-02 15:04:05"),
		"T":            stamp("2006-01-02T15:04:05"),
		"Z":            stamp(time.RFC3339),
		"zone":         func(t time.Time) string { return t.In(east).Format(time.RFC3339) },
		"zone, space":  func(t time.Time) string { return t.In(east).Format("2006-01-02 15:04:05 -0700") },
		"fraction":     stamp("2006-01-02 15:04:05.000"),
		"minutes":      stamp("2006-01-02 15:04"),
		"slashes":      stamp("2006/01/02 15:04:05"),
		"seconds":      func(t time.Time) string { return fmt.Sprint(t.Unix()) },
		"seconds.0":    func(t time.Time) string { return fmt.Sprintf("%d.0", t.Unix()) },
		"milliseconds": func(t time.Time) string { return fmt.Sprint(t.UnixMilli()) },
		"nanoseconds":  func(t time.Time) string { return fmt.Sprint(t.UnixNano()) },
	}
	want := []Series{{Name: "t", Group: "t", Interval: 300, Segments: []Segment{{Start: start.UnixMilli(), Values: []float64{1, 2.5, -3, 4e3}}}}}
	for name, format := range cases {
		for _, delimiter := range []string{",", ";", "\t", "|"} {
			for _, header := range []string{"", "timestamp@value\n", "\ufeffwhen@requests\r\n", "\n\nTime@Count\n"} {
				text := strings.ReplaceAll(header, "@", delimiter)
				for i, v := range []string{"1", "2.5", "-3", " 4e3"} {
					text += format(start.Add(time.Duration(i)*5*time.Minute)) + delimiter + v + "\n"
				}
				ds, r := mustRead(t, text, few)
				if !reflect.DeepEqual(ds.Series, want) {
					t.Errorf("%s, %q, %q: got %+v", name, delimiter, header, ds.Series)
				}
				if r.Mended != 0 || r.Values != 4 {
					t.Errorf("%s: got report %+v", name, r)
				}
			}
		}
	}
}

func TestUnitOfNumbersIsToldBySize(t *testing.T) {
	for stamp, want := range map[string]int64{
		"0": 0, "-86400": -86400_000, "1639926776": 1639926776_000, "1639926776.25": 1639926776_250,
		"100000000000": 100000000000, "1639926776123": 1639926776123, "1639926776123456": 1639926776123, "1639926776123456789": 1639926776123,
	} {
		var c clock
		if got, ok := c.parse(stamp); !ok || got != want {
			t.Errorf("%s: got %d ms, want %d", stamp, got, want)
		}
	}
	var c clock
	c.parse("1639926776123")
	if got, _ := c.parse("99999"); got != 99999 {
		t.Errorf("after a first row in milliseconds 99999 is %d ms", got)
	}
}

func TestColumnsAreFoundByName(t *testing.T) {
	want := []float64{1, 2, 1}
	for _, text := range []string{
		"value,timestamp\n1,10\n2,20\n1,30\n",
		"host,Value,timestamp,x\na,1,10,\na,2,20,\na,1,30,\n",
		"ts,count,x\n10,1,\"a,b\"\n20,2,\n30,1,\n",
	} {
		ds, _ := mustRead(t, text, few)
		if got := ds.Series[0].Segments[0].Values; !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestG7_BrokenTracesAreRefusedByFileLineAndColumn(t *testing.T) {
	good := "timestamp,value\n10,1\n20,2\n30,4\n"
	cases := []struct{ name, text, want string }{
		{"value", good + "40,x\n", `t.csv:5: column value: found "x", expected a number; mend the row`},
		{"NaN", good + "40,NaN\n", `t.csv:5: column value: found "NaN"`},
		{"Inf", good + "40,-Inf\n", `t.csv:5: column value: found "-Inf"`},
		{"huge", good + "40,1e101\n", `t.csv:5: column value: found "1e101"`},
		{"missing value", good + "40,\n", `t.csv:5: column value: found ""`},
		{"timestamp", good + "yesterday,1\n", `t.csv:5: column timestamp: found "yesterday", expected a date and time as`},
		{"stamp too large", good + "1e300,1\n", `t.csv:5: column timestamp: found "1e300"`},
		{"fields", good + "40,1,2\n", "t.csv:5: found 3 fields, expected 2"},
		{"quote", good + "40,\"1\n", "t.csv:5: "},
		{"first row, no header", "10,x\n20,2\n30,1\n", `t.csv:1: column 2: found "x"`},
		{"first stamp, no header", "noon,1\n20,2\n30,1\n", `t.csv:1: column 1: found "noon"`},
		{"three columns, no header", "10,1,2\n20,2,2\n", "t.csv:1: found 3 fields and no header"},
		{"short", "timestamp,value\n10,1\n20,2\n", "t.csv: found 2 values, expected 3 or more"},
		{"header alone", "timestamp,value\n", "t.csv: found 0 values"},
		{"empty", "", "t.csv: found no row"},
		{"one point in time", "timestamp,value\n10,1\n10,2\n10,3\n", "t.csv: found 3 rows at no more than one point in time"},
		{"constant", "timestamp,value\n10,1\n20,1\n30,1\n", "1 constant"},
		{"another table", "a,b,c\n1,2,3\n", "t.csv: no columns timestamp and value"},
		{"wide, value", "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f,http,1,2,3\no,a,g,http,1,?,3\n", `t.csv:3: column 2: found "?"`},
		{"wide, minutes", "HashOwner,HashApp,HashFunction,Trigger,1,3,4\no,a,f,http,1,2,3\n", `t.csv:1: column 6: found "3"`},
		{"wide, keys", "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,,f,http,1,2,3\n", "t.csv:2: found no app"},
		{"wide, twice", "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f,http,1,2,3\no,a,f,http,1,2,3\n", `second series "t/a/f"`},
		{"wide, inactive", "HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f,http,0,2,0\n", "1 inactive"},
	}
	for _, tc := range cases {
		_, report, err := ReadTrace("t.csv", strings.NewReader(tc.text), few)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", tc.name, err, tc.want)
		}
		if report == nil {
			t.Errorf("%s: got no report", tc.name)
		}
	}
}

func TestSkipBadCountsWhatItLeavesOut(t *testing.T) {
	o := few
	o.SkipBad = true
	ds, r := mustRead(t, "timestamp,value\n10,1\n20,x\nz,1\n30,4\n40,5,6\n45,1\"\n50,2\n", o)
	if r.BadRows != 4 || ds.Series[0].Len() != 3 {
		t.Errorf("got %d bad rows and %v, want 4", r.BadRows, ds.Series)
	}
	files := fstest.MapFS{
		"short.csv": {Data: []byte("timestamp,value\n10,1\n20,2\n")},
		"good.csv":  {Data: []byte("timestamp,value\n10,1\n20,2\n30,4\n")},
	}
	ds, r, err := Ingest([]Source{{files, "."}}, o)
	if err != nil || len(ds.Series) != 1 || r.Short != 1 {
		t.Errorf("got %v, %+v, %v; want the short series counted", ds, r, err)
	}
}

func TestFolderIsWalked(t *testing.T) {
	trace := "timestamp,value\n10,1\n20,2\n30,4\n"
	files := fstest.MapFS{
		"jobs/b/x_2.csv.gz":     {Data: gzipped(t, trace)},
		"jobs/b/x_1.CSV":        {Data: []byte(trace)},
		"jobs/a.tsv":            {Data: []byte(strings.ReplaceAll(trace, ",", "\t"))},
		"jobs/flat.csv":         {Data: []byte("timestamp,value\n10,1\n20,1\n30,1\n")},
		"jobs/README.md":        {Data: []byte("about")},
		"jobs/labels.json":      {Data: []byte("{}")},
		"jobs/prices.csv":       {Data: []byte("a,b,c\n1,2,3\n")},
		"jobs/.git/x.csv":       {Data: []byte("junk")},
		"jobs/w/functions.csv":  {Data: []byte("HashOwner,HashApp,HashFunction,Trigger,7,8,9\no,app,f,http,1,2,3\no,app,g,http,3,2,3\no,b,h,http,0,0,3\n")},
		"elsewhere/ignored.csv": {Data: []byte("junk")},
	}
	ds, r, err := Ingest([]Source{{files, "jobs"}}, few)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range ds.Series {
		got = append(got, s.Name+" in "+s.Group)
	}
	want := []string{"a in a", "b/x_1 in b/x_1", "b/x_2 in b/x_2", "w/functions/app/f in app", "w/functions/app/g in app"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if first := ds.Series[3].Segments[0]; ds.Series[3].Interval != 60 || first.Start != 6*60_000 {
		t.Errorf("wide series: got interval %g, start %d", ds.Series[3].Interval, first.Start)
	}
	wantReport := Report{Files: 5, PassedOver: 3, Series: 5, Groups: 4, Segments: 5, Values: 15, Constant: 1, Inactive: 1}
	others := r.Others
	r.Others = nil
	if !reflect.DeepEqual(*r, wantReport) || len(others) != 1 {
		t.Errorf("got %+v and %v, want %+v", r, others, wantReport)
	}

	o := few
	o.Group = regexp.MustCompile(`/(x)_`)
	ds, r, err = Ingest([]Source{{files, "jobs"}}, o)
	if err != nil {
		t.Fatal(err)
	}
	if ds.Series[1].Group != "x" || ds.Series[2].Group != "x" || ds.Series[0].Group != "a" || r.Ungrouped != 3 {
		t.Errorf("with a pattern: got %+v, %+v", ds.Series, r)
	}
}

func TestOneFileAndSeveralFoldersAreSources(t *testing.T) {
	trace := []byte("timestamp,value\n10,1\n20,2\n30,4\n")
	files := fstest.MapFS{"d/a.csv": {Data: trace}, "e/b.csv": {Data: trace}, "e/a.csv": {Data: trace}}
	ds, _, err := Ingest([]Source{{files, "d/a.csv"}, {files, "e/b.csv"}}, few)
	if err != nil || len(ds.Series) != 2 || ds.Series[0].Name != "a" || ds.Series[1].Name != "b" {
		t.Errorf("got %v, %v", ds, err)
	}
	_, _, err = Ingest([]Source{{files, "d"}, {files, "e"}}, few)
	if err == nil || !strings.Contains(err.Error(), `second series "a", the first is in d/a.csv`) {
		t.Errorf("one name in two folders: got %v", err)
	}
}

func TestG7_FoldersWithoutTracesAreRefused(t *testing.T) {
	for _, tc := range []struct {
		want  string
		files fstest.MapFS
	}{
		{"no trace among 1 files", fstest.MapFS{"README.md": {}}},
		{"no trace among 0 files", fstest.MapFS{}},
		{"p.csv: no columns timestamp and value", fstest.MapFS{"p.csv": {Data: []byte("a,b,c\n1,2,3\n")}}},
		{"x.csv.gz: gzip: invalid header", fstest.MapFS{"x.csv.gz": {Data: []byte("timestamp,value\n10,1\n")}}},
		{"x.csv.gz: unexpected EOF", fstest.MapFS{"x.csv.gz": {Data: gzipped(t, strings.Repeat("10,1\n", 100))[:20]}}},
	} {
		if _, _, err := Ingest([]Source{{tc.files, "."}}, few); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want an error with %q", err, tc.want)
		}
	}
	if _, _, err := Ingest([]Source{{fstest.MapFS{}, "nowhere"}}, few); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a folder that is not there: got %v", err)
	}
}

// Whatever the bytes, reading gives an error or a data set that holds its own
// rules and packs.
func FuzzReadTrace(f *testing.F) {
	for _, text := range []string{
		"timestamp,value\n2014-04-01 00:00:00,20.0\n2014-04-01 00:05:00,20.5\n2014-04-01 00:10:00,20.0\n2014-04-01 00:12:00,20.0\n",
		"1639926776|10670\n1639926777|10669\n1639926778|1\n1639926770|1\n1639926771|2\n",
		"HashOwner,HashApp,HashFunction,Trigger,1,2,3\no,a,f,http,1,2,3\n",
		"\xef\xbb\xbfa;b\n\n1;\"2\"\n9e14;1\n-9e14;3\n1;1\n",
	} {
		f.Add(text, false, false)
		f.Add(text, true, true)
	}
	f.Fuzz(func(t *testing.T, text string, strict, skip bool) {
		ds, r, err := ReadTrace("t.csv", strings.NewReader(text), IngestOptions{Strict: strict, SkipBad: skip, MinValues: 2})
		if err != nil {
			if ds != nil || len(err.Error()) == 0 {
				t.Fatalf("got a data set beside %v", err)
			}
			return
		}
		if err := ds.check(); err != nil {
			t.Fatal(err)
		}
		if _, err := Pack(ds); err != nil {
			t.Fatal(err)
		}
		if strict && r.Equal+r.OffGrid+r.Backward > 0 {
			t.Fatalf("strict, yet mended: %+v", r)
		}
		for _, s := range ds.Series {
			if math.IsNaN(s.Interval) || s.Len() < 2 {
				t.Fatalf("got %+v", s)
			}
		}
	})
}
