package checkpoint

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand"
	"path/filepath"
	"slices"
	"strings"
	"testing/fstest"
)

// powerFS is a file system that can lose power. It promises what POSIX does
// and nothing more: content lasts once its file is synced, a name once its
// folder is, and of all else any part may last, in any combination.
type powerFS struct {
	root *node
	ops  []op // all that changed it, to be replayed
	// fail, if set, makes an operation fail before it has effect.
	fail func(op) error
}

// op is one recorded operation.
type op struct {
	kind string // create, write, sync, link, rename, remove, mkdir, syncdir
	path string
	to   string // link, rename
	data []byte // write
	off  bool   // has no effect: what a store without it risks
}

func (o op) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", o.kind, o.path, o.to))
}

// node is a file or a folder.
type node struct {
	isDir   bool
	data    []byte           // as seen while the power is on
	synced  int              // length of data that lasts
	names   map[string]*node // as seen while the power is on
	lasting map[string]*node // that last
	pending []rename         // changes of names since, in order
}

// rename is a change of one name in a folder; to nil removes it.
type rename struct {
	name string
	to   *node
}

func newFolder() *node {
	return &node{isDir: true, names: map[string]*node{}, lasting: map[string]*node{}}
}

func newPowerFS() *powerFS { return &powerFS{root: newFolder()} }

// find returns the node at path, or nil.
func (p *powerFS) find(path string) *node {
	n := p.root
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if name == "" {
			continue
		}
		if n = n.names[name]; n == nil {
			return nil
		}
	}
	return n
}

func (n *node) set(name string, to *node) {
	if to == nil {
		delete(n.names, name)
	} else {
		n.names[name] = to
	}
	n.pending = append(n.pending, rename{name, to})
}

// apply records o and carries it out.
func (p *powerFS) apply(o op) error {
	if p.fail != nil {
		if err := p.fail(o); err != nil {
			return &fs.PathError{Op: o.kind, Path: o.path, Err: err}
		}
	}
	if err := p.change(o); err != nil {
		return &fs.PathError{Op: o.kind, Path: o.path, Err: err}
	}
	p.ops = append(p.ops, o)
	return nil
}

func (p *powerFS) change(o op) error {
	if o.off {
		return nil
	}
	switch o.kind {
	case "create":
		return p.newName(o.path, &node{})
	case "mkdir":
		return p.newName(o.path, newFolder())
	case "link":
		return p.newName(o.to, p.find(o.path))
	}
	n := p.find(o.path)
	if n == nil {
		return fs.ErrNotExist
	}
	switch {
	case o.kind == "rename":
		folder := p.find(filepath.Dir(o.to))
		if folder == nil {
			return fs.ErrNotExist
		}
		folder.set(filepath.Base(o.to), n)
		p.find(filepath.Dir(o.path)).set(filepath.Base(o.path), nil)
	case o.kind == "remove":
		p.find(filepath.Dir(o.path)).set(filepath.Base(o.path), nil)
	case o.kind == "write":
		n.data = append(n.data, o.data...)
	case o.kind == "sync":
		n.synced = len(n.data)
	case o.kind == "syncdir":
		n.lasting, n.pending = maps.Clone(n.names), nil
	}
	return nil
}

func (p *powerFS) newName(path string, n *node) error {
	folder := p.find(filepath.Dir(path))
	switch {
	case folder == nil || n == nil:
		return fs.ErrNotExist
	case folder.names[filepath.Base(path)] != nil:
		return fs.ErrExist
	}
	folder.set(filepath.Base(path), n)
	return nil
}

// replay returns a new file system after the operations.
func replay(ops []op) *powerFS {
	p := newPowerFS()
	for _, o := range ops {
		if err := p.apply(o); err != nil {
			panic(fmt.Sprintf("replay %v: %v", o, err))
		}
	}
	return p
}

// losePower leaves what may be left. choose picks one of n ways, each time
// there are several. Nothing of p but the result may be used after.
func (p *powerFS) losePower(choose func(n int) int) *powerFS {
	return &powerFS{root: p.root.remains(choose, map[*node]*node{})}
}

// remains copies what lasts of n. A file with two names stays one file.
func (n *node) remains(choose func(n int) int, done map[*node]*node) *node {
	if left := done[n]; left != nil {
		return left
	}
	left := &node{isDir: n.isDir}
	done[n] = left
	if !n.isDir {
		left.data = n.tornData(choose)
		left.synced = len(left.data)
		return left
	}
	names := maps.Clone(n.lasting)
	for _, change := range n.pending {
		if choose(2) == 0 {
			continue // lost
		}
		if names[change.name] = change.to; change.to == nil {
			delete(names, change.name)
		}
	}
	left.names = map[string]*node{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		left.names[name] = names[name].remains(choose, done)
	}
	left.lasting = maps.Clone(left.names)
	return left
}

// tornData is the synced part of a file and, of the rest, nothing, half, the
// right length in zeros (blocks given but not written), or all.
func (n *node) tornData(choose func(n int) int) []byte {
	lost := len(n.data) - n.synced
	if lost == 0 {
		return n.data
	}
	switch choose(4) {
	case 0:
		return n.data[:n.synced]
	case 1:
		return n.data[:n.synced+lost/2]
	case 2:
		return append(slices.Clone(n.data[:n.synced]), make([]byte, lost)...)
	}
	return n.data
}

// everyWay calls f with a choose function until each sequence of choices has
// been taken, or limit of them: the first half in order, then by chance.
func everyWay(limit int, f func(choose func(n int) int)) (ways int) {
	type choice struct{ taken, of int }
	var path []choice
	chance := rand.New(rand.NewSource(1))
	for ways = 1; ; ways++ {
		depth := 0
		f(func(n int) int {
			if ways > limit/2 {
				return chance.Intn(n)
			}
			if depth == len(path) {
				path = append(path, choice{0, n})
			}
			depth++
			return path[depth-1].taken
		})
		if ways == limit {
			return ways
		}
		if ways > limit/2 {
			continue
		}
		for len(path) > 0 && path[len(path)-1].taken+1 == path[len(path)-1].of {
			path = path[:len(path)-1]
		}
		if len(path) == 0 {
			return ways
		}
		path[len(path)-1].taken++
	}
}

// The methods of fileSystem.

func (p *powerFS) Create(path string) (file, error) {
	return powerFile{p, path}, p.apply(op{kind: "create", path: path})
}
func (p *powerFS) Link(from, to string) error {
	return p.apply(op{kind: "link", path: from, to: to})
}
func (p *powerFS) Rename(from, to string) error {
	return p.apply(op{kind: "rename", path: from, to: to})
}
func (p *powerFS) Remove(path string) error  { return p.apply(op{kind: "remove", path: path}) }
func (p *powerFS) Mkdir(path string) error   { return p.apply(op{kind: "mkdir", path: path}) }
func (p *powerFS) SyncDir(path string) error { return p.apply(op{kind: "syncdir", path: path}) }

// View copies the tree under root.
func (p *powerFS) View(root string) fs.FS {
	view := fstest.MapFS{}
	n := p.find(root)
	if n == nil {
		return os404{}
	}
	n.addTo(view, ".")
	return view
}

func (n *node) addTo(view fstest.MapFS, path string) {
	if !n.isDir {
		view[path] = &fstest.MapFile{Data: n.data, Mode: 0o644}
		return
	}
	view[path] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	for name, child := range n.names {
		child.addTo(view, filepath.Join(path, name))
	}
}

// os404 is a tree whose root is not there.
type os404 struct{}

func (os404) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// powerFile is a file being written. Writes go out in pieces, as those of a
// kernel do.
type powerFile struct {
	fs   *powerFS
	path string
}

func (f powerFile) Write(data []byte) (int, error) {
	for piece := range slices.Chunk(data, 8) {
		if err := f.fs.apply(op{kind: "write", path: f.path, data: slices.Clone(piece)}); err != nil {
			return 0, err
		}
	}
	return len(data), nil
}
func (f powerFile) Sync() error { return f.fs.apply(op{kind: "sync", path: f.path}) }
func (powerFile) Close() error  { return nil }
