package checkpoint_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint/storetest"
)

func TestDirIsAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) checkpoint.Store {
		store, err := checkpoint.OpenDir(t.TempDir() + "/not/yet/there")
		if err != nil {
			t.Fatal(err)
		}
		return store
	})
}

func mustOpenDir(t testing.TB, path string) *checkpoint.Dir {
	t.Helper()
	store, err := checkpoint.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// TestG3_WritersDoNotDisturbEachOther: a process that begins to write removes
// the temporary files of puts that run in others, which then start over.
func TestG3_WritersDoNotDisturbEachOther(t *testing.T) {
	path := t.TempDir()
	var writers sync.WaitGroup
	for w := range 8 {
		store := mustOpenDir(t, path)
		writers.Go(func() {
			for i := range 20 {
				key := fmt.Sprintf("runs/r%d/%d", i, w)
				if err := store.Put(t.Context(), key, []byte(key)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	store := mustOpenDir(t, path)
	objects, err := store.List(t.Context(), "")
	if err != nil || len(objects) != 8*20 {
		t.Fatalf("found %d objects with error %v", len(objects), err)
	}
	for _, o := range objects {
		if data, err := store.Get(t.Context(), o.Key); err != nil || string(data) != o.Key {
			t.Errorf("object %s holds %q with error %v", o.Key, data, err)
		}
	}
}

func TestDirDoesNotSeeWhatIsNoObject(t *testing.T) {
	path := t.TempDir()
	store := mustOpenDir(t, path)
	if err := store.Put(t.Context(), "a/b", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".DS_Store", "a/.hidden", "a/with space", "a/b~"} {
		if err := os.WriteFile(filepath.Join(path, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("b", filepath.Join(path, "a", "link")); err != nil {
		t.Fatal(err)
	}
	objects, err := store.List(t.Context(), "")
	if err != nil || len(objects) != 1 || objects[0].Key != "a/b" {
		t.Errorf("found %v with error %v, expected a/b alone", objects, err)
	}
}

func TestG7_OpenDirRefusesAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.OpenDir(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("found error %v, expected one that names %s", err, path)
	}
}

func TestOpenDirMakesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent")
	store := mustOpenDir(t, path)
	if objects, err := store.List(t.Context(), ""); err != nil || len(objects) != 0 {
		t.Errorf("an absent folder lists %v with error %v", objects, err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("reading made the folder: %v", err)
	}
}

// BenchmarkDirPut: objects of 1 MB, eight writers, every one durable.
func BenchmarkDirPut(b *testing.B) {
	store := mustOpenDir(b, b.TempDir())
	data := bytes.Repeat([]byte("12345678"), 1<<17)
	b.SetBytes(int64(len(data)))
	var n atomic.Int64
	b.SetParallelism((8 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := store.Put(b.Context(), fmt.Sprintf("o/%d", n.Add(1)), data); err != nil {
				b.Error(err)
			}
		}
	})
}

// TestDirMakesFoldersAgain: somebody tidied up empty folders meanwhile.
func TestDirMakesFoldersAgain(t *testing.T) {
	path := t.TempDir()
	store := mustOpenDir(t, path)
	for range 2 {
		if err := store.Put(t.Context(), "a/b/c", []byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(path, "a")); err != nil {
			t.Fatal(err)
		}
	}
}
