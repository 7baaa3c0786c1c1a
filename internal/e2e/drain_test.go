//go:build linux

package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// A worker under load that gets SIGTERM finishes or hands back what it has, says so, and exits 0 within its grace; the
// run goes on to the same bits.
func TestG1_SIGTERMDrainsAWorker(t *testing.T) {
	long(t)
	want := get(t, "enduring")
	c := newCluster(t)
	c.coordinator()
	leaver := c.worker("--grace", "30s")
	c.worker()
	train := c.command("train", enduringSpec(t), "--json").start(t)
	early := c.awaitRun("at step 400", func(s status) bool { return s.total() >= 400 })
	began := time.Now()
	leaver.signal(syscall.SIGTERM)
	if code := leaver.wait(); code != 0 {
		t.Errorf("exit status %d after SIGTERM, expected 0", code)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v to leave, expected at most its grace", took)
	}
	log := read(leaver.stderr)
	says(t, log, "msg=leaving")
	if strings.Contains(log, "grace is over") {
		t.Error("found work handed back that was begun, expected it finished")
	}
	c.awaitRun("400 steps on", func(s status) bool { return s.State != "active" || s.total() >= early.total()+400 })
	if o := finished(t, train); o.SHA256 != want.model {
		t.Errorf("found base model %s, expected %s", o.SHA256, want.model)
	}
}
