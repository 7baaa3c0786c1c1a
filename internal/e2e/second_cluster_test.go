//go:build linux

package e2e

import (
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

// A second cluster with an etcd of its own, started on the first one's bucket: its coordinator never leads and says whose
// the store is and what to do; the doctor says the same. With a folder of its own, but still on the first one's NATS
// prefix, it is named to both logs.
func TestG4_SecondClusterIsNamed(t *testing.T) {
	c := newCluster(t)
	lease := []string{"--lease", "20s"} // a busy machine ends no leadership
	first := c.coordinator(append(lease, "--id", "first")...)
	first.await("leadership", func() bool { return leading(first) })

	own := testservers.Etcd(t)
	theirs := []string{"--etcd", strings.TrimPrefix(own.Endpoint, "http://"), "--etcd-user", "", "--etcd-password", ""}
	second := c.coordinator(append(theirs, "--id", "second")...)
	second.await("a refusal", func() bool {
		log := read(second.stderr)
		return strings.Contains(log, "another cluster uses this store") && strings.Contains(log, "FOLDER")
	})
	if leading(second) {
		t.Error("two clusters lead on one store")
	}
	second.kill()
	doctor := append([]string{"warmstart", "doctor", "--config", c.operators()}, theirs...)
	code, stdout, stderr := program{args: doctor}.run(t)
	if code != 1 {
		t.Errorf("doctor: exit status %d", code)
	}
	says(t, stdout+stderr, "cluster", "another cluster uses this store")

	apart := c.coordinator(append(append(theirs, lease...), "--id", "apart", "--s3", c.s3.URL+"/"+bucket+"/apart")...)
	apart.await("leadership", func() bool { return leading(apart) })
	late := c.coordinator(append(lease, "--id", "late")...) // of the first cluster: each looks when it starts
	late.await("word of two clusters", func() bool {
		log := read(late.stderr)
		return strings.Contains(log, "two clusters share it") && strings.Contains(log, "first") && strings.Contains(log, "apart")
	})
}
