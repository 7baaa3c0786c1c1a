//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What container health checks call: a daemon is well when the leader answers, and a worker when the leader knows it.
func TestHealthOfDaemons(t *testing.T) {
	c := newCluster(t)
	ofCoordinator := program{args: []string{"coordinator", "health", "--config", c.config()}}
	ofWorker := program{args: []string{"worker", "health"}, env: c.access()}

	unwell(t, ofCoordinator, "no coordinator leads")
	unwell(t, ofWorker, "no coordinator leads")
	c.coordinator()
	becomes(t, ofCoordinator, "")
	unwell(t, ofWorker, "hears from 0 workers")
	worker := c.worker("--slots", "1")
	becomes(t, ofWorker, "")
	worker.kill()
	becomes(t, ofWorker, "hears from 0 workers")

	c.etcd.Kill()
	unwell(t, ofCoordinator, "etcd")
	c.nats.Kill()
	unwell(t, ofWorker, "NATS")
}

// unwell expects exit status 1 and a reason.
func unwell(t *testing.T, p program, reason string) {
	t.Helper()
	if err := healthIs(t, p, reason); err != nil {
		t.Fatal(err)
	}
}

// becomes waits for health, or for a reason why not.
func becomes(t *testing.T, p program, reason string) {
	t.Helper()
	err := healthIs(t, p, reason)
	for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); err = healthIs(t, p, reason) {
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func healthIs(t *testing.T, p program, reason string) error {
	code, _, stderr := p.run(t)
	if reason == "" && code != 0 || reason != "" && (code != 1 || !strings.Contains(stderr, reason)) {
		return fmt.Errorf("%v: found status %d (%s), expected reason %q", p.args, code, strings.TrimSpace(stderr), reason)
	}
	return nil
}
