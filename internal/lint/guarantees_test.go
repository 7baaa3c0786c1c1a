package lint

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestGuaranteesNameWhatIsThere holds docs/GUARANTEES.md to the code: every test and every mutant it names exists.
func TestGuaranteesNameWhatIsThere(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "GUARANTEES.md"))
	if err != nil {
		t.Fatal(err)
	}
	mutants, err := os.ReadFile(filepath.Join("..", "..", "pkg", "metatrain", "mutants_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test {
				tests[f.Name.Name] = true
			}
		}
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(string(doc), -1)
	broken := regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(string(doc), -1)
	if len(named) < 20 || len(broken) < 20 {
		t.Fatalf("docs/GUARANTEES.md names %d tests and %d mutants: its form has changed", len(named), len(broken))
	}
	for _, n := range named {
		if !tests[n[1]] {
			t.Errorf("docs/GUARANTEES.md: found %s, expected the name of a test", n[1])
		}
	}
	for _, b := range broken {
		if !strings.Contains(string(mutants), `{"`+b[1]+`",`) {
			t.Errorf("docs/GUARANTEES.md: found %q, expected the name of a mutant of pkg/metatrain/mutants_test.go", b[1])
		}
	}
}
