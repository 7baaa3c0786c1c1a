//go:build linux

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// ownProgram builds the example module, which is outside ours, and returns its program and spec.
func ownProgram(t *testing.T) (path, spec string) {
	t.Helper()
	folder, err := filepath.Abs("../../examples/own")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "main.go", "family.go", "model.go"} {
		_ = read(filepath.Join(folder, name)) // a cached result is not for others than these
	}
	path = filepath.Join(t.TempDir(), "own")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir = folder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build examples/own (where go.mod is behind ours: go mod tidy there): %v\n%s", err, out)
	}
	return path, filepath.Join(folder, "own.yaml")
}

// A module outside ours adds a family and a model: its program trains with them on the embedded stack and on a cluster,
// to the same bits, beside workers that do not know them and get none of that work.
func TestOwnFamilyAndModelFromAnotherModule(t *testing.T) {
	own, spec := ownProgram(t)
	dataDir := filepath.Join(t.TempDir(), "data")
	o := finished(t, program{args: []string{own, "train", spec, "--json", "--data-dir", dataDir, "--workers", "2"}}.start(t))
	rows := o.adapted()
	if len(rows) != 3 || !(rows[1].MSE < 0.7*rows[0].MSE) {
		t.Errorf("mean squared errors %+v, expected one step to bring it below 0.7 of no step", rows)
	}
	if code, stdout, stderr := (program{args: []string{"warmstart", "models", "verify", o.Model}}).run(t); code != 0 {
		t.Errorf("warmstart, which does not know the family, cannot verify the model: %d: %s%s", code, stdout, stderr)
	}

	c := newCluster(t)
	c.coordinator()
	c.worker("--slots", "1")
	train := program{args: []string{own, "train", spec, "--json", "--cluster"}, env: c.access()}.start(t)
	c.awaitRun("that waits for a worker that knows its family", waitsFor("does not know family triangle"))
	program{args: []string{own, "worker", "--slots", "2"}, env: c.access()}.start(t)
	if there := finished(t, train); there.SHA256 != o.SHA256 {
		t.Errorf("on the cluster the model is %s, on the embedded stack %s", there.SHA256, o.SHA256)
	}
}

func TestOwnKindsStandInSpecsLikeTheBuiltInOnes(t *testing.T) {
	own, spec := ownProgram(t)
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"train", "--explain"}, 0, []string{"family: triangle", "length of a wave", "model: bottleneck", "of the layer between them", "family: load"}},
		{[]string{"train", "--schema"}, 0, []string{`"bottleneck"`, `"triangle"`, `"narrow"`}},
		{[]string{"train", spec, "--dry-run"}, 0, []string{`"name": "bottleneck"`, `"network"`, `"residual"`, `"shape"`}},
		{[]string{"train", spec, "--dry-run", "--set", "family.perod=3"}, 1, []string{"perod", `"period"`}},
		{[]string{"train", spec, "--dry-run", "--set", "model.name=bottlenek"}, 1, []string{`"bottleneck"`}},
		{[]string{"train", spec, "--dry-run", "--set", "model.narrow=33"}, 1, []string{"narrow", "33", "32"}},
		{[]string{"worker", "--nats", "nats://127.0.0.1:1", "--wait", "1s"}, 1, []string{"127.0.0.1:1"}},
		{[]string{"worker", "--etcd", "x"}, 2, []string{"etcd"}},
	} {
		code, stdout, stderr := program{args: append([]string{own}, c.args...)}.run(t)
		if code != c.code {
			t.Errorf("%v: exit status %d, expected %d: %s", c.args, code, c.code, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout+stderr, want) {
				t.Errorf("%v: found no %q in\n%s%s", c.args, want, tail(stdout), tail(stderr))
			}
		}
	}
}
