package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// reported is what `train` ends with where the best model by validation is that of a step: the JSON and stderr.
func reported(t *testing.T, step int64) (out outcome, errs string) {
	t.Helper()
	dir, err := checkpoint.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	entries, err := checkpoint.BuildVersion(map[string][]byte{checkpoint.ModelFile: {1}, checkpoint.ConfigFile: []byte("{}")}, checkpoint.Manifest{
		Model: "waves", Version: 1, Run: "waves-1", Contract: metatrain.Contract, Spec: "{}", Steps: step, Metrics: map[string]float64{"validation": 4.25}, Created: "2026-01-02T03:04:05Z",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := dir.Put(context.Background(), e.Key, e.Data); err != nil {
			t.Fatal(err)
		}
	}
	var stdout, stderr bytes.Buffer
	env := &environment{out: &stdout, err: &stderr}
	at := &site{getter: dir, place: func(string, int64) string { return "here" }}
	run := metatrain.RunStatus{Run: "waves-1", Name: "waves", State: metatrain.Finished, Steps: 600, Version: 1}
	if err := report(context.Background(), env, &trainFlags{json: true}, at, run, &progress{began: time.Now()}, 1); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return out, stderr.String()
}

// Where no step validates better than the initial parameters these are published, and the command says so.
func TestTrainSaysThatItDidNotImprove(t *testing.T) {
	out, errs := reported(t, 0)
	if out.Improved || out.BestStep != 0 || out.BestScore != 4.25 {
		t.Errorf("found %+v", out)
	}
	for _, want := range []string{"did not improve on the initial parameters", "4.25 at step 0 of 600", "optimizer.rate", "learner.rate"} {
		if !strings.Contains(errs, want) {
			t.Errorf("found %q, expected it to say %q", errs, want)
		}
	}
	if out, errs = reported(t, 250); !out.Improved || out.BestStep != 250 || errs != "" {
		t.Errorf("found %+v and %q of a run that improved", out, errs)
	}
}

// Who follows a run sees that it waits for audits, and that workers disagree.
func TestProgressTellsOfAudits(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out)
	p.see(metatrain.RunStatus{State: metatrain.Active, Steps: 600, Tracks: 1, Workers: 2, Audits: &metatrain.Audits{Outstanding: 2, Disputed: 1}})
	for _, want := range []string{"audits ", "workers disagree: a third process"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("found %q, expected it to say %q", out.String(), want)
		}
	}
}
