package checkpoint_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

func sampleFiles() map[string][]byte {
	return map[string][]byte{
		checkpoint.ModelFile:  []byte("parameters"),
		checkpoint.ConfigFile: []byte("{}"),
		"MLmodel":             []byte("flavors: {}"),
		checkpoint.PooledFile: []byte("other parameters"),
	}
}

func sampleManifest(n int64) checkpoint.Manifest {
	return checkpoint.Manifest{
		Model: "load", Version: n, Run: "r1", Contract: contract,
		Spec: "name: load\nfamily: <load>\n", SpecDigest: spec, DataDigest: "d", Seed: math.MaxUint64, Steps: 2000,
		Decisions: []string{"skip step 4 shard 2"}, Metrics: map[string]float64{"mase": 0.1},
		Created: "2026-01-02T03:04:05Z",
	}
}

func publish(t *testing.T, store checkpoint.Store, n int64) {
	t.Helper()
	if err := checkpoint.PublishVersion(t.Context(), store, sampleFiles(), sampleManifest(n)); err != nil {
		t.Fatal(err)
	}
}

func TestBuildVersionPutsManifestLast(t *testing.T) {
	entries, err := checkpoint.BuildVersion(sampleFiles(), sampleManifest(12))
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	want := []string{"models/load/12/MLmodel", "models/load/12/config.json", "models/load/12/model.safetensors",
		"models/load/12/pooled.safetensors", "models/load/12/manifest.json"}
	if !slices.Equal(keys, want) {
		t.Errorf("found %v, expected %v", keys, want)
	}
	again, err := checkpoint.BuildVersion(sampleFiles(), sampleManifest(12))
	if err != nil || !reflect.DeepEqual(again, entries) {
		t.Error("the same version has other bytes the second time")
	}
	m, err := checkpoint.DecodeManifest(entries[4].Data, "load", 12)
	if err != nil {
		t.Fatal(err)
	}
	expected := sampleManifest(12)
	expected.Files = m.Files
	if !reflect.DeepEqual(m, expected) {
		t.Errorf("found %+v, expected %+v", m, expected)
	}
	if f := m.Files[2]; f.Name != "model.safetensors" || f.Size != 10 || f.SHA256 != checkpoint.Digest([]byte("parameters")) {
		t.Errorf("found %+v", f)
	}
}

