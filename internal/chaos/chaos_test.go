package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// A seed gives the same faults each time, another seed others; 500 of them disturb every process, in every way.
func TestPlanFollowsFromTheSeed(t *testing.T) {
	text := func(seed uint64) string { return fmt.Sprint(plan(seed, 500, "")) }
	once := text(3)
	if text(3) != once {
		t.Error("found two plans from one seed")
	}
	if once == text(4) {
		t.Error("found one plan from two seeds")
	}
	seen := map[string]int{}
	for _, f := range plan(3, 500, "") {
		seen[string(f.way)]++
		for _, v := range f.victims {
			seen[v]++
		}
		if f.lasts <= 0 || f.lasts > 16e9 {
			t.Errorf("%v: found it to last %v", f, f.lasts)
		}
	}
	for _, what := range slices.Concat(theNATS, theEtcd, theS3, theCoordinators, theWorkers, []string{"kill", "stop", "wipe", "cut", "silence"}) {
		if seen[what] == 0 {
			t.Errorf("found no fault of %s in 500", what)
		}
	}
}

func TestPlanKeepsToOneWay(t *testing.T) {
	for _, f := range plan(3, 200, kill) {
		if f.way != kill {
			t.Fatalf("found %v, expected kills alone", f)
		}
	}
}

// stored is a store after a run: spec, checkpoints of some steps, a version.
func stored(t *testing.T, steps ...int64) (store checkpoint.Store, dir, run string) {
	t.Helper()
	dir = t.TempDir()
	store, err := checkpoint.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, data []byte) {
		if err := store.Put(t.Context(), key, data); err != nil {
			t.Fatal(err)
		}
	}
	spec, _, err := worker.BuiltinKinds().ReadSpec("spec.yaml", []byte(spec(runName, 9)), nil)
	if err != nil {
		t.Fatal(err)
	}
	run = spec.RunID(0)
	put("runs/"+run+"/spec.yaml", metatrain.EncodeSpec(spec))
	for _, step := range steps {
		c := checkpoint.Checkpoint{Contract: metatrain.Contract, SpecDigest: spec.Digest(), Step: step, Tensors: []checkpoint.Tensor{{Name: "w", Shape: []int{1}, F32: []float32{1}}}}
		data, sha, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		put(checkpoint.CheckpointKey(run, 0, step, sha), data)
	}
	return store, dir, run
}

// What the checks are for they find: a torn checkpoint, one too many, an object of nobody's.
func TestVerifyStoreFindsWhatIsWrong(t *testing.T) {
	ctx := context.Background()
	store, dir, run := stored(t, 8, 9)
	if err := store.Put(ctx, metatrain.ClusterObject, []byte(`{"id":"A","created":1}`)); err != nil {
		t.Fatal(err)
	}
	if n, err := verifyStore(ctx, store, 2); n != 4 || err != nil {
		t.Fatalf("found %d objects, %v; expected 4 and no fault", n, err)
	}
	if _, err := verifyStore(ctx, store, 1); err == nil || !strings.Contains(err.Error(), "found 2 checkpoints, expected at most 1") {
		t.Errorf("found %v, expected a checkpoint too many", err)
	}
	if err := store.Put(ctx, "runs/"+run+"/forgotten", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := verifyStore(ctx, store, 2); err == nil || !strings.Contains(err.Error(), "belongs to nothing") {
		t.Errorf("found %v, expected the object of nobody's named", err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, checkpoint.CheckpointFolder(run), "*9-*"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("found %v, %v", paths, err)
	}
	if err := os.Truncate(paths[0], 20); err != nil {
		t.Fatal(err)
	}
	if _, err := verifyStore(ctx, store, 2); err == nil || !strings.Contains(err.Error(), filepath.Base(paths[0])) {
		t.Errorf("found %v, expected the torn checkpoint named", err)
	}
}

func TestLevelsBeyondTheSlackAreALeak(t *testing.T) {
	base := level{goroutines: 20, files: 10, subscriptions: 3}
	for l, ok := range map[level]bool{
		base: true, {10, 5, 1}: true, {20 + slack.goroutines, 10 + slack.files, 3}: true,
		{21 + slack.goroutines, 10, 3}: false, {20, 11 + slack.files, 3}: false, {20, 10, 4}: false,
	} {
		if l.within(base) != ok {
			t.Errorf("%v over %v: found %v, expected %v", l, base, !ok, ok)
		}
	}
}

func TestReportTellsAMissedTarget(t *testing.T) {
	r := reportOf(durations{3, 9, 1})
	if r.Median != 3 || r.Worst != 9 || r.Kills != 3 {
		t.Errorf("found %+v, expected a median of 3 and a worst of 9", r)
	}
	if r.check("x", target{4, 10}) != nil || r.check("x", target{3, 10}) == nil || r.check("x", target{4, 9}) == nil {
		t.Error("found a target of under 3 and 9 s met, or one of 4 and 10 missed")
	}
	if even := (durations{1, 2, 3, 4}).median(); even != 2.5 {
		t.Errorf("found a median of %v, expected 2.5", even)
	}
}

func TestLastLines(t *testing.T) {
	if found := lastLines("a\nb\nc", 2); found != "b\nc" {
		t.Errorf("found %q, expected the last two", found)
	}
	if found := lastLines(strings.Repeat("x", 1000), 1); len(found) != 300 {
		t.Errorf("found %d bytes, expected 300", len(found))
	}
}
