//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// warmstart runs a command of the user's that must end with code, and returns all it said.
func warmstart(t *testing.T, code int, args ...string) string {
	t.Helper()
	found, stdout, stderr := program{args: append([]string{"warmstart"}, args...)}.run(t)
	if found != code {
		t.Fatalf("warmstart %s: exit status %d, expected %d: %s%s", strings.Join(args, " "), found, code, stdout, stderr)
	}
	return stdout + stderr
}

// says fails the test unless text holds every one of parts.
func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("found %q, expected it to say %q", tail(text), part)
		}
	}
}

func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	put(t, path, string(data))
}

// A finished run is found, not trained again; --fresh and an edited spec are runs of their own, and the next versions
// under the same name.
func TestG2_SameSpecIsTheSameRun(t *testing.T) {
	t.Parallel()
	spec := write(t, "waves.yaml", sinusoid)
	tr := training{spec: spec}
	first := tr.run(t)

	p := tr.command(t).start(t)
	if again := finished(t, p); again.Run != first.Run || again.Model != first.Model || again.SHA256 != first.SHA256 {
		t.Errorf("again: found %+v, expected %+v", again, first)
	}
	says(t, read(p.stderr), "finished before")

	fresh := training{spec: spec, dataDir: tr.dataDir, args: []string{"--fresh"}}
	second := fresh.run(t)
	if second.Run == first.Run || filepath.Base(second.Model) != "2" || bitsOf(t, second) != bitsOf(t, first) {
		t.Errorf("--fresh: found %+v, expected another run, version 2 and the bits of %+v", second, first)
	}

	edited := training{spec: write(t, "waves.yaml", strings.Replace(sinusoid, "steps: 600", "steps: 610", 1)), dataDir: tr.dataDir}
	third := edited.run(t)
	if third.Run == first.Run || filepath.Base(third.Model) != "3" || third.SHA256 == first.SHA256 {
		t.Errorf("edited: found %+v, expected another run, version 3 and other bits than %+v", third, first)
	}
	says(t, warmstart(t, 0, "models", "ls", "--data-dir", tr.dataDir), "waves:1", "waves:2", "waves:3")

	says(t, warmstart(t, 0, "models", "verify", "waves:2", "--data-dir", tr.dataDir), "is whole")
	flip(t, filepath.Join(second.Model, "pooled.safetensors"))
	to := filepath.Join(t.TempDir(), "pulled")
	for _, args := range [][]string{{"verify", "waves:2"}, {"verify", second.Model}, {"show", "waves:2"}, {"pull", "waves:2", "--to", to}} {
		said := warmstart(t, 1, append([]string{"models", "--data-dir", tr.dataDir}, args...)...)
		says(t, said, "pooled.safetensors", "torn or corrupted", "sha256")
	}
	if _, err := os.Stat(to); err == nil {
		t.Error("pull left a folder that is not whole")
	}
	says(t, warmstart(t, 0, "models", "verify", "waves:1", "--data-dir", tr.dataDir), "is whole")
}

// A resume passes over a checkpoint that is corrupt, of another spec or of another contract, each by name, goes on
// from the newest whole one, and ends at the same bits.
func TestG3_ResumePassesOverWhatIsNoCheckpointOfTheRun(t *testing.T) {
	long(t)
	t.Parallel()
	want := get(t, "enduring")
	tr := training{spec: enduringSpec(t), args: []string{"--workers", "2", "--set", "checkpoint.keep=8"}}
	p := tr.command(t).start(t)
	store := filepath.Join(tr.dataDir, "store")
	p.await("four checkpoints", func() bool { return len(checkpoints(store, "*")) >= 4 })
	p.kill()
	there := checkpoints(store, "*")
	// The pointer names the newest, or the one before where the kill came between a
	// put and its commit: with both corrupt, the second is passed over either way.
	newest, second := there[len(there)-1], there[len(there)-2]
	otherSpec, otherContract := foreign(t, newest, func(c *checkpoint.Checkpoint) { c.SpecDigest = strings.Repeat("ab", 32) }),
		foreign(t, newest, func(c *checkpoint.Checkpoint) { c.Contract = "lane/9" })
	flip(t, newest)
	flip(t, second)

	p = tr.command(t).start(t)
	if found := bitsOf(t, finished(t, p)); found != want {
		t.Errorf("found %+v\nexpected %+v", found, want)
	}
	resumed(t, p)
	log := read(filepath.Join(tr.dataDir, "log", "warmstart.log"))
	says(t, log, "passed over", filepath.Base(second), filepath.Base(otherSpec), strings.Repeat("ab", 6), filepath.Base(otherContract), "lane/9")
}

