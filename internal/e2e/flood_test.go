//go:build linux

package e2e

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

// On every subject that anybody in a cluster listens to, NATS carries what is malformed, cut short, too large, said before
// or forged in another's name, and answers of nobody's, while two workers train: the run ends with the bits of an
// undisturbed one, nobody ends or starts anew, and each log names a source once and at ten times the number.
func TestG7_FloodedClusterGivesTheSameBits(t *testing.T) {
	long(t)
	want := get(t, "enduring")
	c, monitor := newWatchedCluster(t)
	leader := c.coordinator("--lease", "20s") // a busy machine does not end it
	workers := []*process{c.worker(), c.worker()}
	leader.await("leadership", func() bool { return leading(leader) })
	train := c.command("train", enduringSpec(t), "--json").start(t)
	c.awaitRun("at step 100", func(s status) bool { return s.total() >= 100 })

	ops := operations(t)
	if found := subscriptions(t, monitor); !slices.Equal(found, ears) {
		t.Fatalf("found subjects %v listened to, expected %v: add the new one to this test", found, ears)
	}
	targets := append(slices.DeleteFunc(slices.Clone(ears), func(e string) bool { return e == "lead" }), ops...)
	for _, ear := range targets {
		if forgeries[ear] == nil {
			t.Fatalf("%s is listened to, and not forged: add it to this test", ear)
		}
	}

	f := newFlooder(t, c)
	f.learn()
	for _, ear := range append(slices.Clone(targets), "unheard-of") {
		f.nonsense(ear, 150)
	}
	const most = 3000
	rounds := 0
	for ; rounds < most && !train.over(); rounds++ {
		for _, ear := range targets {
			f.round(ear)
		}
		time.Sleep(20 * time.Millisecond)
	}
	f.mu.Lock()
	if rounds < 50 || f.lies < 50 {
		t.Errorf("the run ended after %d rounds and %d forged answers: too few to prove anything", rounds, f.lies)
	}
	t.Logf("%d rounds of %d subjects, %d forged answers", rounds, len(targets), f.lies)
	f.mu.Unlock()
	f.nc.Close()

	if o := finished(t, train); o.SHA256 != want.model {
		t.Errorf("found base model %s, expected %s", o.SHA256, want.model)
	}
	log := read(leader.stderr)
	if n := strings.Count(log, "msg=leading "); n != 1 || leader.over() {
		t.Errorf("the coordinator led %d times, expected once; ended: %v", n, leader.over())
	}
	for _, op := range append(ops, "unheard-of") {
		for _, count := range []int{1, 10, 100} {
			if n := refusalLines(log, op, "connection _INBOX.flood-nonsense", count); n != 1 {
				t.Errorf("found %d lines on %d refusals of %s, expected one", n, count, op)
			}
		}
	}
	for _, w := range workers {
		if w.over() {
			t.Error("a worker ended")
		}
		for _, what := range []string{"passed over an announcement", "passed over a broadcast"} {
			lines := regexp.MustCompile(fmt.Sprintf(`(?m)^.*%s.* count=(\d+) .*$`, what)).FindAllStringSubmatch(read(w.stderr), -1)
			if len(lines) == 0 || len(lines) > 2*6 { // of each slot, at 1, 10, 100, ... 100,000
				t.Errorf("found %d lines of a worker that say %q", len(lines), what)
			}
		}
	}
}

// refusalLines counts the log's lines on one count of a source's refusals.
func refusalLines(log, op, source string, count int) (n int) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"refused a request"`) && strings.Contains(line, " op="+op+" ") && strings.Contains(line, source) && strings.Contains(line, fmt.Sprintf(" count=%d ", count)) {
			n++
		}
	}
	return n
}

// newWatchedCluster also tells where NATS's own monitoring answers.
func newWatchedCluster(t *testing.T) (c *cluster, monitor string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	c = newCluster(t, testservers.Args("--http_port", port))
	return c, "http://127.0.0.1:" + port
}
