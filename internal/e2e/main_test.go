//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binaries is the folder of the three programs under test.
var binaries string

func TestMain(m *testing.M) { os.Exit(build(m)) }

// build makes the programs once, then runs the tests on them.
func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "warmstart-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "../../cmd/warmstart", "../../cmd/coordinator", "../../cmd/worker")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	binaries = dir
	return m.Run()
}

// long keeps a test out of -short.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: trains for many seconds")
	}
}
