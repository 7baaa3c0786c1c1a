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

func run(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("coordinator", flag.ContinueOnError)
	var common wiring.Common
	var nats wiring.NATS
	var etcd backends.Etcd
	var store backends.Store
	var debug wiring.Debug
	debug.Flags(fs)
	common.Flags(fs)
	nats.Flags(fs)
	etcd.Flags(fs)
	store.Flags(fs)
	id := fs.String("id", "", "`name` of this coordinator in logs; default host and process")
	ttl := fs.Duration("lease", 4*time.Second, "leadership lease: a leader that dies is replaced after about so `long`; whole seconds, at least 2")
	window := fs.Int("window", 256, "`MiB` of partial sums held per run; results beyond wait at their workers")
	share := fs.Int("theta-by-reference", 32, "parameters of so many `MiB` or more are put into the S3 store once, for workers to read there by an address that is handed to them; who cannot reach it has them from here. 0 = never")
	shard := fs.Int("shard-tasks", 0, "`tasks` per shard, for experiments; 0 sizes shards from observed durations. Never changes bits")
	outage := fs.Duration("max-store-outage", 10*time.Minute, "how `long` a run trains on while the store does not take its state; then it waits, and goes on by itself")
	spool := fs.String("spool", "", "`folder` of this machine's disk that keeps each run's newest state while the store does not take it, from where a coordinator resumes; empty keeps states in memory alone")
	spoolLimit := fs.Int("spool-limit", 4096, "`MiB` that the spool holds at most")
	most := fs.Int("max-runs-per-user", 0, "active `runs` that one user may have, by the name their command line gives; 0 = as many as they like")
	asked := len(args) > 0 && args[0] == "health"
	if asked {
		args = args[1:]
	}
	if err := settings.Parse(fs, args, os.LookupEnv); err != nil {
		return err
	}
	if asked {
		return health(ctx, &common, &nats, &etcd)
	}
	log, err := common.Log()
	if err != nil {
		return err
	}
	if *ttl < 2*time.Second || *ttl%time.Second != 0 {
		return fmt.Errorf("--lease: found %v, expected whole seconds, at least 2s", *ttl)
	}
	stop, err := debug.Serve(log)
	if err != nil {
		return err
	}
	defer stop()
	if *outage < time.Second {
		return fmt.Errorf("--max-store-outage: found %v, expected at least 1s", *outage)
	}
	if *spoolLimit < 1 {
		return fmt.Errorf("--spool-limit: found %d, expected at least 1", *spoolLimit)
	}
	if *share < 0 || *share > 1024 {
		return fmt.Errorf("--theta-by-reference: found %d, expected 0 to 1024", *share)
	}
	if *most < 0 {
		return fmt.Errorf("--max-runs-per-user: found %d, expected 0 or more", *most)
	}
	host, _ := os.Hostname()
	name := cmp.Or(*id, fmt.Sprintf("%s-%d", host, os.Getpid()))
	looks := doctor.Config{Common: common, NATS: nats, Etcd: etcd, Store: store, Log: log}
	objects, err := store.Open(ctx, &common, log)
	if errors.Is(err, s3store.ErrClock) {
		doctor.NameClocks(ctx, looks)
	}
	if err != nil {
		return err
	}
	state, err := etcd.Connect(ctx, &common, log)
	if err != nil {
		return err
	}
	defer state.Close()
	bus, err := nats.Connect(ctx, &common, "coordinator "+name, log)
	if err != nil {
		return err
	}
	defer bus.Close()
	if err := bus.EnsureEvents(ctx); err != nil {
		log.Warn("followers see no history", "err", err)
	}
	kept, err := openSpool(ctx, *spool, common.Prefix, *spoolLimit)
	if err != nil {
		return err
	}
	watch := doctor.Watch{Config: looks, Bus: bus}
	go watch.Run(ctx)
	coordinator.Run(ctx, coordinator.Config{
		ID: name, Prefix: common.Prefix, Log: log, Spool: kept, NewCluster: rand.Text,
		Machine: metatrain.Config{Window: *window << 20, ShardTasks: *shard, ShareBytes: *share << 20, MaxRunsPerUser: *most, MaxStoreOutageMS: outage.Milliseconds()},
	}, backends.Elector{State: state, ID: name, TTL: *ttl}, bus, objects)
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
