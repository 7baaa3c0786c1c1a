//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

// cluster is real servers, each asking for credentials, for daemons to be started against. Its settings go to the
// programs in each of the ways there are: the command line's from the environment, a coordinator's from a file and,
// for secrets, from files that the file names.
type cluster struct {
	t    *testing.T
	nats *testservers.NATSServer
	etcd *testservers.EtcdServer
	s3   *testservers.S3
	dir  string // of the settings
}

const (
	natsUser, natsPassword = "fleet", "nats-secret"
	etcdUser, etcdPassword = "root", "etcd-secret"
	bucket                 = "models"
)

func newCluster(t *testing.T, opts ...testservers.Option) *cluster {
	t.Helper()
	c := &cluster{
		t: t, dir: t.TempDir(),
		nats: testservers.NATS(t, append(opts, testservers.Args("--user", natsUser, "--pass", natsPassword))...),
		etcd: testservers.Etcd(t),
		s3:   testservers.VersityGW(t),
	}
	c.protectEtcd()
	c.configure()
	return c
}

// configure writes the settings of coordinators and operators.
func (c *cluster) configure() {
	put(c.t, c.secret(), c.s3.SecretKey+"\n")
	settings := fmt.Sprintf("nats: %s\nnats-user: %s\nnats-password: %s\netcd: %s\netcd-user: %s\netcd-password: %s\ns3: %s/%s\ns3-access-key: %s\ns3-secret-key: '@%s'\n",
		c.nats.URL, natsUser, natsPassword, strings.TrimPrefix(c.etcd.Endpoint, "http://"), etcdUser, etcdPassword, c.s3.URL, bucket, c.s3.AccessKey, c.secret())
	put(c.t, c.operators(), settings)
	put(c.t, c.config(), settings+"lease: 2s\n")
}

func (c *cluster) config() string    { return filepath.Join(c.dir, "coordinator.yaml") }
func (c *cluster) operators() string { return filepath.Join(c.dir, "operator.yaml") }
func (c *cluster) secret() string    { return filepath.Join(c.dir, "s3-secret") }

// protectEtcd makes etcd ask for a password.
func (c *cluster) protectEtcd() {
	c.t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{c.etcd.Endpoint}, DialTimeout: 10 * time.Second})
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, do := range []func() error{
		func() error { _, err := client.RoleAdd(ctx, "root"); return err },
		func() error { _, err := client.UserAdd(ctx, etcdUser, etcdPassword); return err },
		func() error { _, err := client.UserGrantRole(ctx, etcdUser, "root"); return err },
		func() error { _, err := client.AuthEnable(ctx); return err },
	} {
		if err := do(); err != nil {
			c.t.Fatalf("protect etcd: %v", err)
		}
	}
}

// access is what workers and the command line need: NATS alone (G8).
func (c *cluster) access() []string {
	return []string{"WARMSTART_NATS=" + c.nats.URL, "WARMSTART_NATS_USER=" + natsUser, "WARMSTART_NATS_PASSWORD=" + natsPassword}
}

// coordinator starts a coordinator daemon.
func (c *cluster) coordinator(args ...string) *process {
	c.t.Helper()
	return program{args: append([]string{"coordinator", "--config", c.config()}, args...)}.start(c.t)
}

// worker starts a worker daemon, of two slots unless args say otherwise.
func (c *cluster) worker(args ...string) *process {
	c.t.Helper()
	return program{args: append([]string{"worker", "--slots", "2"}, args...), env: c.access()}.start(c.t)
}

// command is a command of the user's, told to use the cluster.
func (c *cluster) command(args ...string) program {
	return program{args: append([]string{"warmstart"}, append(args, "--cluster")...), env: c.access()}
}

// say runs a command that must succeed and returns its stdout.
func (c *cluster) say(args ...string) string {
	c.t.Helper()
	code, stdout, stderr := c.command(args...).run(c.t)
	if code != 0 {
		c.t.Fatalf("warmstart %s: exit status %d: %s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// status is what `runs show --json` tells of a run, as far as the tests look.
type status struct {
	Run     string `json:"run"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
	Track   int64  `json:"track"`
	Step    int64  `json:"step"`
	Steps   int64  `json:"steps"`
	Version int    `json:"version"`
	Workers int    `json:"workers"`
	Weight  int    `json:"weight"`
	Waits   []struct {
		Worker string `json:"worker"`
	} `json:"waits"`
}

// total is the steps done over all tracks.
func (s status) total() int64 { return s.Track*s.Steps + s.Step }

// runs lists the cluster's runs.
func (c *cluster) runs() []status {
	c.t.Helper()
	var list struct {
		Runs []status `json:"runs"`
	}
	if err := json.Unmarshal([]byte(c.say("runs", "ls", "--json")), &list); err != nil {
		c.t.Fatal(err)
	}
	return list.Runs
}

// awaitRun waits until the latest run is as holds wants it, and returns its status.
func (c *cluster) awaitRun(what string, holds func(status) bool) status {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if all := c.runs(); len(all) > 0 && holds(all[len(all)-1]) {
			return all[len(all)-1]
		}
	}
	c.t.Fatalf("waited %v for a run %s; there are %+v", patience, what, c.runs())
	return status{}
}

// waitsFor holds of a run that waits for a worker and says all of these. Before a worker has told the coordinator of
// itself the run says that none is known.
func waitsFor(parts ...string) func(status) bool {
	return func(s status) bool {
		for _, w := range s.Waits {
			missing := slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(w.Worker, part) })
			if !missing {
				return true
			}
		}
		return false
	}
}

// leading says whether a coordinator has led since it was started.
func leading(p *process) bool { return strings.Contains(read(p.stderr), "msg=leading") }