// foreign writes a whole checkpoint beside newest, under a later step, that is not of its run.
func foreign(t *testing.T, newest string, change func(*checkpoint.Checkpoint)) (path string) {
	t.Helper()
	data, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	_, tensors, err := checkpoint.DecodeTensors(data)
	if err != nil {
		t.Fatal(err)
	}
	c := checkpoint.Checkpoint{Contract: "lane/1", SpecDigest: strings.Repeat("00", 32), Step: 1_000_000, Tensors: tensors}
	change(&c)
	data, sha, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(filepath.Dir(newest), filepath.Base(checkpoint.CheckpointKey("any", 0, c.Step, sha)))
	put(t, path, string(data))
	return path
}

// Two commands that submit the same spec at once follow one run. Paused it rests, resumed it goes on, cancelled it
// stays so, whoever asks.
func TestG2_OneRunOnAClusterAndItsControl(t *testing.T) {
	long(t)
	c := newCluster(t)
	c.coordinator()
	c.worker()
	spec := enduringSpec(t)
	followers := []*process{c.command("train", spec, "--json").start(t), c.command("train", spec, "--json").start(t)}
	run := c.awaitRun("at step 200", func(s status) bool { return s.total() >= 200 })
	for _, p := range followers {
		p.await("its run", func() bool { return strings.Contains(read(p.stderr), "run "+run.Run+":") })
	}

	c.say("runs", "weight", run.Run, "3")
	if now := c.show(run.Run); now.Weight != 3 || now.State != "active" {
		t.Errorf("found %+v after its weight became 3", now)
	}
	if code, _, stderr := c.command("runs", "weight", run.Run, "1001").run(t); code != 1 || !strings.Contains(stderr, "1 to 1000") {
		t.Errorf("weight 1001: exit status %d: %s", code, stderr)
	}
	if table := c.say("runs", "workers"); strings.Count(table, "no limit") == 0 {
		t.Errorf("found no worker and its limit of memory in\n%s", table)
	}

	c.say("runs", "pause", run.Run)
	for _, p := range followers {
		if code := p.wait(); code != 1 {
			t.Errorf("%s: exit status %d after a pause, expected 1", p.name, code)
		}
		says(t, read(p.stderr), run.Run, "is paused")
	}
	c.say("runs", "pause", run.Run) // again: no harm
	rest := c.show(run.Run)
	time.Sleep(time.Second)
	if later := c.show(run.Run); later.State != "paused" || later.total() > rest.total() {
		t.Errorf("found %+v a second after %+v, expected it at rest", later, rest)
	}

	c.say("runs", "resume", run.Run)
	c.awaitRun("beyond the pause", func(s status) bool { return s.State == "active" && s.total() > rest.total() })
	c.say("runs", "cancel", run.Run)
	code, _, stderr := c.command("runs", "resume", run.Run).run(t)
	if code != 1 {
		t.Errorf("resume after cancel: exit status %d, expected 1", code)
	}
	says(t, stderr, run.Run, "cancelled")
	code, _, stderr = c.command("train", spec).run(t)
	if code != 1 {
		t.Errorf("train after cancel: exit status %d, expected 1", code)
	}
	says(t, stderr, run.Run, "cancelled", "--fresh")
	if all := c.runs(); len(all) != 1 || all[0].State != "cancelled" || all[0].Version != 0 {
		t.Errorf("found runs %+v, expected the one, cancelled, without a model", all)
	}
	if code, _, stderr := c.command("runs", "show", "waves-0000000000").run(t); code != 1 || !strings.Contains(stderr, "no run") {
		t.Errorf("show of no run: exit status %d: %s", code, stderr)
	}
}

// show is the status of one run.
func (c *cluster) show(run string) (s status) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.say("runs", "show", run)), &s); err != nil {
		c.t.Fatal(fmt.Errorf("runs show: %w", err))
	}
	return s
}
