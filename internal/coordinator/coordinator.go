// Package coordinator drives the outer loop: it campaigns for leadership and, while it leads, owns one
// metatrain.Machine, feeds it what arrives and carries its effects out. It decides nothing.
package coordinator

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Elector gives leadership, one at a time in the cluster.
type Elector interface {
	// Campaign blocks until this process leads or ctx ends.
	Campaign(ctx context.Context) (Leadership, error)
}

// Leadership is one term of leading.
type Leadership interface {
	Revision() int64
	// Done closes before any other process can lead.
	Done() <-chan struct{}
	Load(ctx context.Context) ([]metatrain.KV, error)
	Commit(ctx context.Context, t metatrain.Txn) (rev int64, err error)
	Resign(ctx context.Context) error
}

// Bus carries messages.
type Bus interface {
	// Serve answers requests on a subject (wildcards allowed) until stop; from tells senders apart, as far as the bus
	// can. handle may answer later, from anywhere.
	Serve(subject string, handle func(subject, from string, data []byte, reply func([]byte))) (stop func(), err error)
	Publish(subject string, data []byte) error
	// PublishEvent tells a run's followers; it never blocks, and losing one is no harm.
	PublishEvent(run string, data []byte)
	// Err is nil while there is a connection, else why and since when there is none.
	Err() error
}

// Config of a coordinator.
type Config struct {
	// ID names this process in logs and to workers.
	ID string
	// Prefix of all subjects. Default "warmstart".
	Prefix string
	// Machine is handed to the outer loop, with an AuditSecret of this process's own where it has none.
	Machine metatrain.Config
	// StorePatience is how long one object write is retried before the outer loop hears of it. Default 60 s.
	StorePatience time.Duration
	// BusPatience is how long a leader without a connection to the bus goes on leading, which others may do better.
	// Default 3 s: longer than it takes to find another server of a cluster.
	BusPatience time.Duration
	// Spool, where not nil, keeps states that the store does not take, from where a run resumes with less to compute again.
	Spool *Spool
	// NewCluster draws the id of a new cluster, to which etcd and the store are then bound: no coordinator leads whose
	// etcd and store are not one cluster's. nil where they are one process's own and cannot be mixed up.
	NewCluster func() string
	// Watch, where not nil, is kept told of what this coordinator does and sees.
	Watch *Watch
	Log   *slog.Logger
}

// Run campaigns and leads until ctx ends. No outage ends it: it says what it waits for and goes on.
func Run(ctx context.Context, cfg Config, elector Elector, bus Bus, store checkpoint.Store) {
	cfg = cfg.withDefaults()
	floor := make([]byte, heapFloor)
	defer runtime.KeepAlive(floor)
	defer debug.SetGCPercent(debug.SetGCPercent(heapGrowth))
	for awaitBus(ctx, bus) {
		campaign(ctx, cfg, elector, bus, store)
	}
	cfg.Log.Info("ended", "id", cfg.ID)
}

