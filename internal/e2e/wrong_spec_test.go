//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kept is a data dir with a published model, and the check that nothing of it was lost.
func kept(t *testing.T) (dataDir string, check func(t *testing.T)) {
	t.Helper()
	tr := training{spec: write(t, "waves.yaml", sinusoid)}
	o := tr.run(t)
	before := bitsOf(t, o)
	return tr.dataDir, func(t *testing.T) {
		t.Helper()
		if after := bitsOf(t, tr.run(t)); after != before {
			t.Errorf("found %+v, expected %+v as before", after, before)
		}
		if listed := warmstart(t, 0, "models", "ls", "--data-dir", tr.dataDir); strings.Count(listed, "\n") != 2 {
			t.Errorf("found models %s\nexpected the one there was", listed)
		}
	}
}

func TestG7_WrongSpecsAreRefused(t *testing.T) {
	t.Parallel()
	dataDir, check := kept(t)
	for _, c := range []struct {
		name, old, new string // a change to the sinusoid spec
		args           []string
		says           []string
	}{
		{"misspelt key", "meta_batch: 32", "meta_batc: 32", nil, []string{"spec.yaml:5", "meta_batc", `"meta_batch"`}},
		{"misspelt key in a section", "{every: 150,", "{evry: 150,", nil, []string{"spec.yaml:8", "evry", `"every"`}},
		{"misspelt key of the family", "query: 10", "qery: 10", nil, []string{"spec.yaml:3", "qery", `"query"`}},
		{"key of another family", "query: 10", "lags: 10", nil, []string{"spec.yaml:3", "lags"}},
		{"unknown key", "meta_batch: 32", "zzzzzzzzz: 32", nil, []string{"spec.yaml:5", "zzzzzzzzz"}},
		{"key twice", "meta_batch: 32", "meta_batch: 32\nsteps: 4", nil, []string{"spec.yaml:7", "steps"}},
		{"wrong type", "steps: 600", "steps: many", nil, []string{"spec.yaml:6", "steps", "many", "expected"}},
		{"fraction", "meta_batch: 32", "meta_batch: 2.5", nil, []string{"spec.yaml:5", "2.5"}},
		{"list for a number", "meta_batch: 32", "meta_batch: [32]", nil, []string{"spec.yaml:5", "meta_batch"}},
		{"zero batch", "meta_batch: 32", "meta_batch: 0", nil, []string{"spec.yaml:5", "meta_batch", "0", "1"}},
		{"zero steps", "steps: 600", "steps: 0", nil, []string{"spec.yaml:6", "steps"}},
		{"absurd steps", "steps: 600", "steps: 99999999999999", nil, []string{"spec.yaml:6", "steps", "1000000000"}},
		{"more than an integer holds", "steps: 600", "steps: 99999999999999999999999", nil, []string{"spec.yaml:6", "steps"}},
		{"no unit", "[16, 16]", "[16, 0]", nil, []string{"spec.yaml:4", "hidden", "0"}},
		{"absurd units", "[16, 16]", "[16, 99999999]", nil, []string{"spec.yaml:4", "hidden", "65536"}},
		{"absurd layers", "[16, 16]", "[65536, 65536, 65536]", nil, []string{"spec.yaml", "model", "parameters", "33554432"}},
		{"negative shots", "[3, 5]", "[-3]", nil, []string{"spec.yaml:3", "shots", "-3"}},
		{"bad name", "name: waves", "name: Waves!", nil, []string{"name", "Waves!"}},
		{"misspelt family", "name: sinusoid", "name: sinusoidd", nil, []string{"spec.yaml:3", "sinusoidd", `"sinusoid"`}},
		{"unknown learner", "steps: 600", "steps: 600\nlearner: mamll", nil, []string{"spec.yaml:7", "mamll", `"maml"`}},
		{"inner loss without curvature", "steps: 600", "steps: 600\ninner: {loss: abs}", nil, []string{"inner", "abs"}},
		{"targets without steps", "tasks: 50}", "tasks: 50, targets: [1, 2]}", nil, []string{"validation.targets"}},
		{"broken YAML", "model: {", "model: {{", nil, []string{"spec.yaml:4"}},
		{"misspelt --set", "", "", []string{"--set", "optimizer.rte=1"}, []string{"--set", "rte", `"rate"`}},
		{"wrong value in --set", "", "", []string{"--set", "steps=many"}, []string{"--set", "steps", "many"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(strings.TrimPrefix(sinusoid, "\n"), c.old, c.new, 1)
			// the spec's first line is its name: line numbers below count from there
			spec := write(t, "spec.yaml", "# a comment\n"+text)
			args := append([]string{"train", spec, "--data-dir", dataDir}, c.args...)
			says(t, warmstart(t, 1, args...), c.says...)
		})
	}
	check(t)
}

