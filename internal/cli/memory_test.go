package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// A model too large for the workers is refused before anything starts, with what it needs and what there is.
func TestG7_ModelTooLargeIsRefusedBeforeWorkStarts(t *testing.T) {
	dir := t.TempDir()
	spec := filepath.Join(dir, "spec.yaml")
	if err := os.WriteFile(spec, []byte("family: sinusoid\nmodel: {hidden: [500, 500]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for memory, want := range map[string]string{"4MiB": "4 MiB is available", "1GiB": "", "lots": "2GiB"} {
		var out, errs bytes.Buffer
		status := Run([]string{"train", spec, "--dry-run", "--memory", memory, "--data-dir", filepath.Join(dir, "stack")}, &out, &errs, worker.BuiltinKinds())
		if (status == exitDone) != (want == "") || !strings.Contains(errs.String(), want) {
			t.Errorf("--memory %s: exit %d, %s", memory, status, errs.String())
		}
		if _, err := os.Stat(filepath.Join(dir, "stack")); err == nil {
			t.Errorf("--memory %s: the stack was started", memory)
		}
	}
}
