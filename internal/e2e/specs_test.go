//go:build linux

package e2e

import (
	"compress/gzip"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// sinusoid is a short training with both tracks, validation and a table.
const sinusoid = `
name: waves
family: {name: sinusoid, shots: [3, 5], query: 10}
model: {hidden: [16, 16]}
meta_batch: 32
steps: 600
checkpoint: {every: 100}
validation: {every: 150, tasks: 50}
evaluation: {pooled: true, tasks: 40, steps: [1]}
`

// enduringSteps make sinusoid long enough to be disturbed in the middle.
const enduringSteps = 12000

// load is a short training on traces beside generated ones. %s is the folder of the traces.
const load = `
name: rates
family: {name: load, path: ["%s"], generator: {series: 24}, mixture: {series: 24}, shots: [0, 5, 20]}
model: {hidden: [12]}
meta_batch: 24
steps: 150
checkpoint: {every: 50}
validation: {every: 50, tasks: 40}
evaluation: {shots: [0, 10]}
`

// write puts text into a file of its own and returns the path.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	put(t, path, text)
	return path
}

func put(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// enduringSpec is the file of a training that runs for some seconds.
func enduringSpec(t testing.TB) string {
	return write(t, "enduring.yaml", strings.ReplaceAll(sinusoid, "\nsteps: 600", fmt.Sprintf("\nsteps: %d", enduringSteps)))
}

// loadSpec is the file of the load training, beside its traces: seven jobs, in each form of timestamp, one zipped.
func loadSpec(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	traces := filepath.Join(dir, "traces")
	if err := os.Mkdir(traces, 0o755); err != nil {
		t.Fatal(err)
	}
	for job := range 7 {
		path := filepath.Join(traces, fmt.Sprintf("job-%d.csv", job))
		text := trace(job, 260, []string{"iso", "s", "ms"}[job%3])
		if job == 6 {
			zip(t, path+".gz", text)
			continue
		}
		put(t, path, text)
	}
	spec := filepath.Join(dir, "load.yaml")
	put(t, spec, fmt.Sprintf(load, traces))
	return spec
}

// trace writes a job's rate every five minutes: a daily wave and a deterministic roughness.
func trace(job, rows int, stamps string) string {
	var b strings.Builder
	b.WriteString("timestamp,value\n")
	start := time.Date(2024, 3, 1+job, 0, 0, 0, 0, time.UTC)
	for i := range rows {
		at := start.Add(time.Duration(i) * 5 * time.Minute)
		value := 100*float64(job+1) + 40*math.Sin(float64(i)/288*2*math.Pi+float64(job)) + float64((i*7919+job*104729)%97)/5
		switch stamps {
		case "iso":
			fmt.Fprintf(&b, "%s,%.3f\n", at.Format("2006-01-02 15:04:05"), value)
		case "s":
			fmt.Fprintf(&b, "%d,%.3f\n", at.Unix(), value)
		case "ms":
			fmt.Fprintf(&b, "%d,%.3f\n", at.UnixMilli(), value)
		}
	}
	return b.String()
}

func zip(t testing.TB, path, text string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := gzip.NewWriter(f)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// reference is an undisturbed training by one worker, made once and shared.
type reference struct {
	once sync.Once
	spec func(testing.TB) string
	bits bits
}

var references = map[string]*reference{
	"sinusoid": {spec: func(t testing.TB) string { return write(t, "sinusoid.yaml", sinusoid) }},
	"load":     {spec: loadSpec},
	"enduring": {spec: enduringSpec},
}

// get trains the reference of that name if nobody has, and returns its bits.
func get(t *testing.T, name string) bits {
	t.Helper()
	r := references[name]
	r.once.Do(func() {
		tr := training{spec: r.spec(t), args: []string{"--workers", "1"}}
		r.bits = bitsOf(t, tr.run(t))
	})
	if r.bits.model == "" {
		t.Fatalf("the reference training %q failed in another test", name)
	}
	return r.bits
}