func (c Config) withDefaults() Config {
	c.Prefix = cmp.Or(c.Prefix, "warmstart")
	c.StorePatience = cmp.Or(c.StorePatience, time.Minute)
	c.BusPatience = cmp.Or(c.BusPatience, 3*time.Second)
	if len(c.Machine.AuditSecret) == 0 {
		c.Machine.AuditSecret = newSecret()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Machine.Spools = c.Spool != nil
	return c
}

// newSecret draws the key of what is audited: this process's own, told to nobody and kept nowhere, so that the next leader
// draws anew.
func newSecret() []byte {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails (crypto/rand)
	return secret
}

// campaign waits for the leadership and leads, once, or until the bus is lost. What fails, or is over soon, may be so for a
// while: it rests then, after it has left the leadership to others.
func campaign(ctx context.Context, cfg Config, elector Elector, bus Bus, store checkpoint.Store) {
	connected, cancel := whileConnected(ctx, cfg.BusPatience, bus, cfg.Log)
	defer cancel()
	cfg.Log.Info("campaigning", "id", cfg.ID)
	l, err := elector.Campaign(connected)
	if err != nil {
		if connected.Err() == nil {
			cfg.Log.Warn("campaigning again", "err", err)
			pause(ctx, time.Second)
		}
		return
	}
	began := time.Now()
	err = lead(connected, cfg, l, bus, store)
	failed := err != nil && connected.Err() == nil
	if failed {
		cfg.Log.Error("leading ended", "err", err)
	}
	if failed || time.Since(began) < shortTerm {
		defer pause(ctx, time.Second)
	}
	if ctx.Err() != nil {
		cfg.Log.Info("ending: giving the leadership up", "id", cfg.ID, "revision", l.Revision())
	}
	resign, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := l.Resign(resign); err != nil {
		cfg.Log.Warn("not resigned: others lead once the lease ends", "revision", l.Revision(), "err", err)
		return
	}
	cfg.Log.Info("resigned", "id", cfg.ID, "revision", l.Revision())
}

// shortTerm is a leadership too short to be worth another at once.
const shortTerm = 2 * time.Second

// How the heap grows between two collections: by heapGrowth percent of what is live and of heapFloor, memory in bytes that
// is never touched and so takes no room, but counts. A small coordinator holds a few MB and passes on as much each step:
// without the floor it would collect at every one, at 100,000 parameters a third of its processor time. A large one holds
// vectors, in which there is nothing to look for: it can collect often, and what it no longer needs makes little of its
// resident memory (G6).
const (
	heapFloor  = 64 << 20
	heapGrowth = 25
)

// lead serves one leadership to its end.
func lead(ctx context.Context, cfg Config, l Leadership, bus Bus, store checkpoint.Store) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // whatever is under way ends with the leadership
		select {
		case <-l.Done():
			cfg.Log.Warn("leadership ended", "revision", l.Revision())
			cancel()
		case <-ctx.Done():
		}
	}()
	epoch, err := readEpoch(ctx, cfg, store)
	if err != nil {
		return err
	}
	truth, err := checkEpoch(ctx, l, epoch)
	if err != nil {
		return err
	}
	cluster := ""
	if cfg.NewCluster != nil {
		if cluster, err = bindCluster(ctx, cfg, l, truth, store); err != nil {
			return err
		}
	}
	d := newDriver(cfg, metatrain.Term{Epoch: epoch, Revision: l.Revision()}, l, bus, store)
	d.cluster = cluster
	cfg.Watch.lead(d.term)
	defer cfg.Watch.standBy()
	d.log.Info("leading", "id", cfg.ID, "cluster", cluster)
	stop, err := d.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()
	wait := time.Duration(0)
	for {
		began := time.Now()
		again, err := d.run(ctx)
		if !again {
			return err
		}
		if err != nil { // the truth was out of reach: leadership may outlast that
			d.log.Warn("read state again", "err", err)
		}
		// What makes a machine start again may be there still: the next ones start ever later.
		if wait = min(max(2*wait, 50*time.Millisecond), 2*time.Second); time.Since(began) > 10*time.Second {
			wait = 0
		}
		pause(ctx, wait)
	}
}

// readEpoch gives the store some time, since a leader without it can do nothing, but not all of it: another
// coordinator may reach it.
func readEpoch(ctx context.Context, cfg Config, store checkpoint.Store) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, min(cfg.StorePatience, epochPatience))
	defer cancel()
	epoch, err := Epoch(ctx, store)
	if err != nil {
		return 0, fmt.Errorf("read the epoch from the store: %w", err)
	}
	return epoch, nil
}

// checkEpoch refuses an etcd that is not of the store's epoch, before anybody hears of this leadership.
func checkEpoch(ctx context.Context, l Leadership, epoch int64) ([]metatrain.KV, error) {
	ctx, cancel := context.WithTimeout(ctx, epochPatience)
	defer cancel()
	truth, err := l.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load state: %w", err)
	}
	return truth, metatrain.CheckEpoch(truth, epoch)
}

// epochPatience is long enough for a restart of the store.
const epochPatience = 10 * time.Second

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
