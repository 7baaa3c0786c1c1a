//go:build linux

package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The first holder of a data dir, or of a port, is named to the second and not disturbed.
func TestG7_DataDirAndPortAreHeldByOne(t *testing.T) {
	long(t)
	t.Parallel()
	want := get(t, "enduring")
	tr := training{spec: enduringSpec(t)}
	p := tr.command(t).start(t)
	tr.awaitDurable(p, 200)
	short := write(t, "waves.yaml", sinusoid)
	says(t, warmstart(t, 1, "train", short, "--data-dir", tr.dataDir), "in use", tr.dataDir, fmt.Sprint(p.pid()), "--data-dir")

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	says(t, warmstart(t, 1, "train", short, "--listen", taken.Addr().String()), taken.Addr().String(), "taken", fmt.Sprint(os.Getpid()), "--listen")
	says(t, warmstart(t, 1, "train", short, "--listen", "nowhere"), "nowhere", "host:port", "--listen")

	blocked := write(t, "file", "")
	says(t, warmstart(t, 1, "train", short, "--data-dir", filepath.Join(blocked, "data")), blocked, "not a directory", "--data-dir")

	if found := bitsOf(t, finished(t, p)); found != want {
		t.Errorf("found %+v\nexpected %+v", found, want)
	}
}

// A full disk is refused at the start. One that fills up in the middle is named: where only the store meets it, the run
// waits and goes on once there is room; where the embedded etcd does, the command ends and the same one resumes. Either
// way to the same bits.
func TestG7_NoDiskSpace(t *testing.T) {
	long(t)
	if os.Geteuid() != 0 {
		t.Skip("mounts a small file system, which takes root")
	}
	t.Parallel()
	want := get(t, "enduring")
	small := mount(t, "20m")
	says(t, warmstart(t, 1, "train", write(t, "waves.yaml", sinusoid), "--data-dir", filepath.Join(small, "data")), "no disk space", small, "--data-dir")

	disk := mount(t, "200m")
	tr := training{spec: enduringSpec(t), dataDir: filepath.Join(disk, "data")}
	p := tr.command(t).start(t)
	tr.awaitDurable(p, 500)
	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	for deadline := time.Now().Add(patience); !p.over() && !strings.Contains(read(p.stderr), "no space left"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for word of the full disk", patience)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(); code != 0 { // etcd met it, then or a moment later
		says(t, read(p.stderr), "no disk space", "the same command goes on", disk, "--data-dir")
		if code != 1 {
			t.Errorf("exit status %d, expected 1", code)
		}
		p = tr.command(t).start(t)
	}
	if found := bitsOf(t, finished(t, p)); found != want {
		t.Errorf("found %+v\nexpected %+v", found, want)
	}
}

// mount gives a file system of its own of that size.
func mount(t *testing.T, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mount a file system of %s: %v", size, err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill writes until nothing more fits.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, zeros{}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Fatalf("fill %s: found %v, expected no space left", path, err)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// unreachable is what a program says of a server that is not there: who, where, since when, until when, what to do.
func unreachable(who, where string) []string {
	return []string{who, where, "since " + time.Now().Format("15:"), "tried until " + time.Now().Format("15:"), "check"}
}

// Each server in turn is not there, then refuses the credentials.
func TestG7_ServersThatAreNotThereOrRefuse(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	spec := write(t, "waves.yaml", sinusoid)
	// Nobody listens on port 1.
	for _, w := range []struct {
		name string
		code int
		args []string
		env  []string
		says []string
	}{
		{"coordinator: NATS", 1, []string{"coordinator", "--config", c.config(), "--nats", "nats://127.0.0.1:1"}, nil, unreachable("NATS", "127.0.0.1:1")},
		{"coordinator: etcd", 1, []string{"coordinator", "--config", c.config(), "--etcd", "127.0.0.1:1"}, nil, unreachable("etcd", "127.0.0.1:1")},
		{"coordinator: S3", 1, []string{"coordinator", "--config", c.config(), "--s3", "http://127.0.0.1:1/" + bucket}, nil, []string{"S3 server unreachable", "127.0.0.1:1", "since ", "tries", "check"}},
		{"worker: NATS", 1, []string{"worker", "--nats", "nats://127.0.0.1:1"}, nil, unreachable("NATS", "127.0.0.1:1")},
		{"train: NATS", 1, []string{"warmstart", "train", spec, "--cluster", "--nats", "nats://127.0.0.1:1"}, nil, unreachable("NATS", "127.0.0.1:1")},
		{"train: no coordinator", 1, []string{"warmstart", "train", spec, "--cluster"}, c.access(), []string{"no coordinator leads", "since " + time.Now().Format("15:"), "check that a coordinator runs"}},
		{"models: no coordinator", 1, []string{"warmstart", "models", "ls", "--cluster"}, c.access(), []string{"no coordinator leads", "check that a coordinator runs"}},
		{"coordinator: NATS password", 1, []string{"coordinator", "--config", c.config(), "--nats-password", "wrong"}, nil, []string{"NATS", natsUser, "credentials refused"}},
		{"coordinator: etcd password", 1, []string{"coordinator", "--config", c.config(), "--etcd-password", "wrong"}, nil, []string{"etcd", etcdUser, "credentials refused"}},
		{"coordinator: no etcd user", 1, []string{"coordinator", "--config", c.config(), "--etcd-user", "", "--etcd-password", ""}, nil, []string{"etcd", "credentials refused"}},
		{"coordinator: S3 secret", 1, []string{"coordinator", "--config", c.config(), "--s3-secret-key", "wrong"}, nil, []string{"S3", "redentials"}},
		{"coordinator: S3 key", 1, []string{"coordinator", "--config", c.config(), "--s3-access-key", "wrong"}, nil, []string{"S3", "redentials"}},
		{"coordinator: secret file is not there", 1, []string{"coordinator", "--config", c.config(), "--s3-secret-key", "@/nowhere/secret"}, nil, []string{"s3-secret-key", "/nowhere/secret", "no such file"}},
		{"worker: NATS password", 1, []string{"worker", "--nats-password", "wrong"}, c.access(), []string{"NATS", natsUser, "credentials refused"}},
		{"worker: no NATS user", 1, []string{"worker", "--nats", c.nats.URL}, nil, []string{"NATS", "credentials refused"}},
		{"train: NATS password", 1, []string{"warmstart", "train", spec, "--cluster", "--nats-password", "wrong"}, c.access(), []string{"NATS", natsUser, "credentials refused"}},
	} {
		t.Run(w.name, func(t *testing.T) {
			began := time.Now()
			code, _, stderr := program{args: append(w.args, "--wait", "2s"), env: w.env}.run(t)
			if code != w.code {
				t.Errorf("exit status %d, expected %d", code, w.code)
			}
			if took := time.Since(began); took > 60*time.Second {
				t.Errorf("gave up after %v, expected about 2 s", took)
			}
			says(t, lastLine(stderr), w.says...)
			if strings.Contains(stderr, "secret\n") || strings.Contains(stderr, natsPassword) || strings.Contains(stderr, etcdPassword) {
				t.Errorf("found a password in %q", stderr)
			}
		})
	}
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
