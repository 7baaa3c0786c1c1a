//go:build linux

package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A worker process answers wrongly, in good form, for much of a run on real servers. With two processes the run holds and
// says that a third is needed; with three the liar is found out, its process is turned away, the run goes back, and the
// base model has the bits of a run without it.
func TestG1_SameBitsThoughAWorkerLies(t *testing.T) {
	long(t)
	want := get(t, "enduring")
	liar := filepath.Join(t.TempDir(), "liar")
	if out, err := exec.Command("go", "build", "-o", liar, "./liar").CombinedOutput(); err != nil {
		t.Fatalf("build the liar: %v\n%s", err, out)
	}
	c := newCluster(t)
	c.coordinator()
	c.worker("--slots", "1")
	lies := program{args: []string{liar, "--slots", "1"}, env: c.access()}.start(t)
	train := c.command("train", enduringSpec(t), "--json", "--set", "audit=0.02").start(t)
	c.awaitRun("that two of two disagree about", waitsFor("a third process"))
	c.worker("--slots", "1")
	if code := lies.wait(); code != 1 || !strings.Contains(read(lies.stderr), "quarantine") {
		t.Errorf("the liar: exit status %d: %s", code, tail(read(lies.stderr)))
	}
	o := finished(t, train)
	if o.SHA256 != want.model {
		t.Errorf("found base model %s, expected %s", o.SHA256, want.model)
	}

	var run struct {
		Audits struct {
			Done, Rewinds int64
			Outstanding   int
			Quarantined   []string
		}
	}
	if err := json.Unmarshal([]byte(c.say("runs", "show", c.runs()[0].Run)), &run); err != nil {
		t.Fatal(err)
	}
	if a := run.Audits; a.Done == 0 || a.Rewinds == 0 || a.Outstanding != 0 || len(a.Quarantined) != 1 {
		t.Errorf("runs show: found %+v, expected audits done, a rewind, and one worker quarantined", a)
	}
	var fleet struct {
		Quarantine []struct{ Process, Worker string }
	}
	list := func() {
		t.Helper()
		if err := json.Unmarshal([]byte(c.say("runs", "workers", "--json")), &fleet); err != nil {
			t.Fatal(err)
		}
	}
	if list(); len(fleet.Quarantine) != 1 || !strings.Contains(c.say("runs", "workers"), fleet.Quarantine[0].Process+" in quarantine") {
		t.Fatalf("runs workers: found %+v, expected one process in quarantine", fleet)
	}
	c.say("runs", "lift", fleet.Quarantine[0].Process)
	fleet.Quarantine = nil
	if list(); len(fleet.Quarantine) != 0 {
		t.Errorf("found %+v, expected the quarantine lifted", fleet)
	}
}
