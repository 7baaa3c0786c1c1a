package cli

import (
	"flag"
	"io"
	"os"

	"github.com/warmstart-ml/warmstart/internal/settings"
	"github.com/warmstart-ml/warmstart/internal/wiring"
)

// connection are the flags by which a command reaches a cluster; they may also stand in the environment
// (WARMSTART_NATS ...) or in the file --config names.
type connection struct {
	common wiring.Common
	nats   wiring.NATS
	config string
	set    *flag.FlagSet
}

// add declares the flags on fs.
func (c *connection) add(fs *flag.FlagSet) { c.addWith(fs, func(*flag.FlagSet) {}) }

// addWith also declares what more adds: flags of other servers.
func (c *connection) addWith(fs *flag.FlagSet, more func(*flag.FlagSet)) {
	c.set = flag.NewFlagSet("", flag.ContinueOnError)
	c.set.SetOutput(io.Discard)
	c.common.Flags(c.set)
	c.nats.Flags(c.set)
	more(c.set)
	c.set.StringVar(&c.config, "config", "", "YAML `file` with any of the connection flags as keys")
	c.set.VisitAll(func(f *flag.Flag) {
		fs.Var(f.Value, f.Name, f.Usage)
		fs.Lookup(f.Name).DefValue = f.DefValue
	})
}

// parse reads a command's flags and arguments, then what the environment and the file say of the connection.
func (c *connection) parse(fs *flag.FlagSet, args []string) ([]string, error) {
	positional, err := parse(fs, args)
	if err != nil {
		return nil, err
	}
	if err := settings.Fill(c.set, fs, &c.config, os.LookupEnv); err != nil {
		return nil, usageError{err.Error()}
	}
	return positional, nil
}

// place is where a command finds runs and models: a cluster, or the embedded stack's folder.
type place struct {
	connection
	cluster bool
	dataDir string
}

func (p *place) add(fs *flag.FlagSet) {
	p.connection.add(fs)
	fs.BoolVar(&p.cluster, "cluster", false, "ask a cluster, over NATS, instead of the folder of the embedded stack")
	fs.StringVar(&p.dataDir, "data-dir", ".warmstart", "`folder` of the embedded stack")
}
