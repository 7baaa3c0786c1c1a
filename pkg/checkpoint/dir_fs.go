package checkpoint

import (
	"io"
	"io/fs"
	"os"
)

// fileSystem is what the directory store asks of an operating system: six
// operations that change it, and a view to read. It is an interface so that a
// test can record the operations and lose power after each of them.
type fileSystem interface {
	// Create makes a new file and fails where there is one.
	Create(path string) (file, error)
	// Link gives a file a second name and fails where there is one already:
	// a rename that never replaces.
	Link(from, to string) error
	// Rename gives a file another name, in place of what has it.
	Rename(from, to string) error
	Remove(path string) error
	Mkdir(path string) error
	// SyncDir makes the names within a folder durable.
	SyncDir(path string) error
	// View reads the tree under root.
	View(root string) fs.FS
}

// file is a file being written.
type file interface {
	io.WriteCloser
	Sync() error // makes the content durable, but not the name
}

// writeNew writes data to a new file, durably, or leaves no file.
func writeNew(sys fileSystem, path string, data []byte) error {
	f, err := sys.Create(path)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = sys.Remove(path) // the first error is the one to tell
	}
	return err
}

// osFS is the real one.
type osFS struct{}

func (osFS) Create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err // not f: a nil *os.File is not a nil file
	}
	return f, nil
}

func (osFS) Link(from, to string) error   { return os.Link(from, to) }
func (osFS) Rename(from, to string) error { return os.Rename(from, to) }
func (osFS) Remove(path string) error     { return os.Remove(path) }
func (osFS) Mkdir(path string) error      { return os.Mkdir(path, 0o755) }
func (osFS) View(root string) fs.FS       { return os.DirFS(root) }

func (osFS) SyncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
