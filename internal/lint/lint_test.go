// Package lint holds the rules of the house as tests.
package lint

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/warmstart-ml/warmstart/"

// source is one Go file of the module.
type source struct {
	path  string // slash-separated, from the module's root
	dir   string
	test  bool
	lines int
	file  *ast.File
	set   *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var all []source
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(path, "go.mod"))
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata" || nested == nil) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, data, parser.ParseComments)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		all = append(all, source{rel, filepath.ToSlash(filepath.Dir(rel)), strings.HasSuffix(rel, "_test.go"), strings.Count(string(data), "\n"), file, set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("found %d files: the walk went wrong", len(all))
	}
	return all
}

func (s source) imports() (own, others []string) {
	for _, i := range s.file.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		if rest, ok := strings.CutPrefix(path, module); ok {
			own = append(own, rest)
		} else {
			others = append(others, path)
		}
	}
	return own, others
}

// shells wrap one dependency each; drivers own a core; both are wired in cmd.
var shells = []string{"internal/natsbus", "internal/etcdstate", "internal/s3store", "internal/gorgoniaengine"}

// doors are what programs of other modules come in by: the wiring of cmd, with families and models of theirs.
var doors = []string{"pkg/warmstart", "pkg/workerd", "pkg/graph"}

// allowed says what a package may import of the module.
func allowed(from, to string) bool {
	in := func(list ...string) bool { return slices.Contains(list, to) }
	switch {
	case from == "internal/kernel", strings.HasPrefix(from, "internal/kernel/"):
		return false // leaf
	case from == "pkg/metatrain":
		return in("internal/kernel", "pkg/checkpoint")
	case from == "pkg/checkpoint", from == "pkg/strictyaml":
		return false
	case from == "pkg/nn", from == "pkg/learner", from == "pkg/taskshards", from == "pkg/coldstart":
		return to == "internal/kernel" || in("pkg/nn", "pkg/learner", "pkg/taskshards", "pkg/checkpoint", "pkg/metatrain") && from != "pkg/nn"
	case slices.Contains(doors, from):
		return true
	case strings.HasPrefix(from, "examples/"): // what a program of another module can do
		return strings.HasPrefix(to, "pkg/")
	case strings.HasPrefix(from, "pkg/"):
		return strings.HasPrefix(to, "pkg/") || in("internal/kernel", "internal/natsbus")
	case slices.Contains(shells, from):
		return strings.HasPrefix(to, "pkg/")
	case from == "internal/coordinator":
		return in("pkg/metatrain", "pkg/checkpoint")
	case from == "internal/localstack":
		return strings.HasPrefix(to, "pkg/")
	}
	return true // cmd, wiring, settings, tests
}

func TestImportsPointInward(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		own, _ := s.imports()
		for _, to := range own {
			if !allowed(s.dir, to) {
				t.Errorf("%s imports %s: the direction is cmd -> drivers, shells -> pkg -> internal/kernel", s.path, to)
			}
		}
	}
}

// pure packages do no I/O, read no clock, start no goroutine and draw no chance but from seeds.
var pure = []string{"pkg/metatrain", "pkg/nn", "pkg/learner", "pkg/taskshards", "pkg/coldstart", "pkg/strictyaml", "internal/kernel"}