func TestG7_BuildVersionRefuses(t *testing.T) {
	for name, spoil := range map[string]func(files map[string][]byte, m *checkpoint.Manifest){
		"no model":      func(f map[string][]byte, m *checkpoint.Manifest) { delete(f, "model.safetensors") },
		"no config":     func(f map[string][]byte, m *checkpoint.Manifest) { delete(f, "config.json") },
		"own manifest":  func(f map[string][]byte, m *checkpoint.Manifest) { f["manifest.json"] = []byte("{}") },
		"path in name":  func(f map[string][]byte, m *checkpoint.Manifest) { f["a/b"] = []byte("x") },
		"empty file":    func(f map[string][]byte, m *checkpoint.Manifest) { f["x"] = nil },
		"bad model":     func(f map[string][]byte, m *checkpoint.Manifest) { m.Model = "../x" },
		"version 0":     func(f map[string][]byte, m *checkpoint.Manifest) { m.Version = 0 },
		"metric is NaN": func(f map[string][]byte, m *checkpoint.Manifest) { m.Metrics["x"] = math.NaN() },
	} {
		files, m := sampleFiles(), sampleManifest(1)
		spoil(files, &m)
		if _, err := checkpoint.BuildVersion(files, m); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestG3_NoTornVersion: a version of which any object is missing, cut, changed
// or swapped does not verify and is not pulled.
func TestG3_NoTornVersion(t *testing.T) {
	entries, err := checkpoint.BuildVersion(sampleFiles(), sampleManifest(1))
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		for what, bytes := range map[string][]byte{
			"missing": nil,
			"cut":     e.Data[:len(e.Data)-1],
			"changed": append([]byte{e.Data[0] ^ 1}, e.Data[1:]...),
			"swapped": entries[(i+1)%len(entries)].Data,
		} {
			t.Run(what+" "+e.Key, func(t *testing.T) {
				if strings.HasSuffix(e.Key, "manifest.json") && what == "cut" {
					bytes = e.Data[:len(e.Data)-2] // a newline is no loss
				}
				store := mustOpenDir(t, t.TempDir())
				for j, other := range entries {
					if j != i {
						put(t, store, other.Key, other.Data)
					} else if bytes != nil {
						put(t, store, e.Key, bytes)
					}
				}
				if _, err := checkpoint.VerifyVersion(t.Context(), store, "load", 1); err == nil {
					t.Error("it verifies")
				}
				dir := filepath.Join(t.TempDir(), "pulled")
				if _, err := checkpoint.Pull(t.Context(), store, "load", 1, dir); err == nil {
					t.Error("it is pulled")
				}
				if left, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(left) > 0 {
					t.Errorf("a refused pull leaves %v", left)
				}
			})
		}
	}
}

// TestG3_VersionAppearsWithItsManifest: until the last object is there the
// version is not.
func TestG3_VersionAppearsWithItsManifest(t *testing.T) {
	store := mustOpenDir(t, t.TempDir())
	entries, err := checkpoint.BuildVersion(sampleFiles(), sampleManifest(1))
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if n, err := checkpoint.ListVersions(t.Context(), store, "load"); err != nil || len(n) != 0 {
			t.Errorf("after %d of %d objects versions are %v (error %v)", i, len(entries), n, err)
		}
		if _, err := checkpoint.VerifyVersion(t.Context(), store, "load", 1); !errors.Is(err, checkpoint.ErrNotFound) {
			t.Errorf("after %d of %d objects: found error %v, expected %v", i, len(entries), err, checkpoint.ErrNotFound)
		}
		put(t, store, e.Key, e.Data)
	}
	if n, err := checkpoint.ListVersions(t.Context(), store, "load"); err != nil || !slices.Equal(n, []int64{1}) {
		t.Errorf("found versions %v with error %v", n, err)
	}
}

