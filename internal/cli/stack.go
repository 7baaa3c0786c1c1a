package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/warmstart-ml/warmstart/internal/backends"
	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/internal/etcdstate"
	"github.com/warmstart-ml/warmstart/internal/localstack"
	"github.com/warmstart-ml/warmstart/internal/natsbus"
	"github.com/warmstart-ml/warmstart/internal/settings"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/worker"
	"github.com/warmstart-ml/warmstart/pkg/workerd"
)

// openEmbedded brings everything up on this machine: NATS, etcd and the store in this process, a coordinator beside
// them, and workers as processes of their own. The drivers, wire form and state are those of a cluster.
func openEmbedded(ctx context.Context, f *trainFlags, fail func(error)) (*site, error) {
	logFile, log, err := stackLog(f.dataDir)
	if err != nil {
		return nil, err
	}
	stack, err := localstack.Start(ctx, localstack.Config{DataDir: f.dataDir, NATSListen: f.listen})
	if err != nil {
		return nil, err
	}
	user, password := stack.Credentials()
	bus, err := natsbus.Connect(ctx, natsbus.Config{InProcess: stack.InProcess(), User: user, Password: password, Name: "embedded",
		Failed: func(err error) { log.Warn("NATS", "err", err) }})
	if err != nil {
		stack.Stop()
		return nil, err
	}
	c, err := client.New(bus, "", log)
	if err != nil {
		stack.Stop()
		return nil, err
	}
	if err := bus.EnsureEvents(ctx); err != nil {
		log.Warn("no event history", "err", err)
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // outlasts ^C until close, so that the end is orderly
	var parts sync.WaitGroup
	id := fmt.Sprintf("embedded-%d", os.Getpid())
	parts.Go(func() {
		coordinator.Run(life, coordinator.Config{ID: id, Log: log, StorePatience: embeddedPatience, Machine: metatrain.Config{ShardTasks: f.shardTasks}},
			backends.Elector{State: etcdstate.FromClient(stack.EtcdClient(), ""), ID: id, TTL: embeddedLease}, bus, stack.Store())
	})
	parts.Go(func() {
		select {
		case <-stack.Done():
			fail(stack.Err())
		case <-life.Done():
		}
	})
	for range f.workers {
		parts.Go(func() { superviseWorker(life, stack.NATSURL(), f.memory, logFile, log) })
	}
	return &site{
		client: c, getter: stack.Store(),
		place: func(model string, n int64) string {
			folder, _ := filepath.Abs(filepath.Join(f.dataDir, "store", filepath.FromSlash(checkpoint.VersionFolder(model, n))))
			return folder
		},
		alone: func(ctx context.Context, run string) error { return pauseOthers(ctx, c, run) },
		close: func() {
			end()
			parts.Wait()
			c.Close()
			bus.Close()
			if err := stack.Stop(); err != nil {
				log.Error("stop", "err", err)
			}
			logFile.Close()
		},
	}, nil
}

// embeddedPatience is how long a write to this machine's own disk is retried before people hear of it: what fails there,
// a full disk above all, does not pass by itself.
const embeddedPatience = 3 * time.Second

// embeddedLease is the leadership lease on one machine, where nobody else campaigns: the lease of a former life of this
// process is revoked when etcd starts. A short one would only be lost where other programs starve this one, and the steps
// since the last checkpoint with it.
const embeddedLease = 30 * time.Second

// stackLog opens the log of the embedded stack, which keeps the terminal free for progress.
func stackLog(dataDir string) (*os.File, *slog.Logger, error) {
	folder := filepath.Join(dataDir, "log")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, nil, fmt.Errorf("make the data folder: %w; --data-dir names another", err)
	}
	f, err := os.OpenFile(filepath.Join(folder, "warmstart.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("open the log: %w; --data-dir names another folder", err)
	}
	return f, slog.New(slog.NewTextHandler(f, nil)), nil
}

// pauseOthers leaves the machine to one run: what an interrupted command left active waits until its own command.
func pauseOthers(ctx context.Context, c *client.Client, run string) error {
	all, _, err := c.Runs(ctx, "")
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.State == metatrain.Active && r.Run != run {
			if err := c.Control(ctx, r.Run, "pause"); err != nil {
				return err
			}
		}
	}
	return nil
}

// superviseWorker keeps one worker process running: one that dies begins another life.
func superviseWorker(ctx context.Context, url string, memory worker.Bytes, logFile *os.File, log *slog.Logger) {
	self, err := os.Executable()
	if err != nil {
		log.Error("start worker", "err", err)
		return
	}
	wait := 100 * time.Millisecond
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, self, "embedded-worker")
		cmd.Env = append(os.Environ(), "WARMSTART_NATS="+url, fmt.Sprintf("WARMSTART_MEMORY=%d", int64(memory)), "GOMAXPROCS=1")
		cmd.Stdout, cmd.Stderr = logFile, logFile
		cmd.SysProcAttr = workerProcess()
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 3 * time.Second
		began := time.Now()
		err := cmd.Run()
		if ctx.Err() != nil {
			return
		}
		log.Warn("worker process ended; starting another", "err", err)
		if time.Since(began) > 10*time.Second {
			wait = 100 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// clusterWorker is the daemon of cmd/worker, with this program's families.
func clusterWorker(ctx context.Context, env *environment, args []string) error {
	err := workerd.Run(ctx, args, env.kinds)
	if errors.Is(err, settings.ErrUsage) {
		return usageError{err.Error()}
	}
	return err
}

// embeddedWorker is the worker process of the embedded stack.
func embeddedWorker(ctx context.Context, env *environment, args []string) error {
	var c connection
	var memory worker.Bytes
	set := env.flags()
	c.add(set)
	set.Var(&memory, "memory", "`amount` it may take")
	if _, err := c.parse(set, args); err != nil {
		return err
	}
	log, err := c.common.Log()
	if err != nil {
		return err
	}
	cl, end, err := c.nats.Client(ctx, &c.common, fmt.Sprintf("worker/%d", os.Getpid()), log)
	if err != nil {
		return err
	}
	defer end()
	memory.Limit()
	return worker.Run(ctx, worker.Config{Log: log, Memory: memory}, cl, env.kinds)
}
