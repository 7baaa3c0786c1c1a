package checkpoint

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Dir is a Store in a folder of a local disk: the object under key k is the
// file k. Put writes and syncs a file in the hidden folder .tmp, links it to
// its name, and syncs the folder that holds the name; every folder on the way
// is synced into its own parent first. Rewrite renames instead of linking.
// Several processes may use one folder. The first Put removes what interrupted
// ones left in .tmp; opening and reading change nothing.
//
// The file system needs hard links. Files with a name that is no key are not
// seen, so a stray .DS_Store does no harm.
type Dir struct {
	root string // absolute
	fs   fileSystem

	mu      sync.Mutex
	cleaned bool            // .tmp holds nothing older than this Dir
	settled map[string]bool // folders known to exist durably, up to "/"
}

var _ Store = (*Dir)(nil)

// tempFolder holds files being written. No key begins with a dot.
const tempFolder = ".tmp"

// OpenDir opens the store in the folder path, which the first Put makes if it
// is not there. A folder that cannot be written can be read.
func OpenDir(path string) (*Dir, error) { return openDir(path, osFS{}) }

func openDir(path string, sys fileSystem) (*Dir, error) {
	root, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	info, err := fs.Stat(sys.View(root), ".")
	switch {
	case errors.Is(err, fs.ErrNotExist): // the first Put makes it
	case err != nil:
		return nil, fmt.Errorf("open store %s: %w", root, err)
	case !info.IsDir():
		return nil, fmt.Errorf("open store %s: found a file; expected a folder", root)
	}
	return newDir(root, sys), nil
}

func newDir(root string, sys fileSystem) *Dir {
	return &Dir{root: root, fs: sys, settled: map[string]bool{}}
}

// clean removes temporary files, once. Should one belong to a Put that runs in
// another process, that Put starts over.
func (d *Dir) clean() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cleaned {
		return nil
	}
	left, err := fs.ReadDir(d.fs.View(d.root), tempFolder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range left {
		err := d.fs.Remove(filepath.Join(d.root, tempFolder, f.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	d.cleaned = true
	return nil
}

// Put implements Store.
func (d *Dir) Put(ctx context.Context, key string, data []byte) error {
	if err := CheckPut(key, data); err != nil {
		return fmt.Errorf("put object: %w", err)
	}
	return d.write(ctx, "put object", key, data, d.link)
}

// Rewrite implements Store.
func (d *Dir) Rewrite(ctx context.Context, key string, data []byte) error {
	if err := CheckRewrite(key, data); err != nil {
		return fmt.Errorf("rewrite object: %w", err)
	}
	return d.write(ctx, "rewrite object", key, data, d.rename)
}

// naming gives a written temporary file the object's name.
type naming func(temp, key string, data []byte) error

// write stores data under key; name gives the temporary file its name.
func (d *Dir) write(ctx context.Context, op, key string, data []byte, name naming) error {
	const tries = 20 // each is spoilt by another process at most once in its life
	var err error
	for range tries {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s %s: %w", op, key, err)
		}
		// A temporary file or a folder gone meanwhile: another process began
		// to write and cleaned, or removed empty folders.
		if err = d.writeOnce(key, data, name); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		d.forget()
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, key, d.explain(err))
	}
	return nil
}

func (d *Dir) writeOnce(key string, data []byte, name naming) error {
	if err := d.clean(); err != nil {
		return err
	}
	folder := filepath.Dir(d.path(key))
	if err := d.settle(folder); err != nil {
		return err
	}
	temp, err := d.writeTemp(data)
	if err != nil {
		return err
	}
	if err := name(temp, key, data); err != nil {
		return err
	}
	// Also where the object was there before: whoever linked it may have died
	// before this.
	return d.fs.SyncDir(folder)
}

// path is where the object under key lies.
func (d *Dir) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

// link names the temporary file where nothing has the name.
func (d *Dir) link(temp, key string, data []byte) error {
	err := d.fs.Link(temp, d.path(key))
	// The object is there or not whatever becomes of the temporary name, and
	// the next clean removes what stays.
	_ = d.fs.Remove(temp)
	if errors.Is(err, fs.ErrExist) {
		return d.sameAs(key, data)
	}
	return err
}

// rename names the temporary file in place of what has the name.
func (d *Dir) rename(temp, key string, _ []byte) error {
	err := d.fs.Rename(temp, d.path(key))
	if err != nil {
		_ = d.fs.Remove(temp)
	}
	return err
}

// settle makes folder and all above it exist, durably: each is synced into its
// parent, also where it existed, for whoever made it may have died before that.
func (d *Dir) settle(folder string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settleLocked(folder)
}

func (d *Dir) settleLocked(folder string) error {
	parent := filepath.Dir(folder)
	if parent == folder || d.settled[folder] {
		return nil
	}
	if err := d.settleLocked(parent); err != nil {
		return err
	}
	if err := d.fs.Mkdir(folder); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	err := d.fs.SyncDir(parent)
	// Above the store there may be folders one may pass through but not open.
	// They are not of our making.
	if err != nil && !(errors.Is(err, fs.ErrPermission) && len(folder) < len(d.root)) {
		return err
	}
	d.settled[folder] = true
	return nil
}

func (d *Dir) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.settled)
}

