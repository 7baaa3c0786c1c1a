// Package cli is the user's command line: train, adapt, evaluate, and see to runs and models. pkg/warmstart is its door
// for programs with families of their own.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/warmstart-ml/warmstart/pkg/strictyaml"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// Exit statuses.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// usageError is a mistake of the command line itself.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usage(format string, a ...any) error { return usageError{fmt.Sprintf(format, a...)} }

// command is one verb of the command line.
type command struct {
	name, args, short string
	run               func(ctx context.Context, env *environment, args []string) error
	hidden            bool
}

// environment is what a command may touch.
type environment struct {
	out, err io.Writer
	kinds    worker.Kinds
	command  command
}

func commands() []command {
	return []command{
		{name: "train", args: "SPEC", short: "meta-train a base model, here or on a cluster", run: train},
		{name: "runs", args: "ls | workers | show RUN | follow RUN | pause RUN | resume RUN | cancel RUN | weight RUN N | lift PROCESS", short: "see to runs: what each waits for, who works or is in quarantine, and the shares of runs side by side", run: runs},
		{name: "models", args: "ls | show MODEL | verify MODEL | pull NAME:N --to DIR", short: "see to published base models", run: models},
		{name: "adapt", args: "MODEL --data FILE", short: "adapt a base model to a new member and forecast", run: adapt},
		{name: "eval", args: "MODEL --tasks DIR", short: "the cold-start table: error by shots, against every comparator", run: eval},
		{name: "reproduce", args: "RUN", short: "compute alone the task that stopped a run, and save its support and query", run: reproduce},
		{name: "doctor", args: "[rebuild]", short: "check NATS and who leads; with --etcd and --s3 those too, clocks and races; the remedy for each fault; rebuild: what a lost etcd held, from the store", run: examine},
		{name: "bench", args: "inner [SPEC] | kernel | dispatch", short: "measure this machine: meta-gradients per second, products, what dispatch costs", run: bench},
		{name: "worker", short: "compute for a cluster", run: clusterWorker},
		{name: "bench-coordinator", short: "the coordinator of bench dispatch", run: benchCoordinator, hidden: true},
		{name: "embedded-worker", short: "a worker of the embedded stack", run: embeddedWorker, hidden: true},
	}
}

// Run runs one command with these families and returns the exit status.
func Run(args []string, stdout, stderr io.Writer, kinds worker.Kinds) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		overview(stderr)
		return exitUsage
	}
	all := commands()
	at := slices.IndexFunc(all, func(c command) bool { return c.name == args[0] })
	if at < 0 {
		var names []string
		for _, c := range all {
			if !c.hidden {
				names = append(names, c.name)
			}
		}
		hint := ""
		if near := strictyaml.Nearest(args[0], names); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		fmt.Fprintf(stderr, "warmstart: unknown command %q%s\n", args[0], hint)
		overview(stderr)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := all[at].run(ctx, &environment{stdout, stderr, kinds, all[at]}, args[1:])
	var wrong usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, flag.ErrHelp):
		return exitUsage
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "warmstart %s: %v\nusage: warmstart %s %s (-h lists the flags)\n", args[0], err, args[0], all[at].args)
		return exitUsage
	case ctx.Err() != nil:
		fmt.Fprintf(stderr, "warmstart %s: interrupted\n", args[0])
		return exitInterrupted
	}
	fmt.Fprintf(stderr, "warmstart %s: %v\n", args[0], err)
	return exitFailed
}

func overview(w io.Writer) {
	fmt.Fprintln(w, "warmstart meta-trains one base model over many tasks, so that a new member gets a good model from a few samples.")
	for _, c := range commands() {
		if !c.hidden {
			fmt.Fprintf(w, "\n  warmstart %s %s\n      %s\n", c.name, c.args, c.short)
		}
	}
	fmt.Fprintln(w, "\nwarmstart COMMAND -h lists a command's flags.")
}

// flags makes a command's flag set; its errors are usage errors.
func (e *environment) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("warmstart "+e.command.name, flag.ContinueOnError)
	fs.SetOutput(e.err)
	fs.Usage = func() {
		fmt.Fprintf(e.err, "usage: warmstart %s %s [flags]\n\n%s\n\n", e.command.name, e.command.args, e.command.short)
		fs.PrintDefaults()
	}
	return fs
}

// parse reads flags and positional arguments in any order.
func parse(fs *flag.FlagSet, args []string) (positional []string, err error) {
	fs.SetOutput(io.Discard)
	explain := fs.Usage
	fs.Usage = func() {} // an error is worded here, and -h prints once
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				fs.SetOutput(os.Stderr)
				explain()
				return nil, err
			}
			return nil, usageError{strings.ReplaceAll(err.Error(), "flag provided but not defined: -", "unknown flag --")}
		}
		if fs.NArg() == 0 {
			return positional, nil
		}
		positional = append(positional, fs.Arg(0))
		args = fs.Args()[1:]
	}
}

// list collects a flag given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }
