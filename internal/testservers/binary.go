package testservers

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
)

// mainModule is the first line of the go.mod that marks the project root.
const mainModule = "module github.com/warmstart-ml/warmstart\n"

// source says where the code of one server comes from.
type source struct {
	name   string // of the folder under servers/ and of the binary
	module string // whose required version names the binary
	pkg    string // its main package
}

func sources() []source {
	return []source{
		{"nats", "github.com/nats-io/nats-server/v2", "github.com/nats-io/nats-server/v2"},
		{"etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3"},
		{"versitygw", "github.com/versity/versitygw", "github.com/versity/versitygw/cmd/versitygw"},
	}
}

// Names returns the names of the servers that Binary builds.
func Names() []string {
	var names []string
	for _, s := range sources() {
		names = append(names, s.name)
	}
	return names
}

// Binary returns the path of the named server's binary, building it first where
// .cache/servers does not hold it yet. Processes that ask at the same time build
// once: the others wait on a file lock. The binary appears by a rename, so that a
// build that is cut short leaves none.
func Binary(name string) (string, error) {
	for _, s := range sources() {
		if s.name == name {
			path, err := s.binary()
			if err != nil {
				return "", fmt.Errorf("build server %s: %w", name, err)
			}
			return path, nil
		}
	}
	return "", fmt.Errorf("build server %q: found no such server, expected one of %v", name, Names())
}

func (s source) binary() (string, error) {
	root, err := projectRoot()
	if err != nil {
		return "", err
	}
	moduleDir := filepath.Join(root, "internal", "testservers", "servers", s.name)
	version, err := s.version(moduleDir)
	if err != nil {
		return "", err
	}
	cache := filepath.Join(root, ".cache", "servers")
	path := filepath.Join(cache, s.name+"-"+version)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil // another process built it while this one waited
	}
	return path, s.build(moduleDir, path)
}

// version returns the version that the server's own go.mod requires.
func (s source) version(moduleDir string) (string, error) {
	file := filepath.Join(moduleDir, "go.mod")
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)^\s*(?:require )?` + regexp.QuoteMeta(s.module) + ` (v\S+)`).FindSubmatch(data)
	if found == nil {
		return "", fmt.Errorf("read %s: found no requirement of %s", file, s.module)
	}
	return string(found[1]), nil
}

// build compiles the server from the versions that its go.mod and go.sum pin.
func (s source) build(moduleDir, path string) error {
	partial := path + ".partial"
	cmd := exec.Command("go", "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", partial, s.pkg)
	cmd.Dir = moduleDir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false", "GOOS=", "GOARCH=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", s.pkg, moduleDir, err, out)
	}
	return os.Rename(partial, path)
}

// projectRoot walks up from the working directory to the main module. The place
// of this source file would not do: -trimpath hides it.
func projectRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.Contains(data, []byte(mainModule)) {
			return dir, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find project root: found no go.mod of warmstart above %s", start)
		}
	}
}

// lockFile takes the exclusive lock on path, waiting for it. The file stays: to
// remove it would let two holders in, each with an inode of its own.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
