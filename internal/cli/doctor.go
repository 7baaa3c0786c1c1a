package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"time"

	"github.com/warmstart-ml/warmstart/internal/backends"
	"github.com/warmstart-ml/warmstart/internal/doctor"
)

// doctorWait is how long doctor tries to reach a server: who asks what is wrong wants to hear it soon.
const doctorWait = 5 * time.Second

// examine is `warmstart doctor`.
func examine(ctx context.Context, env *environment, args []string) error {
	var c operator
	fs := env.flags()
	asJSON := fs.Bool("json", false, "print JSON, one line")
	dry := fs.Bool("dry-run", false, "rebuild: show the plan, write nothing")
	c.add(fs)
	positional, err := c.parse(fs, args)
	if err != nil {
		return err
	}
	rebuild := len(positional) == 1 && positional[0] == "rebuild"
	if len(positional) > 0 && !rebuild {
		return usage("found %q, expected nothing, or rebuild", positional)
	}
	log, err := c.common.Log()
	if err != nil {
		return err
	}
	config := doctor.Config{Common: c.common, NATS: c.nats, Etcd: c.etcd, Store: c.store, Log: log}
	if rebuild {
		return restore(ctx, env, config, *dry, *asJSON)
	}
	report := doctor.Examine(ctx, config)
	write := report.Write
	if *asJSON {
		write = report.WriteJSON
	}
	if err := write(env.out); err != nil {
		return err
	}
	if n := report.Failed(); n > 0 {
		return fmt.Errorf("%d of %d checks failed", n, len(report.Checks))
	}
	return nil
}

// restore is `warmstart doctor rebuild`.
func restore(ctx context.Context, env *environment, c doctor.Config, dry, asJSON bool) error {
	show := func(p doctor.Rebuilt) error {
		if asJSON {
			return nil
		}
		return p.Write(env.out)
	}
	done, err := doctor.Rebuild(ctx, c, dry, show)
	if err != nil {
		return fmt.Errorf("rebuild: %w", err)
	}
	if asJSON {
		return json.NewEncoder(env.out).Encode(map[string]any{
			"epoch": done.Epoch, "runs": done.Runs, "versions": done.Versions, "torn": done.Allotted, "left_out": done.Left, "written": !dry && !done.Before,
		})
	}
	said := "written; start the coordinators, then `warmstart runs ls` and `warmstart runs resume RUN`"
	switch {
	case done.Before:
		said = "rebuilt before, nothing to do; start the coordinators"
	case dry:
		said = "--dry-run: nothing was written"
	}
	_, err = fmt.Fprintln(env.out, said)
	return err
}

// operator are the flags of those who run a cluster: etcd and the store beside NATS, none of them unless given.
type operator struct {
	connection
	etcd  backends.Etcd
	store backends.Store
}

func (o *operator) add(fs *flag.FlagSet) {
	o.addWith(fs, func(set *flag.FlagSet) {
		o.etcd.Flags(set)
		o.store.Flags(set)
		o.etcd.Endpoints, o.common.Wait = "", doctorWait
		set.Lookup("etcd").DefValue, set.Lookup("wait").DefValue = "", doctorWait.String()
	})
}
