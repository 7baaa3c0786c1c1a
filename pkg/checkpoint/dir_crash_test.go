package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The crash tests of G3 for the directory store. A kill of the process proves
// nothing, as the kernel keeps what was written; so a scenario is recorded as
// operations, each prefix of them is replayed, the power goes, and in every
// state that may be left (or a sample, where there are very many) the store
// must hold each object whose Put has returned, whole, and of the one in
// flight all or nothing.

const storeRoot = "/data/store"

// action is a put, or a delete where data is empty, or a rewrite where the key
// names the digest of data.
type action struct{ key, data string }

var scenario = []action{
	{"runs/r/ckpt/1", "first checkpoint of the run"},
	{"runs/r/ckpt/2", "second one, of more than one write"},
	{"models/m/1/manifest", "another tree of folders"},
	{"runs/r/ckpt/1", ""},
	{"runs/r/ckpt/1", "other bytes under a freed key"},
	{"top", "no folder"},
	{"models/m/1/manifest", ""},
	{brokenKey, "not what the key names"},
	{brokenKey, "what the key names"},
}

var brokenKey = CheckpointKey("r", 0, 3, Digest([]byte("what the key names")))

func (a action) run(d *Dir) error {
	if a.data == "" {
		return d.Delete(context.Background(), a.key)
	}
	if CheckRewrite(a.key, []byte(a.data)) == nil {
		return d.Rewrite(context.Background(), a.key, []byte(a.data))
	}
	return d.Put(context.Background(), a.key, []byte(a.data))
}

// recorded is a run of actions: what was done, and where each action ended.
type recorded struct {
	actions []action
	ops     []op
	ends    []int // len(ops) when the action returned
}

func record(t *testing.T, actions []action) recorded {
	t.Helper()
	sys := newPowerFS()
	d, err := openDir(storeRoot, sys)
	if err != nil {
		t.Fatal(err)
	}
	r := recorded{actions: actions}
	for _, a := range actions {
		if err := a.run(d); err != nil {
			t.Fatal(err)
		}
		r.ends = append(r.ends, len(sys.ops))
	}
	r.ops = sys.ops
	return r
}

// states returns what a store may hold after n operations: the outcome of the
// actions that have returned, and that with the next one done too.
func (r recorded) states(n int) []map[string]string {
	held := map[string]string{}
	apply := func(a action) {
		if held[a.key] = a.data; a.data == "" {
			delete(held, a.key)
		}
	}
	i := 0
	for ; i < len(r.ends) && r.ends[i] <= n; i++ {
		apply(r.actions[i])
	}
	before := maps.Clone(held)
	if i < len(r.actions) {
		apply(r.actions[i])
	}
	return []map[string]string{before, held}
}

// holds reads all that a store on sys holds.
func holds(sys fileSystem) (map[string]string, error) {
	d, err := openDir(storeRoot, sys)
	if err != nil {
		return nil, err
	}
	objects, err := d.List(context.Background(), "")
	if err != nil {
		return nil, err
	}
	held := map[string]string{}
	for _, o := range objects {
		data, err := d.Get(context.Background(), o.Key)
		if err != nil {
			return nil, err
		}
		held[o.Key] = string(data)
	}
	return held, nil
}

// check loses power after each prefix of the operations, until it finds a
// violation, and returns the number of states looked at.
func (r recorded) check() (states int, violation error) {
	for n := 0; n <= len(r.ops) && violation == nil; n++ {
		allowed := r.states(n)
		states += everyWay(256, func(choose func(int) int) {
			held, err := holds(replay(r.ops[:n]).losePower(choose))
			if err == nil && !slices.ContainsFunc(allowed, func(m map[string]string) bool { return maps.Equal(m, held) }) {
				err = fmt.Errorf("found %q; expected one of %q", held, allowed)
			}
			if err != nil {
				violation = fmt.Errorf("power lost after %d operations (%v): %w", n, lastOf(r.ops[:n]), err)
			}
		})
	}
	return states, violation
}

// without returns the same run with some operations having no effect.
func (r recorded) without(off func(i int, o op) bool) recorded {
	r.ops = slices.Clone(r.ops)
	for i, o := range r.ops {
		r.ops[i].off = off(i, o)
	}
	return r
}

func lastOf(ops []op) string {
	if len(ops) == 0 {
		return "none"
	}
	return "the last: " + ops[len(ops)-1].String()
}

func TestG3_DirSurvivesPowerLoss(t *testing.T) {
	r := record(t, scenario)
	states, err := r.check()
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d operations, %d states after a loss of power", len(r.ops), states)
}

// TestG3_EveryKindOfSyncIsNeeded takes out one kind of sync at a time, which
// must be noticed: else the check, or the sync, is worth nothing.
func TestG3_EveryKindOfSyncIsNeeded(t *testing.T) {
	objectFolders := []string{storeRoot + "/runs/r/ckpt", storeRoot + "/models/m/1"}
	inObjectFolder := func(o op) bool { return o.kind == "syncdir" && slices.Contains(objectFolders, o.path) }
	aboveStore := func(o op) bool { return o.kind == "syncdir" && len(o.path) < len(storeRoot) }
	for kind, is := range map[string]func(op) bool{
		"files":                   func(o op) bool { return o.kind == "sync" },
		"the folder of an object": inObjectFolder,
		"folders above the store": aboveStore,
		"folders between":         func(o op) bool { return o.kind == "syncdir" && !aboveStore(o) && !inObjectFolder(o) },
	} {
		_, err := record(t, scenario).without(func(_ int, o op) bool { return is(o) }).check()
		if err == nil {
			t.Errorf("without the sync of %s nothing is lost", kind)
		}
		t.Logf("without the sync of %s: %v", kind, err)
	}
}

