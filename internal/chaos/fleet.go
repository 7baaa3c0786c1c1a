package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

const (
	nodes, coordinators, workers = 3, 2, 4

	bucket = "models"
)

// fleet is the whole cluster.
type fleet struct {
	dir     string
	log     *timeline
	fail    context.CancelCauseFunc // ends everything: something broke that must not
	net     *testservers.Network
	nats    []*testservers.NATSNode
	etcd    []*testservers.EtcdNode
	s3      *testservers.S3Node
	members map[string]*member
	order   []*member // servers first: the order to start in
}

// member is a process of the fleet and what the faults need of it.
type member struct {
	*testservers.Process
	debug string       // host:port of its profiles; "" for servers
	busy  bool         // a fault is at work on it; touched by the injector alone
	down  atomic.Bool  // ended on purpose: the supervisor leaves it
	began atomic.Int64 // its last start, Unix milliseconds
}

// newFleet builds the programs and prepares all processes; nothing runs yet.
func newFleet(ctx context.Context, o *options, dir string, log *timeline, fail context.CancelCauseFunc) (*fleet, error) {
	f := &fleet{dir: dir, log: log, fail: fail, net: testservers.NewNetwork(), members: map[string]*member{}}
	log.say("building the programs; logs in %s", dir)
	if err := f.build(ctx, o.race); err != nil {
		return nil, err
	}
	var err error
	if f.nats, err = testservers.NewNATSCluster(f.net, dir, nodes); err != nil {
		return nil, err
	}
	if f.etcd, err = testservers.NewEtcdCluster(f.net, dir, nodes); err != nil {
		return nil, err
	}
	for i := range nodes {
		f.add(f.nats[i].Process, "")
		f.add(f.etcd[i].Process, "")
	}
	if f.s3, err = testservers.NewVersityGW(f.net, dir); err != nil {
		return nil, err
	}
	f.add(f.s3.Process, "")
	ports, err := testservers.LastingPorts(coordinators + workers)
	if err != nil {
		return nil, err
	}
	for i := range coordinators {
		name := fmt.Sprintf("coordinator-%d", i+1)
		f.program(name, ports[i], "coordinator", "--id", name, "--etcd", f.etcdGates(), "--s3", f.s3.Gate+"/"+bucket,
			"--s3-access-key", f.s3.AccessKey, "--s3-secret-key", f.s3.SecretKey, "--s3-region", f.s3.Region,
			"--spool", filepath.Join(f.dir, "spool"))
	}
	for i := range workers {
		f.program(fmt.Sprintf("worker-%d", i+1), ports[coordinators+i], "worker", "--slots", "1")
	}
	return f, nil
}

func (f *fleet) build(ctx context.Context, race bool) error {
	args := []string{"build", "-o", f.bin("") + string(filepath.Separator), "./cmd/coordinator", "./cmd/worker", "./cmd/warmstart"}
	cgo := "CGO_ENABLED=0"
	if race {
		args, cgo = slices.Insert(args, 1, "-race"), "CGO_ENABLED=1"
	}
	build := exec.CommandContext(ctx, "go", args...)
	build.Env = append(os.Environ(), cgo)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	return nil
}

func (f *fleet) bin(name string) string { return filepath.Join(f.dir, "bin", name) }

func (f *fleet) add(p *testservers.Process, debug string) {
	m := &member{Process: p, debug: debug}
	f.members[p.Name] = m
	f.order = append(f.order, m)
}

// program prepares one of ours.
func (f *fleet) program(name string, port int, binary string, args ...string) {
	debug := fmt.Sprintf("127.0.0.1:%d", port)
	p := &testservers.Process{Name: name, Path: f.bin(binary), Dir: f.dir, Log: filepath.Join(f.dir, name+".log"), Env: clean(),
		Args: append([]string{"--nats", f.natsGates(), "--debug", debug}, args...)}
	f.net.Join(p)
	f.add(p, debug)
}

// clean empties the variables that would lead a program elsewhere.
func clean() []string {
	var env []string
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "WARMSTART_") {
			env = append(env, name+"=")
		}
	}
	return env
}

func (f *fleet) natsGates() string {
	var all []string
	for _, n := range f.nats {
		all = append(all, "nats://"+n.Client)
	}
	return strings.Join(all, ",")
}

func (f *fleet) natsOwn() string {
	var all []string
	for _, n := range f.nats {
		all = append(all, "nats://"+n.Own)
	}
	return strings.Join(all, ",")
}

func (f *fleet) etcdGates() string {
	var all []string
	for _, n := range f.etcd {
		all = append(all, n.Client)
	}
	return strings.Join(all, ",")
}

// start brings everything up, the servers first, and has them supervised until ctx ends.
func (f *fleet) start(ctx context.Context) error {
	f.log.say("starting %d nats-server, %d etcd, an S3 server, %d coordinators, %d workers", nodes, nodes, coordinators, workers)
	for _, m := range f.order {
		if m.debug != "" {
			continue
		}
		if err := f.launch(m); err != nil {
			return err
		}
	}
	for _, e := range f.etcd {
		if err := poll(ctx, time.Minute, e.Name, func() error { return e.Healthy(ctx) }); err != nil {
			return err
		}
	}
	for _, m := range f.order {
		if m.debug == "" {
			continue
		}
		if err := f.launch(m); err != nil {
			return err
		}
	}
	go f.supervise(ctx)
	return nil
}

// launch starts a member that is down.
func (f *fleet) launch(m *member) error {
	m.began.Store(time.Now().UnixMilli())
	_, err := m.Launch()
	m.down.Store(false)
	return err
}

// fell ends a member on purpose.
func (f *fleet) fell(m *member) {
	m.down.Store(true)
	m.Kill()
}

// startWait is how long our programs look for servers before they end, and then some.
const startWait = 25 * time.Second

// supervise starts again what ended by itself, as compose or systemd would. It tells of each: a program of ours may
// end only because the servers were out of reach when it started.
func (f *fleet) supervise(ctx context.Context) {
	for pause(ctx, 200*time.Millisecond) {
		for _, m := range f.order {
			if m.down.Load() || m.PID() != 0 {
				continue
			}
			lived := time.Since(time.UnixMilli(m.began.Load()))
			f.log.say("%s ended by itself after %.1f s: %s", m.Name, lived.Seconds(), lastLines(m.Tail(), 1))
			if err := f.launch(m); err != nil {
				f.log.say("%v", err)
			}
			if m.debug != "" && lived > startWait {
				f.fail(fmt.Errorf("%s ended by itself after %.1f s of service; see its log", m.Name, lived.Seconds()))
			}
		}
	}
}

// stop ends all processes.
func (f *fleet) stop() error {
	for i := range f.order {
		m := f.order[len(f.order)-1-i]
		f.fell(m)
	}
	return f.net.Close()
}

// poll asks until there is no error, at most for so long.
func poll(ctx context.Context, patience time.Duration, what string, ask func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := ask()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v for %s: %w", patience, what, err)
		}
		if !pause(ctx, 10*time.Millisecond) {
			return fmt.Errorf("wait for %s: %w", what, errors.Join(err, ctx.Err()))
		}
	}
}

// pause waits; false: ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
