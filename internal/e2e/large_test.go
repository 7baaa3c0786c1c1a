//go:build linux

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// large is a training of ten million parameters: theta, a gradient and a moment are 40 MB each.
const large = `
name: large
family: {name: sinusoid, shots: [2], query: 2}
model: {hidden: [3162, 3162]}
meta_batch: 4
steps: 2
checkpoint: {every: 1}
validation: {every: 1000, tasks: 1, adapt: [1], targets: [1]}
evaluation: {table: false}
`

// vector is the size of a large model's parameters, in kB; smallWindow the least there is, in MiB.
const (
	vector      = 10_010_893 * 4 / 1000
	smallWindow = 1
)

// largeBound is what a coordinator's resident memory may come to at most, in vectors, beside the window and base, what it
// takes without any: theta, its two moments, the best one and the form in which theta travels; one sum for each level of the tree of four tasks,
// and one on its way; two checkpoints of four vectors, the one being written and the newest to come. These are 17; what
// the collector has not come to yet adds two fifths.
const (
	largeBound = 24
	base       = 40 << 10 // kB
)

// Ten million parameters, with a window that holds less than one gradient, over real NATS, etcd and S3: the coordinator's
// resident memory stays within the window and a stated number of vectors, and the model has the bits of one worker's on
// the embedded stack (G1, G6).
func TestG6_TenMillionParametersWithinTheWindow(t *testing.T) {
	long(t)
	spec := write(t, "large.yaml", large)
	alone := training{spec: spec, args: []string{"--workers", "1"}}
	want := alone.run(t)
	c := newCluster(t)
	coordinator := c.coordinator("--window", fmt.Sprint(smallWindow), "--shard-tasks", "1")
	c.worker("--slots", "1")
	c.worker("--slots", "1")
	found := finished(t, c.command("train", spec, "--json").start(t))
	if found.SHA256 != want.SHA256 || found.Best != found.Steps { // else it would be theta_0's
		t.Errorf("found base model %s of step %d, expected %s of step %d", found.SHA256, found.Best, want.SHA256, found.Steps)
	}
	peak := peakMemory(t, coordinator.pid())
	t.Logf("the coordinator's resident memory came to %d MB, %.1f vectors", peak/1000, float64(peak)/vector)
	if most := base + smallWindow<<10 + largeBound*vector; peak > most {
		t.Errorf("found %d kB at most resident in the coordinator, expected at most the window and %d vectors, %d kB", peak, largeBound, most)
	}
}

// peakMemory is the most that was resident of a process, in kB.
func peakMemory(t *testing.T, pid int) (kb int) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		t.Fatalf("read VmHWM: %v", err)
	}
	return kb
}
