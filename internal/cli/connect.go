package cli

import (
	"flag"
	"io"
	"os"
	"os/user"
	"strings"

	"github.com/warmstart-ml/warmstart/internal/settings"
	"github.com/warmstart-ml/warmstart/internal/wiring"
)

// connection are the flags by which a command reaches a cluster; they may also stand in the environment
// (WARMSTART_NATS ...) or in the file --config names.
type connection struct {
	common wiring.Common
	nats   wiring.NATS
	config string
	user   string // who submits runs
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
	c.set.StringVar(&c.user, "user", userName(os.Getenv("USER"), user.Current), "`name` by which a cluster counts the runs you submit (coordinator --max-runs-per-user); up to 64 characters")
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
	if len(c.user) > maxUser {
		return nil, usage("--user: found %d characters, expected at most %d", len(c.user), maxUser)
	}
	return positional, nil
}

// maxUser is what a coordinator takes.
const maxUser = 64

// userName is who runs this command where no flag says: $USER, else as the system knows them; "" where nobody does, as in
// a container without a list of users.
func userName(variable string, current func() (*user.User, error)) string {
	name := variable
	if name == "" {
		if u, err := current(); err == nil {
			name = u.Username
		}
	}
	return strings.ToValidUTF8(name[:min(len(name), maxUser)], "")
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
