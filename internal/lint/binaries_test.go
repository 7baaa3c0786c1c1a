package lint

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A program that `go build` left in the tree is committed with the next `git add`, and stays in the history for good.
func TestNoProgramLiesInTheTree(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(name, ".") || path == filepath.Join(root, "bin")):
			return filepath.SkipDir // what git ignores
		case !d.Type().IsRegular():
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		var magic [4]byte
		if _, err := io.ReadFull(f, magic[:]); err == nil && string(magic[:]) == "\x7fELF" {
			t.Errorf("found the program %s, expected programs in bin/ alone: remove it, and build with -o bin/", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
