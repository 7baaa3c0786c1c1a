//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// same trains the short specs with args, each in a fresh data dir, and compares every bit with one worker's.
func same(t *testing.T, args ...string) {
	t.Helper()
	for _, name := range []string{"sinusoid", "load"} {
		want := get(t, name)
		tr := training{spec: references[name].spec(t), args: args}
		if found := bitsOf(t, tr.run(t)); found != want {
			t.Errorf("%s %v:\nfound    %+v\nexpected %+v", name, args, found, want)
		}
	}
}

func TestG1_SameBitsFromAnyNumberOfWorkers(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 4} {
		same(t, "--workers", fmt.Sprint(n))
	}
}

func TestG1_SameBitsWithAnyShardSize(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 4, 64} {
		same(t, "--workers", "2", "--shard-tasks", fmt.Sprint(n))
	}
}

func TestG1_SameBitsInASecondDataDir(t *testing.T) {
	t.Parallel()
	same(t, "--workers", "1")
}

// A worker is killed while the other works, then all of them at once.
func TestG1_SameBitsWithWorkersKilled(t *testing.T) {
	long(t)
	t.Parallel()
	want := get(t, "enduring")
	tr := training{spec: enduringSpec(t), args: []string{"--workers", "2"}}
	p := tr.command(t).start(t)
	tr.awaitDurable(p, 500)
	killWorkers(t, p, 1)
	at := tr.awaitDurable(p, durable(filepath.Join(tr.dataDir, "store"))+500)
	killWorkers(t, p, 2)
	if at > enduringSteps {
		t.Fatalf("the second death came at step %d of %d: nothing was left of the first track", at, enduringSteps)
	}
	if found := bitsOf(t, finished(t, p)); found != want {
		t.Errorf("found %+v\nexpected %+v", found, want)
	}
	if n := strings.Count(read(filepath.Join(tr.dataDir, "log", "warmstart.log")), "worker process ended"); n < 3 {
		t.Errorf("the log tells of %d deaths of workers, expected 3", n)
	}
}

// killWorkers kills n of a training's worker processes once that many are there.
func killWorkers(t *testing.T, p *process, n int) {
	t.Helper()
	var workers []int
	p.await("workers", func() bool { workers = children(p.pid()); return len(workers) >= n })
	for _, pid := range workers[:n] {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("kill worker %d: %v", pid, err)
		}
	}
}

// ^C ends the command in order, kill -9 does not; each time the same command goes on from the last checkpoint.
func TestG1_SameBitsInterruptedKilledAndResumed(t *testing.T) {
	long(t)
	t.Parallel()
	want := get(t, "enduring")
	tr := training{spec: enduringSpec(t), args: []string{"--workers", "2"}}

	p := tr.command(t).start(t)
	first := tr.awaitDurable(p, 600)
	p.interrupt()
	if code := p.wait(); code != 130 {
		t.Fatalf("after ^C: exit status %d, expected 130", code)
	}
	if said := read(p.stderr); !strings.Contains(said, "the same command") || !strings.Contains(said, "interrupted") {
		t.Errorf("after ^C: found %q, expected how to go on", tail(said))
	}
	if orphans := children(p.pid()); len(orphans) > 0 {
		t.Errorf("after ^C: workers %v still run", orphans)
	}

	p = tr.command(t).start(t)
	second := tr.awaitDurable(p, first+500)
	resumed(t, p)
	workers := children(p.pid())
	p.kill()
	for _, pid := range workers {
		awaitGone(t, pid)
	}

	p = tr.command(t).start(t)
	tr.awaitDurable(p, second+300)
	if second > enduringSteps {
		t.Fatalf("killed at step %d of %d: nothing was left of the first track", second, enduringSteps)
	}
	if found := bitsOf(t, finished(t, p)); found != want {
		t.Errorf("found %+v\nexpected %+v", found, want)
	}
	resumed(t, p)
}

// resumed checks that a command went on with a run instead of beginning it.
func resumed(t *testing.T, p *process) {
	t.Helper()
	if said := read(p.stderr); !strings.Contains(said, ": resuming,") || strings.Contains(said, " step 0/") {
		t.Errorf("found %q, expected a run that is resumed after its first step", tail(said))
	}
}

// awaitGone waits until a process that should die with its parent has.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	path := fmt.Sprintf("/proc/%d/stat", pid)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		data, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(data), ") Z ") {
			return
		}
	}
	t.Fatalf("worker %d outlived the command that started it", pid)
}
