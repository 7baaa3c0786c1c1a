//go:build linux

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// outcome is what `train --json` ends with.
type outcome struct {
	Run    string `json:"run"`
	Steps  int64  `json:"steps"`
	Model  string `json:"model"`
	SHA256 string `json:"sha256"`
	Best   int64  `json:"best_step"`
	Table  struct {
		Rows []row `json:"rows"`
	} `json:"table"`
}

// row is what tests look at in a table.
type row struct {
	Method string  `json:"method"`
	Steps  int     `json:"steps"`
	MSE    float64 `json:"mse"`
}

// adapted are the rows of the base model.
func (o outcome) adapted() []row {
	return slices.DeleteFunc(slices.Clone(o.Table.Rows), func(r row) bool { return r.Method != "adapted" })
}

// bits are the digests of all that a training computes: the base model, the pooled one, the table.
type bits struct{ model, pooled, table string }

// training is one `warmstart train` on the embedded stack.
type training struct {
	spec    string // the file
	dataDir string // "" makes a fresh one
	args    []string
}

func (tr *training) command(t *testing.T) program {
	t.Helper()
	if tr.dataDir == "" {
		tr.dataDir = filepath.Join(t.TempDir(), "data")
	}
	return program{args: append([]string{"warmstart", "train", tr.spec, "--json", "--data-dir", tr.dataDir}, tr.args...)}
}

// run trains to the end.
func (tr *training) run(t *testing.T) outcome {
	t.Helper()
	return finished(t, tr.command(t).start(t))
}

// finished waits for a `train --json` to succeed.
func finished(t *testing.T, p *process) (o outcome) {
	t.Helper()
	if code := p.wait(); code != 0 {
		t.Fatalf("%s: exit status %d, expected 0", p.name, code)
	}
	decode(t, read(p.stdout), &o)
	return o
}

// decode reads the one JSON line that --json prints.
func decode(t *testing.T, stdout string, into any) {
	t.Helper()
	if strings.Count(stdout, "\n") != 1 {
		t.Fatalf("stdout has %d lines, expected one JSON object: %s", strings.Count(stdout, "\n"), tail(stdout))
	}
	if err := json.Unmarshal([]byte(stdout), into); err != nil {
		t.Fatalf("stdout: %v: %s", err, tail(stdout))
	}
}

// bitsOf digests a model's folder, and checks that what the command said of the model is so.
func bitsOf(t *testing.T, o outcome) bits {
	t.Helper()
	b := folderBits(t, o.Model)
	if b.model != o.SHA256 {
		t.Fatalf("model.safetensors has SHA-256 %s, the command said %s", b.model, o.SHA256)
	}
	return b
}

func folderBits(t *testing.T, folder string) bits {
	t.Helper()
	digest := func(name string) string {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:])
	}
	return bits{digest("model.safetensors"), digest("pooled.safetensors"), digest("evaluation.json")}
}

// checkpoints lists the keys of a run's checkpoints below a store's folder, oldest first. They are named by step.
func checkpoints(store, run string) []string {
	found, _ := filepath.Glob(filepath.Join(store, "runs", run, "ckpt", "*.safetensors"))
	slices.Sort(found)
	return found
}

// durable is the newest step of any run that is durable below a store's folder, -1 where there is none.
func durable(store string) int64 {
	found := checkpoints(store, "*")
	if len(found) == 0 {
		return -1
	}
	number, _, _ := strings.Cut(filepath.Base(found[len(found)-1]), "-")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("checkpoint %s: %v", found[len(found)-1], err))
	}
	return n
}

// awaitDurable waits until a training has saved step, and returns the newest saved.
func (tr *training) awaitDurable(p *process, step int64) (at int64) {
	p.t.Helper()
	p.await(fmt.Sprintf("checkpoint of step %d", step), func() bool {
		at = durable(filepath.Join(tr.dataDir, "store"))
		return at >= step
	})
	return at
}