func TestG3_MisplacedVersionRefused(t *testing.T) {
	store := mustOpenDir(t, t.TempDir())
	entries, err := checkpoint.BuildVersion(sampleFiles(), sampleManifest(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		for _, place := range []string{"models/load/2/", "models/other/1/"} {
			put(t, store, strings.Replace(e.Key, "models/load/1/", place, 1), e.Data)
		}
	}
	for model, n := range map[string]int64{"load": 2, "other": 1} {
		if _, err := checkpoint.VerifyVersion(t.Context(), store, model, n); err == nil || !strings.Contains(err.Error(), "found model load version 1") {
			t.Errorf("version %d of %s: found error %v", n, model, err)
		}
	}
}

func TestPublishVersionAgain(t *testing.T) {
	store := mustOpenDir(t, t.TempDir())
	publish(t, store, 1)
	publish(t, store, 1)
	other := sampleManifest(1)
	other.Steps++
	if err := checkpoint.PublishVersion(t.Context(), store, sampleFiles(), other); !errors.Is(err, checkpoint.ErrExists) {
		t.Errorf("another version 1: found error %v, expected %v", err, checkpoint.ErrExists)
	}
}

func TestListModels(t *testing.T) {
	store := mustOpenDir(t, t.TempDir())
	for _, n := range []int64{2, 10, 1} {
		publish(t, store, n)
	}
	for _, key := range []string{"models/load/01/manifest.json", "models/load/0/manifest.json", "models/load/x/manifest.json",
		"models/load/3/model.safetensors", "models/load2/7/manifest.json", "models/load/aliases/prod/manifest.json"} {
		put(t, store, key, []byte("{}"))
	}
	got, err := checkpoint.ListModels(t.Context(), store)
	if want := map[string][]int64{"load": {1, 2, 10}, "load2": {7}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("found %v with error %v, expected %v", got, err, want)
	}
	one, err := checkpoint.ListVersions(t.Context(), store, "load")
	if err != nil || !slices.Equal(one, []int64{1, 2, 10}) {
		t.Errorf("found %v with error %v", one, err)
	}
	if _, err := checkpoint.ListVersions(t.Context(), store, "../x"); err == nil {
		t.Error("model ../x is taken")
	}
}

func TestPull(t *testing.T) {
	store := mustOpenDir(t, t.TempDir())
	publish(t, store, 1)
	publish(t, store, 2)
	dir := filepath.Join(t.TempDir(), "new", "folder")
	for range 2 { // the second finds it there
		m, err := checkpoint.Pull(t.Context(), store, "load", 1, dir)
		if err != nil || m.Version != 1 {
			t.Fatalf("found version %d with error %v", m.Version, err)
		}
	}
	for name, want := range sampleFiles() {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != string(want) {
			t.Errorf("file %s: found %q with error %v", name, got, err)
		}
	}
	if m, err := checkpoint.VerifyFolder(dir); err != nil || m.Model != "load" {
		t.Errorf("found %v with error %v", m.Model, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o055 != 0o055 {
		t.Errorf("folder has mode %v, expected others to read it", info.Mode())
	}
	if _, err := checkpoint.Pull(t.Context(), store, "load", 2, dir); err == nil || !strings.Contains(err.Error(), "absent or empty") {
		t.Errorf("a pull over another version: found error %v", err)
	}
	if m, err := checkpoint.VerifyFolder(dir); err != nil || m.Version != 1 {
		t.Errorf("after it the folder holds version %d with error %v", m.Version, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
		t.Errorf("beside the folder lie %v", left)
	}
	if _, err := checkpoint.Pull(t.Context(), store, "load", 2, t.TempDir()); err != nil {
		t.Errorf("pull to an empty folder: %v", err)
	}
}

func TestG3_VerifyFolderRefuses(t *testing.T) {
	store := mustOpenDir(t, t.TempDir())
	publish(t, store, 1)
	for name, spoil := range map[string]func(dir string) error{
		"missing":     func(dir string) error { return os.Remove(filepath.Join(dir, "MLmodel")) },
		"changed":     func(dir string) error { return os.WriteFile(filepath.Join(dir, "MLmodel"), []byte("x"), 0o644) },
		"no manifest": func(dir string) error { return os.Remove(filepath.Join(dir, "manifest.json")) },
	} {
		dir := filepath.Join(t.TempDir(), "m")
		if _, err := checkpoint.Pull(t.Context(), store, "load", 1, dir); err != nil {
			t.Fatal(err)
		}
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := checkpoint.VerifyFolder(dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: found error %v, expected one that names %s", name, err, dir)
		}
	}
}

// FuzzDecodeManifest: a manifest that is taken names files within its folder
// only, and is one of the version that was asked for.
func FuzzDecodeManifest(f *testing.F) {
	entries, err := checkpoint.BuildVersion(sampleFiles(), sampleManifest(1))
	if err != nil {
		f.Fatal(err)
	}
	good := string(entries[len(entries)-1].Data)
	f.Add([]byte(good))
	f.Add([]byte(strings.Replace(good, `"MLmodel"`, `"../MLmodel"`, 1)))
	f.Add([]byte(strings.Replace(good, `"size": 2`, `"size": -2`, 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := checkpoint.DecodeManifest(data, "load", 1)
		if err != nil {
			return
		}
		for _, file := range m.Files {
			if filepath.Base(file.Name) != file.Name || file.Name == ".." || file.Size < 1 {
				t.Errorf("file %+v is taken", file)
			}
		}
		if m.Model != "load" || m.Version != 1 {
			t.Errorf("version %d of %q is taken", m.Version, m.Model)
		}
		if _, err := json.Marshal(m); err != nil {
			t.Error(err)
		}
	})
}
