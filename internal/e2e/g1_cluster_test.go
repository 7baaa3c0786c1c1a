//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// Two coordinators and two workers, as daemons against real servers; a worker and the leading coordinator are killed
// by SIGKILL mid-run; the base model has the bits of an undisturbed run by one worker on the embedded stack.
func TestG1_SameBitsFromAClusterWhoseWorkerAndLeaderAreKilled(t *testing.T) {
	long(t)
	want := get(t, "enduring")
	c := newCluster(t)
	leader := c.coordinator("--id", "one")
	leader.await("leadership", func() bool { return leading(leader) })
	follower := c.coordinator("--id", "two")
	victim, survivor := c.worker(), c.worker()

	train := c.command("train", enduringSpec(t), "--json").start(t)
	early := c.awaitRun("at step 400", func(s status) bool { return s.total() >= 400 })
	victim.kill()
	late := c.awaitRun("400 steps on", func(s status) bool { return s.total() >= early.total()+400 })
	if leading(follower) {
		t.Fatal("two coordinators lead at once")
	}
	leader.kill()
	if late.Track > 0 {
		t.Fatalf("the leader died at step %d of %d: nothing was left of the first track", late.total(), late.Steps)
	}
	o := finished(t, train)
	if !leading(follower) || survivor.over() {
		t.Error("the run ended without the second coordinator or the second worker")
	}
	if o.SHA256 != want.model {
		t.Errorf("found base model %s, expected %s", o.SHA256, want.model)
	}
	pulled(t, c, o.Model, want)
}

// pulled checks that ls, show and pull give the published model from the cluster, whole, over NATS alone.
func pulled(t *testing.T, c *cluster, model string, want bits) {
	t.Helper()
	if listed := c.say("models", "ls"); !strings.Contains(listed, model) || !strings.Contains(listed, want.model[:12]) {
		t.Errorf("models ls: found %q, expected %s with %.12s", listed, model, want.model)
	}
	var manifest struct {
		Model   string `json:"model"`
		Version int    `json:"version"`
		Files   []struct {
			Name   string `json:"name"`
			SHA256 string `json:"sha256"`
		} `json:"files"`
	}
	if err := json.Unmarshal([]byte(c.say("models", "show", model)), &manifest); err != nil {
		t.Fatal(err)
	}
	if found := fmt.Sprintf("%s:%d", manifest.Model, manifest.Version); found != model {
		t.Errorf("models show: found %s, expected %s", found, model)
	}
	to := filepath.Join(t.TempDir(), "pulled")
	c.say("models", "pull", model, "--to", to)
	if found := folderBits(t, to); found != want {
		t.Errorf("models pull: found %+v\nexpected %+v", found, want)
	}
	if code, stdout, stderr := (program{args: []string{"warmstart", "models", "verify", to}}).run(t); code != 0 {
		t.Errorf("models verify %s: exit status %d: %s%s", to, code, stdout, stderr)
	}
}

// The data a run names are imported by the command line and reach the workers through the coordinator.
func TestG1_SameBitsFromAClusterOnTraces(t *testing.T) {
	long(t)
	want := get(t, "load")
	c := newCluster(t)
	c.coordinator("--shard-tasks", "4")
	c.worker()
	o := finished(t, c.command("train", loadSpec(t), "--json").start(t))
	if o.SHA256 != want.model {
		t.Errorf("found base model %s, expected %s", o.SHA256, want.model)
	}
	pulled(t, c, o.Model, want)
}
