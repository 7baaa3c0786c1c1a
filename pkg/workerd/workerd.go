// Package workerd is the worker daemon: flags, the connection to NATS, one worker for each core. A program of another
// module whose main is
//
//	func main() { workerd.Main(kinds) }
//
// is cmd/worker with families of its own. It links no servers; pkg/warmstart is the whole command line.
package workerd

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/warmstart-ml/warmstart/internal/gorgoniaengine"
	"github.com/warmstart-ml/warmstart/internal/settings"
	"github.com/warmstart-ml/warmstart/internal/wiring"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// Main runs the daemon by the process's arguments until it is interrupted, and exits. The second signal ends it at once.
func Main(kinds worker.Kinds) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(settings.Exit("worker", Run(ctx, os.Args[1:], kinds)))
}

// Run works for whichever coordinator leads until ctx ends, which is no error: it then finishes what it began, within
// --grace, and leaves. With "health" as first argument it instead tells whether the leader hears from a worker on this
// host.
func Run(ctx context.Context, args []string, kinds worker.Kinds) error {
	fs := flag.NewFlagSet("worker", flag.ContinueOnError)
	var common wiring.Common
	var nats wiring.NATS
	var debug wiring.Debug
	debug.Flags(fs)
	common.Flags(fs)
	nats.Flags(fs)
	class := fs.String("class", "cpu", "kind of machine, which runs may ask for")
	slots := fs.Int("slots", runtime.NumCPU(), "pieces of work at once; each is computed on one `core`")
	grace := fs.Duration("grace", 20*time.Second, "how `long` a worker that is told to end may take to finish what it began; the rest is handed back at once")
	var memory worker.Bytes
	fs.Var(&memory, "memory", "`amount` all slots may take together, such as 2GiB; a run that needs more is left to others, and its status says so; 0 = no limit")
	asked := len(args) > 0 && args[0] == "health"
	if asked {
		args = args[1:]
	}
	if err := settings.Parse(fs, args, os.LookupEnv); err != nil {
		return err
	}
	host, _ := os.Hostname()
	if asked {
		return health(ctx, &common, &nats, host)
	}
	log, err := common.Log()
	if err != nil {
		return err
	}
	if *slots < 1 || *slots > 4096 {
		return fmt.Errorf("--slots: found %d, expected 1 to 4096", *slots)
	}
	if *grace <= 0 {
		return fmt.Errorf("--grace: found %v, expected more than 0", *grace)
	}
	stop, err := debug.Serve(log)
	if err != nil {
		return err
	}
	defer stop()
	memory.Limit()
	c, end, err := nats.Client(ctx, &common, fmt.Sprintf("worker %s/%d", host, os.Getpid()), log)
	if err != nil && ctx.Err() != nil { // told to end before it began: that is no failure
		log.Info("ended before the start was through", "left", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer end()
	return worker.RunSlots(context.WithoutCancel(ctx), worker.Config{
		Host: host, Class: *class, Memory: forWork(memory) / worker.Bytes(*slots), Leave: ctx.Done(), Grace: *grace, Log: log,
	}, *slots, c, gorgoniaengine.With(kinds))
}

// forWork is what the slots may take of the process's memory: a sixteenth, at most 64 MiB, is the program's own, so that a
// container of that size does not end a run that just fits.
func forWork(memory worker.Bytes) worker.Bytes { return memory - min(memory/16, 64<<20) }
