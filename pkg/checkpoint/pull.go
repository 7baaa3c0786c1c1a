package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Pull copies a version to the folder dir, verified: files appear there all
// together, by a rename, when each has the size and digest of the manifest and
// is durable. A folder that holds this very version already is success; one
// that holds anything else is left alone and is an error. An interrupted Pull
// leaves a hidden folder beside dir.
func Pull(ctx context.Context, from Getter, model string, n int64, dir string) (Manifest, error) {
	m, err := pull(ctx, from, model, n, dir)
	if err != nil {
		return Manifest{}, fmt.Errorf("pull version %d of %s to %s: %w", n, model, dir, err)
	}
	return m, nil
}

func pull(ctx context.Context, from Getter, model string, n int64, dir string) (Manifest, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Manifest{}, err
	}
	if m, err := VerifyFolder(dir); err == nil && m.Model == model && m.Version == n {
		return m, nil
	}
	parent := filepath.Dir(dir)
	if err := newDir(parent, osFS{}).settle(parent); err != nil {
		return Manifest{}, err
	}
	temp, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".pull-")
	if err != nil {
		return Manifest{}, err
	}
	defer os.RemoveAll(temp) // nothing there after the rename
	m, raw, err := readVersion(ctx, from, model, n, func(f File, data []byte) error {
		return writeNew(osFS{}, filepath.Join(temp, f.Name), data)
	})
	if err != nil {
		return Manifest{}, err
	}
	if err := writeNew(osFS{}, filepath.Join(temp, ManifestFile), raw); err != nil {
		return Manifest{}, err
	}
	if err := os.Chmod(temp, 0o755); err != nil { // MkdirTemp lets nobody else read
		return Manifest{}, err
	}
	return m, moveDurable(temp, dir)
}

// moveDurable renames the folder temp to dir, which is absent or empty.
func moveDurable(temp, dir string) error {
	if err := (osFS{}).SyncDir(temp); err != nil {
		return err
	}
	if info, err := os.Lstat(dir); err == nil && info.IsDir() {
		_ = os.Remove(dir) // goes if empty; else the rename says so
	}
	if err := os.Rename(temp, dir); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%w; choose a folder that is absent or empty", err)
		}
		return err
	}
	return osFS{}.SyncDir(filepath.Dir(dir))
}

// VerifyFolder holds every file in the folder of a pulled version to its
// manifest. Files that the manifest does not name are not looked at.
func VerifyFolder(dir string) (Manifest, error) {
	raw, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil {
		return Manifest{}, fmt.Errorf("verify %s: %w", dir, err)
	}
	m, err := decodeManifest(raw)
	if err != nil {
		return Manifest{}, fmt.Errorf("verify %s: %s: %w", dir, ManifestFile, err)
	}
	for _, f := range m.Files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name))
		if err == nil {
			err = f.verify(data)
		}
		if err != nil {
			return Manifest{}, fmt.Errorf("verify %s: %w", dir, err)
		}
	}
	return m, nil
}