func TestG7_WrongCommandLinesAreRefused(t *testing.T) {
	t.Parallel()
	spec := write(t, "spec.yaml", sinusoid)
	missing := filepath.Join(t.TempDir(), "none.yaml")
	for _, c := range []struct {
		name string
		code int
		args []string
		says []string
	}{
		{"no command", 2, []string{"warmstart"}, []string{"warmstart train SPEC"}},
		{"unknown command", 2, []string{"warmstart", "trian"}, []string{"trian", `"train"`}},
		{"unknown flag", 2, []string{"warmstart", "train", spec, "--worker", "2"}, []string{"--worker"}},
		{"flag without value", 2, []string{"warmstart", "train", spec, "--workers"}, []string{"workers"}},
		{"wrong value", 2, []string{"warmstart", "train", spec, "--workers", "two"}, []string{"workers", "two"}},
		{"no worker", 2, []string{"warmstart", "train", spec, "--workers", "0"}, []string{"--workers", "0"}},
		{"no spec", 2, []string{"warmstart", "train"}, []string{"expected one spec"}},
		{"two specs", 2, []string{"warmstart", "train", spec, spec}, []string{"expected one spec"}},
		{"no path in --set", 2, []string{"warmstart", "train", spec, "--set", "steps"}, []string{"--set", "PATH=VALUE"}},
		{"spec is not there", 1, []string{"warmstart", "train", missing}, []string{missing, "no such file"}},
		{"spec is a folder", 1, []string{"warmstart", "train", filepath.Dir(spec)}, []string{filepath.Dir(spec), "directory"}},
		{"unknown verb", 2, []string{"warmstart", "models", "lst"}, []string{"lst", "ls"}},
		{"no verb", 2, []string{"warmstart", "models"}, []string{"verb"}},
		{"no model", 2, []string{"warmstart", "models", "show"}, []string{"MODEL"}},
		{"no store", 1, []string{"warmstart", "models", "ls"}, []string{".warmstart", "--data-dir"}},
		{"nowhere to pull to", 2, []string{"warmstart", "models", "pull", "waves:1"}, []string{"--to"}},
		{"eval without traces", 2, []string{"warmstart", "eval", "waves:1"}, []string{"--tasks"}},
		{"coordinator: unknown flag", 2, []string{"coordinator", "--leas", "2s"}, []string{"-leas"}},
		{"coordinator: argument", 2, []string{"coordinator", "run"}, []string{"run"}},
		{"coordinator: no store", 1, []string{"coordinator"}, []string{"--s3", "--store-dir"}},
		{"coordinator: lease too short", 1, []string{"coordinator", "--store-dir", t.TempDir(), "--lease", "1s"}, []string{"--lease", "1s", "2s"}},
		{"coordinator: lease with a fraction", 1, []string{"coordinator", "--store-dir", t.TempDir(), "--lease", "2500ms"}, []string{"--lease", "2.5s"}},
		{"worker: unknown flag", 2, []string{"worker", "--etcd", "x"}, []string{"-etcd"}},
		{"worker: no slot", 1, []string{"worker", "--slots", "0"}, []string{"--slots", "0"}},
		{"worker: config is not there", 1, []string{"worker", "--config", missing}, []string{missing}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			code, stdout, stderr := program{args: c.args, dir: dir}.run(t)
			if code != c.code {
				t.Errorf("exit status %d, expected %d", code, c.code)
			}
			says(t, stderr, c.says...)
			if stdout != "" {
				t.Errorf("stdout: found %q, expected nothing", stdout)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("the working folder holds %v (%v), expected nothing", left, err)
			}
		})
	}
	t.Run("misspelt key in the settings", func(t *testing.T) {
		config := write(t, "settings.yaml", "nast: nats://127.0.0.1:4222\n")
		code, _, stderr := program{args: []string{"worker", "--config", config}}.run(t)
		if code != 1 {
			t.Errorf("exit status %d, expected 1", code)
		}
		says(t, stderr, config, "nast", `"nats"`)
	})
}
