//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// change is one edit of a source file for a build of another release: old, found once, becomes new.
type change struct{ file, old, new string }

// older is a release that knows only the parts of a hello without which a worker gets no work.
var older = []change{
	{"pkg/worker/worker.go", `Bits: metatrain.Contract, Skills: w.engines.skills(), Class: w.cfg.Class, Engine: "lane",`, ""},
	{"pkg/worker/worker.go", `Memory: int64(w.cfg.Memory), Slots: w.cfg.Slots, Release: release(), Holding: w.held(), Seq: seq, WaitMS`, `Release: "v0.1-older", Holding: w.held(), WaitMS`},
}

// newer is a release whose messages, asked and answered, all hold more than this one's.
var newer = []change{
	{"pkg/worker/leave.go", "return info.Main.Version", `return "v9.9-newer" + info.Main.Version[:0]`},
	{"pkg/metatrain/message.go", "type Hello struct {", "type Hello struct {\n\tFuture Future `json:\"future\"`"},
	{"pkg/metatrain/message.go", "type LeaseReply struct {", "type LeaseReply struct {\n\tFuture Future `json:\"future\"`"},
	{"pkg/metatrain/message.go", "type Lease struct {", "type Lease struct {\n\tFuture Future `json:\"future\"`"},
	{"pkg/metatrain/message.go", "type Result struct {", "type Result struct {\n\tFuture Future `json:\"future\"`"},
	{"pkg/metatrain/message.go", "type ResultReply struct {", "type ResultReply struct {\n\tFuture Future `json:\"future\"`"},
	{"pkg/metatrain/message.go", "type Beat struct {", "type Beat struct {\n\tFuture Future `json:\"future\"`"},
	{"pkg/metatrain/message.go", "type Ack struct {", "type Ack struct {\n\tFuture Future `json:\"future\"`"},
	{"pkg/metatrain/message.go", "type Chunk struct {", "type Chunk struct {\n\tFuture Future `json:\"future\"`"},
	{"pkg/metatrain/message.go", "type Theta struct {", "type Theta struct {\n\tFuture Future `json:\"future\"`"},
	{"pkg/metatrain/message.go", "type Announce struct {", "type Announce struct {\n\tFuture Future `json:\"future\"`"},
	{"pkg/metatrain/message.go", "// Announce names", "// Future is what this release does not know.\ntype Future struct {\n\tWhat string `json:\"what\"`\n\tHow [2]int `json:\"how\"`\n}\n\n// Announce names"},
}

// another speaks another protocol.
var another = []change{{"pkg/metatrain/frame.go", "const Protocol = 1", "const Protocol = 2"}}

// release builds programs with changes to their sources, and returns the folder that they are in.
func release(t *testing.T, changes []change, programs ...string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sources, replace := map[string]string{}, map[string]string{}
	for _, c := range changes {
		path := filepath.Join(root, filepath.FromSlash(c.file))
		if sources[path] == "" {
			sources[path] = read(path)
		}
		if n := strings.Count(sources[path], c.old); n != 1 {
			t.Fatalf("%s: found %q %d times, expected once", c.file, c.old, n)
		}
		sources[path] = strings.Replace(sources[path], c.old, c.new, 1)
	}
	for path, text := range sources {
		replace[path] = filepath.Join(dir, strings.ReplaceAll(path, string(filepath.Separator), "_"))
		put(t, replace[path], text)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "overlay.json"), string(overlay))
	out := filepath.Join(dir, "bin")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", out + string(filepath.Separator)}
	for _, p := range programs {
		args = append(args, "../../cmd/"+p)
	}
	if said, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("build another release: %v\n%s", err, said)
	}
	return out
}

// A cluster is upgraded while it trains: a worker of an older release and one of a newer go on with this one's
// coordinator, and both with the newer one's, which says more than they know; one that speaks another protocol is refused
// by name, with what to do. The bits are those of an undisturbed run.
func TestG1_SameBitsThroughARollingUpgrade(t *testing.T) {
	long(t)
	want := get(t, "enduring")
	before, after, other := release(t, older, "worker"), release(t, newer, "worker", "coordinator"), release(t, another, "worker")
	c := newCluster(t)
	start := func(dir, name string, args ...string) *process {
		return program{args: append([]string{filepath.Join(dir, name)}, args...), env: c.access()}.start(t)
	}
	this := c.coordinator("--id", "this")
	this.await("leadership", func() bool { return leading(this) })
	start(before, "worker", "--slots", "1")
	start(after, "worker", "--slots", "1")
	train := c.command("train", enduringSpec(t), "--json").start(t)
	early := c.awaitRun("at step 400 by both workers", func(s status) bool { return s.total() >= 400 && s.Workers == 2 })
	if said := c.say("runs", "workers"); !strings.Contains(said, "v0.1-older") || !strings.Contains(said, "v9.9-newer") {
		t.Errorf("runs workers: found %q, expected both releases", said)
	}

	stranger := start(other, "worker", "--slots", "1")
	stranger.await("a refusal", func() bool {
		said := read(stranger.stderr)
		return strings.Contains(said, "speaks protocol 2, this coordinator 1") && strings.Contains(said, "run the same release on both")
	})
	stranger.kill()

	next := start(after, "coordinator", "--config", c.config(), "--id", "next")
	this.signal(syscall.SIGTERM)
	if code := this.wait(); code != 0 {
		t.Errorf("exit status %d after SIGTERM, expected 0", code)
	}
	next.await("leadership", func() bool { return leading(next) })
	c.awaitRun("400 steps on by both workers", func(s status) bool {
		return s.State != "active" || s.total() >= early.total()+400 && s.Workers == 2
	})
	if o := finished(t, train); o.SHA256 != want.model {
		t.Errorf("found base model %s, expected %s", o.SHA256, want.model)
	}
}
