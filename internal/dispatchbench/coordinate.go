package dispatchbench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/warmstart-ml/warmstart/internal/backends"
	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/internal/settings"
	"github.com/warmstart-ml/warmstart/internal/wiring"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Coordinate is the coordinator process of a bench: cmd/coordinator, but for the profile.
func Coordinate(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("bench-coordinator", flag.ContinueOnError)
	var common wiring.Common
	var nats wiring.NATS
	var etcd backends.Etcd
	var store backends.Store
	common.Flags(fs)
	nats.Flags(fs)
	etcd.Flags(fs)
	store.Flags(fs)
	shard := fs.Int("shard-tasks", 1, "`tasks` of a shard")
	folder := fs.String("profile", "", "`folder` for a CPU profile")
	if err := settings.Parse(fs, args, os.LookupEnv); err != nil {
		return err
	}
	log, err := common.Log()
	if err != nil {
		return err
	}
	stop, err := profile(*folder, "coordinator")
	if err != nil {
		return err
	}
	defer stop()
	objects, err := store.Open(ctx, &common, log)
	if err != nil {
		return err
	}
	state, err := etcd.Connect(ctx, &common, log)
	if err != nil {
		return err
	}
	defer state.Close()
	bus, err := nats.Connect(ctx, &common, "coordinator bench", log)
	if err != nil {
		return err
	}
	defer bus.Close()
	if err := bus.EnsureEvents(ctx); err != nil {
		log.Warn("followers see no history", "err", err)
	}
	coordinator.Run(ctx, coordinator.Config{ID: "bench", Prefix: common.Prefix, Log: log, Machine: metatrain.Config{ShardTasks: *shard}},
		backends.Elector{State: state, ID: "bench", TTL: 4 * time.Second}, bus, objects)
	return nil
}

// profile takes a CPU profile of this process until stop; nowhere where folder is "".
func profile(folder, name string) (stop func(), err error) {
	if folder == "" {
		return func() {}, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of profiles: %w", err)
	}
	f, err := os.Create(filepath.Join(folder, name+".pprof"))
	if err != nil {
		return nil, fmt.Errorf("write a profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, fmt.Errorf("start a profile: %w", err)
	}
	return sync.OnceFunc(func() { pprof.StopCPUProfile(); _ = f.Close() }), nil
}
