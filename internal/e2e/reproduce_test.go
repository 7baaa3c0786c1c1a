//go:build linux

package e2e

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// A task that fails alike on every worker stops the run with the command that computes it alone; that fails as the workers
// did, and writes the task's samples down.
func TestTaskAtFaultIsReproducedAlone(t *testing.T) {
	tr := training{spec: write(t, "wild.yaml", sinusoid+"learner: {name: maml, steps: 10, rate: 10}\n")}
	p := tr.command(t).start(t)
	if code := p.wait(); code != 1 {
		t.Fatalf("exit status %d of a training that diverges, expected 1", code)
	}
	command := regexp.MustCompile("`warmstart reproduce ([^`]+)` computes it alone").FindStringSubmatch(read(p.stderr))
	if command == nil {
		t.Fatalf("no command that reproduces the failure in\n%s", read(p.stderr))
	}
	samples := filepath.Join(t.TempDir(), "fault.safetensors")
	stderr := warmstart(t, 1, "reproduce", command[1], "--data-dir", tr.dataDir, "--to", samples)
	elsewhere := regexp.MustCompile(`on the workers: (.*)`).FindStringSubmatch(stderr)
	if elsewhere == nil || !regexp.MustCompile(`here: task [0-9]+: `+regexp.QuoteMeta(elsewhere[1])).MatchString(stderr) {
		t.Errorf("it does not fail as on the workers:\n%s", stderr)
	}
	_, arrays, err := checkpoint.DecodeTensors([]byte(read(samples)))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range arrays {
		if strings.HasPrefix(a.Name, "query") && a.Shape[0] != 10 || strings.HasPrefix(a.Name, "support") && a.Shape[0] != 3 && a.Shape[0] != 5 {
			t.Errorf("%s has shape %v", a.Name, a.Shape)
		}
	}
	if len(arrays) != 6 {
		t.Errorf("%d arrays, expected x, y and w of support and query", len(arrays))
	}
	says(t, warmstart(t, 1, "reproduce", "waves-0000000000", "--data-dir", tr.dataDir), "no work of a run", "waves-0000000000")
}
