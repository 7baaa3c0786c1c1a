package taskshards

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// realData returns a folder of public traces; WARMSTART_DATA says where they
// lie. Where there are none the test is skipped, in a line that says so.
func realData(tb testing.TB, name string) Source {
	tb.Helper()
	root := os.Getenv("WARMSTART_DATA")
	if root == "" {
		root = "../../../shared/data"
	}
	dir := filepath.Join(root, name)
	if _, err := os.Stat(dir); err != nil {
		tb.Skipf("no public traces in %s: set WARMSTART_DATA to a folder that holds %s", root, name)
	}
	return Source{FS: os.DirFS(dir), Root: "."}
}

func mustIngest(tb testing.TB, o IngestOptions, sources ...Source) (*DataSet, *Report) {
	tb.Helper()
	ds, r, err := Ingest(sources, o)
	if err != nil {
		tb.Fatal(err)
	}
	return ds, r
}

// The Numenta Anomaly Benchmark: 58 files, of which 47 real. The traffic files
// are off the grid in 24 to 63 % of their steps.
func TestNABIsRead(t *testing.T) {
	src := realData(t, "nab")
	began := time.Now()
	ds, r := mustIngest(t, IngestOptions{}, src)
	t.Logf("%v\n%v", time.Since(began), r)
	if r.Files != 58 || r.Series+r.Constant != 58 || r.Constant != 1 || r.BadRows != 0 {
		t.Errorf("got %+v, want 58 files, one of them (art_flatline) constant", r)
	}
	if r.Backward != 1 {
		t.Errorf("got %d backward stamps, want the one of machine_temperature_system_failure", r.Backward)
	}
	for _, s := range ds.Series {
		want := 300.0
		switch {
		case strings.Contains(s.Name, "TravelTime"):
			want = 600
		case strings.Contains(s.Name, "nyc_taxi"):
			want = 1800
		case strings.Contains(s.Name, "exchange") || strings.Contains(s.Name, "ambient"):
			want = 3600
		}
		if s.Interval != want {
			t.Errorf("%s: got interval %g s, want %g", s.Name, s.Interval, want)
		}
	}
	if _, _, err := Ingest([]Source{src}, IngestOptions{Strict: true}); err == nil {
		t.Error("strict took the dirty files")
	}
}

// Azure Functions 2019, sample of 500 functions over 8 hours: 95 are active in
// half of the minutes or more.
func TestAzureIsRead(t *testing.T) {
	ds, r := mustIngest(t, IngestOptions{}, realData(t, "azure-functions-2019"))
	t.Logf("%v", r)
	if r.Files != 2 || r.Series+r.Constant+r.Inactive != 510 || r.Inactive != 405 {
		t.Errorf("got %+v, want 510 functions, 405 of them inactive", r)
	}
	for _, s := range ds.Series {
		if n := s.Len(); s.Interval != 60 || n != 480 && n != 1440 {
			t.Errorf("%s: got %d values, %g s apart", s.Name, n, s.Interval)
		}
	}
	back, err := Unpack(mustPack(t, ds))
	if err != nil || len(back.Series) != len(ds.Series) {
		t.Errorf("packed and unpacked: %v", err)
	}
}

// Bars as delimiters, one-second grid, gzip, NaN in some rows; tables of results
// beside them.
func TestDemeterIsRead(t *testing.T) {
	_, r := mustIngest(t, IngestOptions{SkipBad: true}, realData(t, "demeter-cars"))
	t.Logf("%v", r)
	if r.Files < 10 || len(r.Others) == 0 || r.BadRows == 0 {
		t.Errorf("got %+v with %d other tables", r, len(r.Others))
	}
}
