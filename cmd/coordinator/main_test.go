package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

// logOf is what a run of the command says on stderr, and how it ends.
func logOf(t *testing.T, ctx context.Context, args ...string) (log string, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stderr")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stderr := os.Stderr
	os.Stderr = f
	err = run(ctx, args)
	os.Stderr = stderr
	data, readErr := os.ReadFile(path)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(data), err
}

// Told to end while it waits for a server, a coordinator ends well, and says so; without that, waiting in vain is a failure.
func TestG5_ToldToEndWhileItWaitsForAServer(t *testing.T) {
	for waits, args := range map[string][]string{
		"etcd": {"--store-dir", t.TempDir(), "--etcd", testservers.Nobody(t)},
		"S3":   {"--s3", "http://" + testservers.Nobody(t) + "/bucket", "--s3-access-key", "a", "--s3-secret-key", "s"},
		"NATS": {"--store-dir", t.TempDir(), "--etcd", testservers.Etcd(t).Endpoint, "--nats", "nats://" + testservers.Nobody(t)},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(500*time.Millisecond, cancel) // a deadline would be known beforehand
		log, err := logOf(t, ctx, append(args, "--wait", "1m")...)
		if err != nil || !strings.Contains(log, "ended before the start was through") {
			t.Errorf("%s: found error %v and log %q, expected no error and that it ended", waits, err, log)
		}
		if _, err := logOf(t, t.Context(), append(args, "--wait", "100ms")...); err == nil {
			t.Errorf("%s: found no error after waiting in vain", waits)
		}
	}
}

func TestG7_FlagsAreRefusedByName(t *testing.T) {
	for _, wrong := range [][]string{
		{"--lease", "1s"}, {"--lease", "2500ms"}, {"--max-store-outage", "1ms"}, {"--spool-limit", "0"},
		{"--theta-by-reference", "-1"}, {"--max-runs-per-user", "-1"},
	} {
		if err := run(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), wrong[0]) {
			t.Errorf("%v: found error %v, expected one that names the flag", wrong, err)
		}
	}
}
