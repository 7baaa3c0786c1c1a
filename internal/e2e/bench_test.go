//go:build linux

package e2e

import "testing"

// dispatched is what `warmstart bench dispatch --json` says of itself.
type dispatched struct {
	Workers, Steps, Results int
	Overhead                float64
	Verified                bool
	RSSPeak                 float64 `json:"rss_mb_peak"`
	RequestsPerS            float64 `json:"requests_per_s"`
}

// The short form of the figures in docs/BENCHMARKS.md: 50 workers that wait 200 ms a step. The bound on time is generous,
// since a step's turn of a few milliseconds is a busy machine's slice; bits are not.
func TestBenchDispatch(t *testing.T) {
	found := bench(t, "--workers", "50", "--steps", "5", "--wait", "200ms")
	if found.Workers != 50 || found.Steps != 5 || found.Results != 250 || !found.Verified || found.RequestsPerS <= 0 || found.RSSPeak <= 0 {
		t.Errorf("found %+v", found)
	}
	if found.Overhead <= 0 || found.Overhead > 0.5 {
		t.Errorf("found overhead %v, expected above 0 and at most 0.5", found.Overhead)
	}
}

// Shards of several tasks, more of them than workers, and results of several chunks.
func TestBenchDispatchOfLargeVectors(t *testing.T) {
	found := bench(t, "--workers", "3", "--tasks", "13", "--shard", "2", "--parameters", "150000", "--steps", "4", "--wait", "0")
	if !found.Verified || found.Results != 28 {
		t.Errorf("found %+v, expected 28 results", found)
	}
}

func bench(t *testing.T, args ...string) (r dispatched) {
	t.Helper()
	code, out, errs := program{args: append([]string{"warmstart", "bench", "dispatch", "--json"}, args...)}.run(t)
	if code != 0 {
		t.Fatalf("exit status %d: %s", code, errs)
	}
	decode(t, out, &r)
	return r
}
