package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// benchOnce runs `warmstart bench inner` for as short as it goes.
func benchOnce(t *testing.T, args ...string) innerResult {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"bench", "inner", "--seconds", "0.001", "--json"}, args...)
	if status := Run(args, &out, &errs, worker.BuiltinKinds()); status != exitDone {
		t.Fatalf("%v: exit %d: %s", args, status, errs.String())
	}
	var r innerResult
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %v in %s", args, err, out.String())
	}
	return r
}

// People compare machines by this digest, so that it must not know threads, the form that was faster or the length.
func TestG1_BenchDigestIsTheSpecs(t *testing.T) {
	for _, of := range [][]string{nil, {"--inner", "3"}, {"--first-order"}, {"--learner", "ridge"}, {"--set", "family.shots=[3,5]"}, {"--hidden", "7", "--set", "learner.learn_rates=true"}} {
		of = append(of, "--batch", "40")
		want := benchOnce(t, of...)
		if want.SHA256 == "" || want.TasksPerS <= 0 || want.Batch != 40 || want.Kernel == "" {
			t.Errorf("%v: %+v", of, want)
		}
		for _, threads := range []string{"2", "3", "64"} {
			if got := benchOnce(t, append(of, "--threads", threads)...); got.SHA256 != want.SHA256 {
				t.Errorf("%v: %s threads give %s, one %s", of, threads, got.SHA256, want.SHA256)
			}
		}
	}
	if a, b := benchOnce(t), benchOnce(t, "--inner", "2"); a.SHA256 == b.SHA256 {
		t.Error("another spec has the same digest")
	}
}

// About 400 kFLOP: what the targets are in.
func TestBenchCountsTheSinusoidsWork(t *testing.T) {
	f, g := 2*(40.0+1600+40), 2*(1600.0+40)
	for _, c := range []struct {
		args []string
		want float64
	}{
		{[]string{"--inner", "1"}, 10*(4*f+5*g) + 10*(2*f+g)},
		{[]string{"--inner", "5"}, 50*(4*f+5*g) + 10*(2*f+g)},
		{[]string{"--inner", "5", "--first-order"}, 60 * (2*f + g)},
		{[]string{"--inner", "2", "--set", "learner.zero_weight=0.5"}, 20*(4*f+5*g) + 20*(2*f+g)},
		{[]string{"--inner", "5", "--learner", "reptile"}, 60 * (2*f + g)},
		{[]string{"--inner", "5", "--learner", "anil"}, 10*((f+3200+3280)+5*6*80) + 10*((f+3200+3280)+3*80)},
	} {
		if r := benchOnce(t, c.args...); r.FLOPs != c.want || r.Params != 1761 {
			t.Errorf("%v: %v operations a task on %d parameters, want %v on 1761", c.args, r.FLOPs, r.Params, c.want)
		}
	}
}

// What --set says of the learner stands where --learner says nothing.
func TestBenchTakesTheLearnerOfSet(t *testing.T) {
	if r := benchOnce(t, "--set", "learner=ridge"); r.Learner != "ridge" || r.Order != "" {
		t.Errorf("found learner %s of order %q, expected ridge of none", r.Learner, r.Order)
	}
}

func TestBenchRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"bench", "dispatch", "--workers", "0"}, "--workers: found 0"}, {[]string{"bench", "dispatch", "--wait", "soon"}, "-wait"},
		{[]string{"bench", "dispatch", "--shard", "3"}, "--shard: found 3, expected a power of two"}, {[]string{"bench", "dispatch", "10"}, `argument "10"`},
		{[]string{"bench", "dispatch", "--wokers", "3"}, "unknown flag --wokers"}, {[]string{"bench", "dispatch", "--straggler", "0.5"}, "--straggler"},
		{[]string{"bench"}, "expected inner, kernel or dispatch"}, {[]string{"bench", "inner", "--threads", "0"}, "--threads"},
		{[]string{"bench", "inner", "--batch", "0"}, "--batch"}, {[]string{"bench", "kernel", "--shapes", "3x4"}, "MxNxK"},
		{[]string{"bench", "inner", "--family", "sinusiod"}, "sinusoid"}, {[]string{"bench", "inner", "--seconds", "NaN"}, "--seconds"},
		{[]string{"bench", "inner", "--learner", "ridge", "--inner", "5"}, "bench: --inner 5: learner.steps: unknown key for ridge"},
		{[]string{"bench", "inner", "--inner", "-3"}, "bench: --inner -3: "}, {[]string{"bench", "inner", "--learner", "mamll"}, "bench: --learner mamll: "},
		{[]string{"bench", "inner", "--model", "conv4", "--hidden", "4"}, "bench: --hidden 4: model.hidden: unknown key for conv4"},
	} {
		var out, errs bytes.Buffer
		if status := Run(c.args, &out, &errs, worker.BuiltinKinds()); status == exitDone || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%v: exit %d, %q, want it to name %s", c.args, status, errs.String(), c.want)
		}
	}
}

func TestBenchKernelPrintsALineAShape(t *testing.T) {
	var out, errs bytes.Buffer
	if status := Run([]string{"bench", "kernel", "--seconds", "0.001", "--shapes", "3x4x5,1x1x1", "--json"}, &out, &errs, worker.BuiltinKinds()); status != exitDone {
		t.Fatalf("exit %d: %s", status, errs.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var r kernelResult
	if err := json.Unmarshal([]byte(lines[0]), &r); err != nil || len(lines) != 2 || r.M != 3 || r.N != 4 || r.K != 5 || r.Product <= 0 || r.Lanes <= 0 {
		t.Errorf("%v: %q", err, lines)
	}
}
