//go:build linux

package e2e

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

// etcd is lost for good in the middle of a run. What the store holds is rebuilt into an empty one: a finished run is
// found finished, the other one comes back paused and, resumed, ends with the bits of an undisturbed run, under the next
// number. The coordinator of the lost etcd, suspended meanwhile, comes back and changes nothing.
func TestG1_SameBitsAfterEtcdIsLostAndRebuilt(t *testing.T) {
	long(t)
	want := get(t, "enduring")
	c := newCluster(t)
	old := c.coordinator("--id", "old")
	worker := c.worker()
	first := finished(t, c.command("train", write(t, "waves.yaml", sinusoid), "--json").start(t))
	train := c.command("train", enduringSpec(t), "--json").start(t)
	half := c.awaitRun("at step 2000", func(s status) bool { return s.Steps == enduringSteps && s.total() >= 2000 })
	old.signal(syscall.SIGSTOP)
	worker.kill()
	train.kill()

	lost := c.etcd
	c.etcd = testservers.Etcd(t) // empty
	c.protectEtcd()
	c.configure()
	operator := func(args ...string) (code int, said string) {
		code, stdout, stderr := program{args: append([]string{"warmstart", "doctor", "--config", c.operators()}, args...)}.run(t)
		return code, stdout + stderr
	}
	if _, said := operator(); !strings.Contains(said, "none of the 2 runs") {
		t.Errorf("doctor: found %q, expected it to miss the runs in the store", said)
	}
	for _, args := range [][]string{{"rebuild", "--dry-run"}, {"rebuild"}, {"rebuild"}} {
		code, said := operator(args...)
		if code != 0 {
			t.Fatalf("doctor %q: exit status %d: %s", args, code, said)
		}
		says(t, said, half.Run, "paused", first.Run, "finished", "epoch 1")
	}

	next := c.coordinator("--id", "next")
	next.await("leadership", func() bool { return leading(next) })
	c.worker()
	says(t, read(next.stderr), "term=1-")
	old.signal(syscall.SIGCONT)
	old.await("that its etcd was given up", func() bool {
		return strings.Contains(read(old.stderr), "etcd is of epoch 0, the store of epoch 1")
	})
	if s := c.show(half.Run); s.State != "paused" || !strings.Contains(s.Reason, "rebuilt from the store") {
		t.Errorf("found %+v, expected the run paused by the rebuild", s)
	}
	if again := finished(t, c.command("train", write(t, "waves.yaml", sinusoid), "--json").start(t)); again.Run != first.Run || again.Model != first.Model {
		t.Errorf("found %+v, expected the finished run %+v", again, first)
	}

	o := finished(t, c.command("train", enduringSpec(t), "--json").start(t)) // resumes it
	if o.Run != half.Run || o.SHA256 != want.model || o.Model != "waves:2" {
		t.Errorf("found %+v, expected run %s with model %s as waves:2", o, half.Run, want.model)
	}
	code, said := operator("--json")
	var report struct{ Fail int }
	if err := json.Unmarshal([]byte(said[:strings.IndexByte(said, '\n')]), &report); err != nil || code != 0 || report.Fail > 0 {
		t.Errorf("doctor: exit status %d, %v: %s", code, err, said)
	}
	if code, said := operator("rebuild"); code != 1 || !strings.Contains(said, "next leads over NATS") {
		t.Errorf("rebuild under a leader: exit status %d: %s", code, said)
	}
	lost.Kill()
}
