// Command chaos starts a whole cluster as processes - three nats-server, three etcd, an S3 server, two coordinators,
// four workers - and kills, stops, cuts off and wipes them at random while one run trains. Whatever happens the base
// model must have the bits of an undisturbed run, nothing stored may be torn, and nothing may have leaked.
//
//	go run ./internal/chaos --events 100 --seed 7     faults at random
//	go run ./internal/chaos --failover 20 --json      how long the cluster takes to replace what was killed
//
// It needs no privileges: connections go through gates of internal/testservers, which cut them. Everything happens on
// loopback and in one folder, which stays if something failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// options are the command line.
type options struct {
	events   int
	seed     uint64
	only     string
	steps    int64
	failover int
	json     bool
	race     bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var o options
	fs := flag.NewFlagSet("chaos", flag.ContinueOnError)
	fs.IntVar(&o.events, "events", 100, "`faults` to inject")
	fs.Uint64Var(&o.seed, "seed", 0, "chooses the faults; 0 draws one")
	fs.StringVar(&o.only, "only", "", "one `way` of disturbing: kill, stop, wipe, cut or silence; empty is all")
	fs.Int64Var(&o.steps, "steps", 0, "length of the run, per track; 0 measures how many steps make some three seconds a fault")
	fs.IntVar(&o.failover, "failover", 0, "instead: kill the leader so `often`, then workers, and time what follows")
	fs.BoolVar(&o.json, "json", false, "with --failover: end with one JSON object")
	fs.BoolVar(&o.race, "race", false, "build the programs with the race detector, which needs a C compiler")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if o.only != "" && !slices.Contains(ways, way(o.only)) {
		return fmt.Errorf("--only: found %q, expected one of %v", o.only, ways)
	}
	if o.events < 1 {
		return fmt.Errorf("--events: found %d, expected at least 1", o.events)
	}
	if o.seed == 0 {
		o.seed = rand.Uint64N(1_000_000) + 1
	}
	dir, err := os.MkdirTemp("", "warmstart-chaos")
	if err != nil {
		return err
	}
	log := &timeline{out: os.Stdout, began: time.Now()}
	if o.failover > 0 {
		log.out = os.Stderr
		err = timeFailover(ctx, &o, dir, log)
	} else {
		err = endure(ctx, &o, dir, log)
	}
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted")
	} else if err != nil {
		return fmt.Errorf("%w\nlogs in %s; again: %s", err, dir, o.again())
	}
	return errors.Join(err, os.RemoveAll(dir))
}

// again is the command that injects the same faults into the same run.
func (o *options) again() string {
	if o.failover > 0 {
		return fmt.Sprintf("go run ./internal/chaos --failover %d", o.failover)
	}
	return fmt.Sprintf("go run ./internal/chaos --events %d --only=%s --seed %d --steps %d", o.events, o.only, o.seed, o.steps)
}