// writeTemp writes data to a new temporary file, durably, and returns its path.
func (d *Dir) writeTemp(data []byte) (path string, err error) {
	folder := filepath.Join(d.root, tempFolder)
	if err := d.fs.Mkdir(folder); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	// Chance, not a counter: processes in containers share process ids.
	path = filepath.Join(folder, strconv.FormatUint(rand.Uint64(), 36))
	return path, writeNew(d.fs, path, data)
}

// sameAs returns nil if the object under key has these bytes.
func (d *Dir) sameAs(key string, data []byte) error {
	found, err := fs.ReadFile(d.fs.View(d.root), key)
	if err != nil {
		return fmt.Errorf("read what is there already: %w", err)
	}
	if !bytes.Equal(found, data) {
		return fmt.Errorf("%w: found %s, expected %s", ErrExists, Describe(found), Describe(data))
	}
	return nil
}

// Get implements Store.
func (d *Dir) Get(ctx context.Context, key string) ([]byte, error) {
	if err := CheckKey(key); err != nil {
		return nil, fmt.Errorf("get object: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("get object %s: %w", key, err)
	}
	data, err := fs.ReadFile(d.fs.View(d.root), key)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		return nil, fmt.Errorf("get object %s from %s: %w", key, d.root, ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("get object %s from %s: %w", key, d.root, err)
	}
	return data, nil
}

// List implements Store.
func (d *Dir) List(ctx context.Context, prefix string) ([]Object, error) {
	if err := CheckPrefix(prefix); err != nil {
		return nil, fmt.Errorf("list objects: %w", err)
	}
	var objects []Object
	start := "."
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		start = prefix[:i]
	}
	err := fs.WalkDir(d.fs.View(d.root), start, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			return nil // never there, or removed while we walk
		case err != nil:
			return err
		case path == start:
			return nil
		case CheckName(entry.Name()) != nil:
			return skip(entry)
		case entry.IsDir() && !strings.HasPrefix(path+"/", prefix):
			return fs.SkipDir
		case !entry.Type().IsRegular() || !strings.HasPrefix(path, prefix):
			return nil
		}
		info, err := entry.Info()
		if err == nil {
			objects = append(objects, Object{Key: path, Size: info.Size()})
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list objects %s* in %s: %w", prefix, d.root, err)
	}
	slices.SortFunc(objects, func(a, b Object) int { return cmp.Compare(a.Key, b.Key) })
	return objects, nil
}

func skip(entry fs.DirEntry) error {
	if entry.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// Delete implements Store. The folder stays, empty as it may be.
func (d *Dir) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete object %s: %w", key, err)
	}
	name := d.path(key)
	err := d.fs.Remove(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		// Absent perhaps by a removal that is not durable yet.
		err = d.fs.SyncDir(filepath.Dir(name))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("delete object %s: %w", key, d.explain(err))
	}
	return nil
}

// explain adds the remedy to errors that have one. The paths stand in err.
func (d *Dir) explain(err error) error {
	for _, c := range []struct {
		is     error
		remedy string
	}{
		{syscall.ENOSPC, "free space on the disk of %s, or choose another folder"},
		{syscall.EDQUOT, "raise the quota on the disk of %s, or choose another folder"},
		{syscall.EROFS, "mount the disk of %s for writing, or choose another folder"},
		{fs.ErrPermission, "let this user write in %s, or choose another folder"},
		{errors.ErrUnsupported, "put %s on a file system that has hard links"},
	} {
		if errors.Is(err, c.is) {
			return fmt.Errorf("%w; "+c.remedy, err, d.root)
		}
	}
	return err
}