func TestCoreIsPure(t *testing.T) {
	banned := []string{"net", "os", "os/exec", "math/rand", "math/rand/v2", "crypto/rand", "net/http", "log", "log/slog"}
	for _, s := range sources(t) {
		if s.test || !slices.Contains(pure, s.dir) {
			continue
		}
		_, others := s.imports()
		for _, to := range others {
			if slices.Contains(banned, to) {
				t.Errorf("%s imports %s: the core is pure", s.path, to)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine: the core is pure", s.set.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "NewTimer", "NewTicker"}, n.Sel.Name) {
					t.Errorf("%s: time.%s: the core reads no clock", s.set.Position(n.Pos()), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// exact are the functions of package math that give the same bits on every processor.
var exact = []string{"Sqrt", "Abs", "Floor", "Ceil", "Trunc", "Round", "RoundToEven", "Float32bits", "Float64bits", "Float32frombits", "Float64frombits",
	"IsNaN", "IsInf", "Inf", "NaN", "Signbit", "Copysign", "FMA", "Ldexp", "Frexp", "Max", "Min", "Mod", "Modf"}

func TestContractBansPlatformMath(t *testing.T) {
	reaches := append(slices.Clone(pure), "pkg/worker")
	for _, s := range sources(t) {
		if s.test || !slices.Contains(reaches, s.dir) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "math" && x.Obj == nil && ast.IsExported(sel.Sel.Name) {
				constant := strings.HasPrefix(sel.Sel.Name, "Max") && len(sel.Sel.Name) > 3 || slices.Contains([]string{"Pi", "E", "SmallestNonzeroFloat32", "SmallestNonzeroFloat64", "Ln2", "Sqrt2", "MinInt64"}, sel.Sel.Name)
				if !constant && !slices.Contains(exact, sel.Sel.Name) && !(s.dir == "pkg/metatrain" && sel.Sel.Name == "Log2") {
					t.Errorf("%s: math.%s differs by processor; internal/kernel has it", s.set.Position(sel.Pos()), sel.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > 400 {
			t.Errorf("%s has %d lines, expected at most 400: one noun a file", s.path, s.lines)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || strings.HasPrefix(s.dir, "cmd/") || s.dir == "internal/lint" {
			continue
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) && !(d.Recv != nil && slices.Contains(obvious, d.Name.Name)) {
					t.Errorf("%s: %s has no doc comment", s.set.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() && d.Doc == nil && ts.Doc == nil {
						t.Errorf("%s: type %s has no doc comment", s.set.Position(ts.Pos()), ts.Name.Name)
					}
				}
			}
		}
	}
}

// obvious are methods of the language's own interfaces, which need no comment.
var obvious = []string{"Error", "String", "Unwrap", "Is", "Set", "Flags"}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

func TestNoGrabBagPackages(t *testing.T) {
	for _, s := range sources(t) {
		if slices.Contains([]string{"util", "utils", "common", "helpers", "misc", "types"}, s.file.Name.Name) {
			t.Errorf("%s: package %s says nothing about what it holds", s.path, s.file.Name.Name)
		}
	}
}

// The daemons of a cluster stay small: no embedded server, and the coordinator no engine (the worker has gorgonia too).
func TestG8_DaemonsLinkOnlyWhatTheyNeed(t *testing.T) {
	banned := map[string][]string{
		"cmd/coordinator": {"github.com/nats-io/nats-server", "go.etcd.io/etcd/server", module + "pkg/nn", module + "pkg/learner", module + "pkg/taskshards", module + "pkg/coldstart", "gorgonia.org"},
		"cmd/worker":      {"github.com/nats-io/nats-server", "go.etcd.io/etcd/server", "go.etcd.io/etcd/client", "github.com/minio/minio-go", module + "internal/etcdstate", module + "internal/s3store"},
	}
	for cmd, list := range banned {
		out, err := exec.Command("go", "list", "-deps", "../../"+cmd).CombinedOutput()
		if err != nil {
			t.Fatalf("list what %s links: %v\n%s", cmd, err, out)
		}
		for dep := range strings.FieldsSeq(string(out)) {
			for _, b := range list {
				if strings.HasPrefix(dep, b) {
					t.Errorf("%s links %s", cmd, dep)
				}
			}
		}
	}
}

func TestNoStrayPrints(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || !strings.HasPrefix(s.dir, "pkg/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if text := fmt.Sprint(call.Fun); text == "&{fmt Println}" || text == "&{fmt Printf}" || text == "&{log Fatal}" {
					t.Errorf("%s: a library prints nothing", s.set.Position(n.Pos()))
				}
			}
			return true
		})
	}
}
