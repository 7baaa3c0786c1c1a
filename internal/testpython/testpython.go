// Package testpython finds the Python that tests of python/ run.
package testpython

import (
	"os"
	"os/exec"
	"sync"
	"testing"
)

// find looks once for a process's tests; "" where there is none.
var find = sync.OnceValue(func() string {
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		path, err := exec.LookPath(name)
		if err == nil && exec.Command(path, "-c", "import sys, numpy; assert sys.version_info >= (3, 8)").Run() == nil {
			return path
		}
	}
	return ""
})

// Find returns a Python 3 with numpy, for a script that is read here so that cached test results depend on it. Without one the test is skipped, or, where WARMSTART_NEED_PYTHON is set, as CI
// does, fails.
func Find(t testing.TB, script string) string {
	t.Helper()
	if _, err := os.ReadFile(script); err != nil {
		t.Fatal(err)
	}
	if path := find(); path != "" {
		return path
	}
	const missing = "needs Python 3.8 or later with numpy: apt-get install python3-numpy"
	if os.Getenv("WARMSTART_NEED_PYTHON") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}