// TestG3_EverySingleSyncIsNeeded takes out one sync at a time, of all that the
// scenario makes.
func TestG3_EverySingleSyncIsNeeded(t *testing.T) {
	r := record(t, scenario)
	syncs := 0
	for i, o := range r.ops {
		if o.kind != "sync" && o.kind != "syncdir" {
			continue
		}
		syncs++
		if _, err := r.without(func(j int, _ op) bool { return j == i }).check(); err == nil {
			t.Errorf("without operation %d, %v, nothing is lost", i, o)
		}
	}
	t.Logf("%d syncs", syncs)
}

// TestG3_DirSurvivesDeathThenPowerLoss: a process dies after any operation,
// with the power on; the next one puts the same objects, and the power goes as
// soon as it is done. What the first left half done must not deceive it.
func TestG3_DirSurvivesDeathThenPowerLoss(t *testing.T) {
	actions := scenario[:3] // puts only: they can be made again
	first := record(t, actions)
	want := first.states(len(first.ops))[0]
	for n := range len(first.ops) + 1 {
		sys := replay(first.ops[:n])
		d, err := openDir(storeRoot, sys)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range actions {
			if err := a.run(d); err != nil {
				t.Fatalf("put again after a death at operation %d: %v", n, err)
			}
		}
		ops := sys.ops
		everyWay(256, func(choose func(int) int) {
			held, err := holds(replay(ops).losePower(choose))
			if err != nil || !maps.Equal(held, want) {
				t.Fatalf("death after %d operations: found %q with error %v; expected %q", n, held, err, want)
			}
		})
	}
}

// TestG3_PutRemovesTemporaryFiles: what a death leaves is gone after the next
// process has written.
func TestG3_PutRemovesTemporaryFiles(t *testing.T) {
	r := record(t, scenario)
	left := 0
	for n := range len(r.ops) + 1 {
		sys := replay(r.ops[:n])
		left += sys.temporaryFiles()
		d, err := openDir(storeRoot, sys)
		if err != nil {
			t.Fatal(err)
		}
		if err := (action{"new", "object"}).run(d); err != nil {
			t.Fatal(err)
		}
		if found := sys.temporaryFiles(); found > 0 {
			t.Fatalf("after %d operations (%v) and a put: %d temporary files", n, lastOf(r.ops[:n]), found)
		}
	}
	if left == 0 {
		t.Error("no death left a temporary file: the test shows nothing")
	}
}

// TestG3_PutStartsOver: another process cleans between a put's write and its
// link.
func TestG3_PutStartsOver(t *testing.T) {
	sys := newPowerFS()
	cleans := 3
	sys.fail = func(o op) error {
		if o.kind == "link" && cleans > 0 {
			cleans--
			clear(sys.find(filepath.Join(storeRoot, tempFolder)).names)
		}
		return nil
	}
	d, err := openDir(storeRoot, sys)
	if err != nil {
		t.Fatal(err)
	}
	if err := scenario[0].run(d); err != nil || cleans != 0 {
		t.Errorf("found error %v with %d cleans to come", err, cleans)
	}
}

func (p *powerFS) temporaryFiles() int {
	if folder := p.find(filepath.Join(storeRoot, tempFolder)); folder != nil {
		return len(folder.names)
	}
	return 0
}

// TestG3_FailedOperation: each operation fails in turn. The error comes back
// with path and remedy, what was there before stays, and once the trouble is
// over the same call succeeds.
func TestG3_FailedOperation(t *testing.T) {
	actions := scenario[:3]
	for _, trouble := range []struct {
		err    error
		remedy string
	}{
		{syscall.ENOSPC, "free space on the disk of " + storeRoot},
		{syscall.EROFS, "mount the disk of " + storeRoot + " for writing"},
		{syscall.EACCES, "let this user write in " + storeRoot},
	} {
		for n := 0; ; n++ {
			sys, at := newPowerFS(), 0
			sys.fail = func(op) error {
				if at++; at-1 == n {
					return trouble.err
				}
				return nil
			}
			d, err := openDir(storeRoot, sys)
			if err != nil {
				t.Fatal(err)
			}
			failed := false
			for _, a := range actions {
				err := a.run(d)
				if err == nil {
					continue
				}
				failed = true
				text := err.Error()
				if !errors.Is(err, trouble.err) || !strings.Contains(text, a.key) || !strings.Contains(text, "/data") || !strings.Contains(text, trouble.remedy) {
					t.Errorf("found error %q; expected key, path, and %q", text, trouble.remedy)
				}
				if err := a.run(d); err != nil {
					t.Errorf("once %v is over: %v", trouble.err, err)
				}
			}
			held, err := holds(sys)
			if want := (recorded{actions: actions, ends: []int{0, 0, 0}}).states(0)[0]; err != nil || !maps.Equal(held, want) {
				t.Errorf("%v at operation %d: found %q with error %v", trouble.err, n, held, err)
			}
			if !failed && at <= n {
				break
			}
		}
	}
}
