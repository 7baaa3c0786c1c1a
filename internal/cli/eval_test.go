package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// A flag that means nothing for the model's family is refused, not passed over.
func TestG7_EvalRefusesFlagsOfOtherFamilies(t *testing.T) {
	for _, flags := range [][]string{{"--steps", "3"}, {"--episodes", "10"}} {
		var out, errs bytes.Buffer
		args := append([]string{"eval", "builtin:load", "--tasks", t.TempDir()}, flags...)
		if status := Run(args, &out, &errs, worker.BuiltinKinds()); status != exitUsage || !strings.Contains(errs.String(), flags[0]+": means nothing for a model of family load") {
			t.Errorf("%v: exit %d, %s", flags, status, errs.String())
		}
	}
	set := (&environment{err: &bytes.Buffer{}}).flags()
	set.String("shots", "5", "")
	set.String("steps", "1", "")
	if err := set.Parse([]string{"--shots", "3"}); err != nil {
		t.Fatal(err)
	}
	if err := misplaced(set, "arrays", "shots"); err == nil || !strings.Contains(err.Error(), "--shots") || !strings.Contains(err.Error(), "arrays") {
		t.Errorf("got error %v, want one that names --shots and arrays", err)
	}
	if err := misplaced(set, "arrays", "steps"); err != nil {
		t.Errorf("--steps was not given: %v", err)
	}
}

// Where operations are not counted, bench says so in place of a speed of zero.
func TestBenchSaysWhereWorkIsNotCounted(t *testing.T) {
	for gflops, want := range map[float64]string{0: "not counted", 12.5: "12.5 GFLOP/s"} {
		var out bytes.Buffer
		r := innerResult{GFLOPS: gflops}
		if err := r.write(&environment{out: &out}, false); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%g: got %q, error %v, want %q", gflops, out.String(), err, want)
		}
	}
}
