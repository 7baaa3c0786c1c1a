// Package mutants breaks a package on purpose, one line at a time, and holds that its tests notice. For tests only.
package mutants

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// own is set in a mutant's own run, which makes no mutants.
const own = "WARMSTART_MUTANT"

// Mutant is one deliberate break of the package under test.
type Mutant struct {
	Name     string
	File     string // of the package
	Old, New string // Old stands once in File
	Test     string // what must fail, a regular expression of names; "" is any test
}

// Run holds that each mutant fails; a failure of another test than its own does not count. env is added to the
// environment of their runs. It is skipped under -short, since it builds the package once for each.
func Run(t *testing.T, list []Mutant, env ...string) {
	if testing.Short() {
		t.Skip("skipped under -short: it builds the package once for each mutant")
	}
	if os.Getenv(own) != "" {
		t.Skip("a mutant's own run")
	}
	for _, m := range list {
		t.Run(strings.ReplaceAll(m.Name, " ", "_"), func(t *testing.T) {
			out, err := m.run(t, env)
			if err == nil {
				t.Errorf("the tests %s do not notice: %s", m.Test, m.Name)
			}
			for _, why := range []string{"[build failed]", "[setup failed]", "no tests to run"} {
				if strings.Contains(out, why) {
					t.Errorf("this mutant's tests do not run:\n%s", out)
				}
			}
		})
	}
}

// run tests the package with the mutant in the file's place. No file of the tree changes.
func (m Mutant) run(t *testing.T, env []string) (out string, err error) {
	path, err := filepath.Abs(m.File)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), m.Old); n != 1 {
		t.Fatalf("%s holds the text to change %d times, expected once:\n%s", m.File, n, m.Old)
	}
	dir := t.TempDir()
	broken, overlay := filepath.Join(dir, m.File), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(source), m.Old, m.New, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: broken}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"test", "-overlay", overlay, "-vet=off", "-failfast", "-short"}
	if m.Test != "" {
		args = append(args, "-run", m.Test)
	}
	cmd := exec.Command("go", append(args, ".")...)
	cmd.Env = append(append(os.Environ(), own+"=1"), env...)
	data, err := cmd.CombinedOutput()
	return string(data), err
}
