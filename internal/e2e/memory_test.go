//go:build linux

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// tiny is a training whose steps cost next to nothing, so that many of them pass by the coordinator.
const tiny = `
name: tiny
family: {name: sinusoid, shots: [1], query: 2}
model: {hidden: [8]}
meta_batch: 2
steps: 22000
checkpoint: {every: 500}
validation: {every: 1000, tasks: 8, adapt: [1], targets: [1]}
evaluation: {table: false}
`

// The coordinator's resident memory stays flat, within 5 %, from step 1,000 to step 20,000 (G6).
func TestG6_CoordinatorMemoryIsFlat(t *testing.T) {
	long(t)
	c := newCluster(t)
	coordinator := c.coordinator()
	c.worker("--slots", "1")
	train := c.command("train", write(t, "tiny.yaml", tiny), "--json").start(t)
	early := c.residentAt(coordinator, 1000, 4000)
	late := c.residentAt(coordinator, 17000, 20000)
	finished(t, train)
	t.Logf("resident memory of the coordinator: %d kB about step 1,000, %d kB about step 20,000", early, late)
	if late > early+early/20 {
		t.Errorf("found %d kB about step 20,000, expected at most 5 %% above the %d kB about step 1,000", late, early)
	}
}

// residentAt is the median of the samples of a process's resident memory, in kB, while the run's steps are in between.
func (c *cluster) residentAt(p *process, from, to int64) int {
	c.t.Helper()
	var samples []int
	for {
		s := c.awaitRun(fmt.Sprintf("at step %d", from), func(s status) bool { return s.Step >= from })
		if s.Step > to || s.State != "active" {
			break
		}
		samples = append(samples, resident(c.t, p.pid()))
		time.Sleep(50 * time.Millisecond)
	}
	if len(samples) < 3 {
		c.t.Fatalf("found %d samples between steps %d and %d, expected more", len(samples), from, to)
	}
	slices.Sort(samples)
	return samples[len(samples)/2]
}

// resident is a process's resident memory in kB.
func resident(t *testing.T, pid int) (kb int) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatalf("read VmRSS: %v", err)
	}
	return kb
}
