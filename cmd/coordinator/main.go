// Command coordinator leads meta-training runs, or stands by to: any number may run, one has effect. `coordinator health`,
// with the same flags, tells by its exit status whether it can.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/warmstart-ml/warmstart/internal/backends"
	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/internal/doctor"
	"github.com/warmstart-ml/warmstart/internal/s3store"
	"github.com/warmstart-ml/warmstart/internal/settings"
	"github.com/warmstart-ml/warmstart/internal/wiring"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

func main() {
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	os.Exit(settings.Exit("coordinator", run(ctx, os.Args[1:])))
}

// options are what the flags say.
type options struct {
	common wiring.Common
	nats   wiring.NATS
	etcd   backends.Etcd
	store  backends.Store
	debug  wiring.Debug

	id                   string
	ttl, outage          time.Duration
	window, share, shard int // MiB, MiB, tasks
	spool                string
	spoolLimit           int // MiB
	mostRuns             int
	metrics              string // address
}

// flags adds them to fs.
func (o *options) flags(fs *flag.FlagSet) {
	o.debug.Flags(fs)
	o.common.Flags(fs)
	o.nats.Flags(fs)
	o.etcd.Flags(fs)
	o.store.Flags(fs)
	fs.StringVar(&o.id, "id", "", "`name` of this coordinator in logs; default host and process")
	fs.DurationVar(&o.ttl, "lease", 4*time.Second, "leadership lease: a leader that dies is replaced after about so `long`; whole seconds, at least 2")
	fs.IntVar(&o.window, "window", 256, "`MiB` of partial sums held per run; results beyond wait at their workers")
	fs.IntVar(&o.share, "theta-by-reference", 32, "parameters of so many `MiB` or more are put into the S3 store once, for workers to read there by an address that is handed to them; who cannot reach it has them from here. 0 = never")
	fs.IntVar(&o.shard, "shard-tasks", 0, "`tasks` per shard, for experiments; 0 sizes shards from observed durations. Never changes bits")
	fs.DurationVar(&o.outage, "max-store-outage", 10*time.Minute, "how `long` a run trains on while the store does not take its state; then it waits, and goes on by itself")
	fs.StringVar(&o.spool, "spool", "", "`folder` of this machine's disk that keeps each run's newest state while the store does not take it, from where a coordinator resumes; empty keeps states in memory alone")
	fs.IntVar(&o.spoolLimit, "spool-limit", 4096, "`MiB` that the spool holds at most")
	fs.IntVar(&o.mostRuns, "max-runs-per-user", 0, "active `runs` that one user may have, by the name their command line gives; 0 = as many as they like")
	fs.StringVar(&o.metrics, "metrics", "", "`address`, as in 127.0.0.1:9090, that serves Prometheus metrics under /metrics; it asks for no password. Empty serves none")
}

// check refuses what no coordinator can do.
func (o *options) check() error {
	switch {
	case o.ttl < 2*time.Second || o.ttl%time.Second != 0:
		return fmt.Errorf("--lease: found %v, expected whole seconds, at least 2s", o.ttl)
	case o.outage < time.Second:
		return fmt.Errorf("--max-store-outage: found %v, expected at least 1s", o.outage)
	case o.spoolLimit < 1:
		return fmt.Errorf("--spool-limit: found %d, expected at least 1", o.spoolLimit)
	case o.share < 0 || o.share > 1024:
		return fmt.Errorf("--theta-by-reference: found %d, expected 0 to 1024", o.share)
	case o.mostRuns < 0:
		return fmt.Errorf("--max-runs-per-user: found %d, expected 0 or more", o.mostRuns)
	}
	return nil
}

// machine is what the outer loop is told.
func (o *options) machine() metatrain.Config {
	return metatrain.Config{
		Window: o.window << 20, ShardTasks: o.shard, ShareBytes: o.share << 20,
		MaxRunsPerUser: o.mostRuns, MaxStoreOutageMS: o.outage.Milliseconds(),
	}
}

func run(ctx context.Context, args []string) error {
	var o options
	fs := flag.NewFlagSet("coordinator", flag.ContinueOnError)
	o.flags(fs)
	asked := len(args) > 0 && args[0] == "health"
	if asked {
		args = args[1:]
	}
	if err := settings.Parse(fs, args, os.LookupEnv); err != nil {
		return err
	}
	if asked {
		return health(ctx, &o.common, &o.nats, &o.etcd)
	}
	log, err := o.common.Log()
	if err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	stop, err := o.debug.Serve(log)
	if err != nil {
		return err
	}
	defer stop()
	var watch *coordinator.Watch // nil: nobody looks
	if o.metrics != "" {
		watch = &coordinator.Watch{}
		stopMetrics, err := serveMetrics(o.metrics, watch.Metrics(), log)
		if err != nil {
			return err
		}
		defer stopMetrics()
	}
	err = o.coordinate(ctx, log, watch)
	if err != nil && ctx.Err() != nil { // told to end before it began: that is no failure
		log.Info("ended before the start was through", "left", err)
		return nil
	}
	return err
}

// coordinate reaches the servers, then leads or stands by until ctx ends.
func (o *options) coordinate(ctx context.Context, log *slog.Logger, watch *coordinator.Watch) error {
	host, _ := os.Hostname()
	name := cmp.Or(o.id, fmt.Sprintf("%s-%d", host, os.Getpid()))
	looks := doctor.Config{Common: o.common, NATS: o.nats, Etcd: o.etcd, Store: o.store, Log: log}
	objects, err := o.store.Open(ctx, &o.common, log)
	if errors.Is(err, s3store.ErrClock) {
		doctor.NameClocks(ctx, looks)
	}
	if err != nil {
		return err
	}
	state, err := o.etcd.Connect(ctx, &o.common, log)
	if err != nil {
		return err
	}
	defer state.Close()
	bus, err := o.nats.Connect(ctx, &o.common, "coordinator "+name, log)
	if err != nil {
		return err
	}
	defer bus.Close()
	if err := bus.EnsureEvents(ctx); err != nil {
		log.Warn("followers see no history", "err", err)
	}
	kept, err := openSpool(ctx, o.spool, o.common.Prefix, o.spoolLimit)
	if err != nil {
		return err
	}
	harm := doctor.Watch{Config: looks, Bus: bus}
	go harm.Run(ctx)
	coordinator.Run(ctx, coordinator.Config{
		ID: name, Prefix: o.common.Prefix, Log: log, Spool: kept, NewCluster: rand.Text, Machine: o.machine(), Watch: watch,
	}, backends.Elector{State: state, ID: name, TTL: o.ttl}, bus, objects)
	return nil
}

// openSpool gives each prefix a folder of its own: of another cluster's states nothing is known here. nil: no folder is
// named.
func openSpool(ctx context.Context, folder, prefix string, limit int) (*coordinator.Spool, error) {
	if folder == "" {
		return nil, nil
	}
	return coordinator.OpenSpool(ctx, filepath.Join(folder, prefix), int64(limit)<<20)
}
