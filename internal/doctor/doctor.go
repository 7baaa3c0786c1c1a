package doctor

import (
	"context"
	"log/slog"
	"time"

	"github.com/warmstart-ml/warmstart/internal/backends"
	"github.com/warmstart-ml/warmstart/internal/wiring"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Config says what to look at. Users have NATS alone; operators also give etcd and the store.
type Config struct {
	Common wiring.Common
	NATS   wiring.NATS
	// Etcd is looked at where Endpoints is not empty, Store where it names one.
	Etcd  backends.Etcd
	Store backends.Store
	Log   *slog.Logger
}

func (c *Config) hasEtcd() bool  { return c.Etcd.Endpoints != "" }
func (c *Config) hasStore() bool { return c.Store.S3 != "" || c.Store.Dir != "" }

// examiner makes one report.
type examiner struct {
	Config
	Report
	clocks []reading
	truth  []metatrain.KV // etcd's
	bound  []byte         // the store's record of its cluster
	leader string         // who leads by NATS, as etcd names it; "" where nobody is known to
}

// Examine looks at everything once. It leaves nothing behind, and no server that does not answer holds it up for longer
// than Common.Wait.
func Examine(ctx context.Context, c Config) Report {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	e := &examiner{Config: c}
	e.credentials(time.Now())
	e.nats(ctx)
	var known, stored []string
	if c.hasEtcd() {
		known = e.etcd(ctx)
	}
	if c.hasStore() {
		stored = e.store(ctx)
	}
	e.agree(known, stored)
	e.judgeClocks(e.clocks)
	return e.Report
}
