package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOwnGraphTrainsThroughWorkers: the program of the example, its own workers and servers, a short run.
func TestOwnGraphTrainsThroughWorkers(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "graph")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	train := func(set ...string) (string, string, error) {
		args := []string{"train", "gated.yaml", "--json", "--workers", "2", "--data-dir", filepath.Join(dir, "data"),
			"--set", "steps=300", "--set", "validation.every=100"}
		for _, s := range set {
			args = append(args, "--set", s)
		}
		var out, errs bytes.Buffer
		cmd := exec.Command(program, args...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		return out.String(), errs.String(), err
	}
	out, errs, err := train()
	if err != nil {
		t.Fatalf("train: %v\n%s", err, errs)
	}
	var result struct {
		Steps int
		Model string
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.Steps != 300 {
		t.Fatalf("found %s (%v), expected a run of 300 steps", out, err)
	}
	manifest, err := os.ReadFile(filepath.Join(result.Model, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Metrics map[string]any
	}
	if err := json.Unmarshal(manifest, &m); err != nil || !strings.Contains(string(manifest), "gated") {
		t.Fatalf("manifest %s: %v", manifest, err)
	}
	for want, set := range map[string]string{
		"model.unit: unknown key":  "model.unit=3",
		"graph of engine gorgonia": "engine=lane",
	} {
		if _, errs, err := train(set); err == nil || !strings.Contains(errs, want) {
			t.Errorf("%s: %v, %s, want %q", set, err, errs, want)
		}
	}
}
