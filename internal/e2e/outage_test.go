//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The S3 server dies in the middle of a run. Training goes on up to the limit and says what it waits for; the newest state
// that the store did not take lies in the coordinator's spool, and outlives that one's death, too: started again with the
// same folder it puts the state to the store, resumes from it, and leaves the spool empty. The bits are those of an
// undisturbed run.
func TestG1_SameBitsThroughAnOutageOfTheStore(t *testing.T) {
	long(t)
	want := get(t, "enduring")
	c := newCluster(t)
	spool := filepath.Join(t.TempDir(), "spool")
	flags := []string{"--spool", spool, "--max-store-outage", "4s"}
	leader := c.coordinator(flags...)
	c.worker()
	train := c.command("train", enduringSpec(t), "--json").start(t)
	c.awaitRun("at step 400", func(s status) bool { return s.total() >= 400 })
	c.s3.Kill()
	leader.await("a state in the spool", func() bool { return len(spooled(t, spool)) > 0 })
	held := c.awaitRun("that waits for the store", waitsFor("the store", "the limit is 4 s"))
	leader.kill()
	kept := spooled(t, spool)
	if len(kept) != 1 {
		t.Fatalf("the spool holds %v, expected one state", kept)
	}

	c.s3.Restart()
	next := c.coordinator(flags...)
	next.await("the state put from the spool", func() bool {
		return strings.Contains(read(next.stderr), "put from the spool") && strings.Contains(read(next.stderr), kept[0])
	})
	if now := c.awaitRun("at work", func(s status) bool { return s.total() > 0 && len(s.Waits) == 0 }); now.total() < 400 {
		t.Errorf("resumed at step %d, expected a state of the outage, which ended at %d", now.total(), held.total())
	}
	if o := finished(t, train); o.SHA256 != want.model {
		t.Errorf("found base model %s, expected %s", o.SHA256, want.model)
	}
	next.await("an empty spool", func() bool { return len(spooled(t, spool)) == 0 })
}

// spooled names the states in a spool.
func spooled(t *testing.T, dir string) (names []string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "warmstart", "runs", "*", "ckpt", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if _, err := os.Stat(path); err == nil {
			names = append(names, filepath.Base(path))
		}
	}
	return names
}
