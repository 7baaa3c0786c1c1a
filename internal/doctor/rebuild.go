package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/internal/etcdstate"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Rebuilt is what a rebuild did, or with dry would do.
type Rebuilt struct {
	metatrain.Rebuilt
	Epoch int64
	// Before: all of it was there already, from a rebuild that ended.
	Before bool
}

// rebuildTTL is the lease under which a rebuild keeps coordinators from leading; rebuildPatience the wait for that of
// one that was killed.
const (
	rebuildTTL      = 5 * time.Second
	rebuildPatience = 3 * rebuildTTL
	rebuildID       = "doctor rebuild "
)

// Rebuild writes the state of a cluster whose etcd is lost into an empty etcd, from what the store holds, in a new
// epoch. It refuses where a coordinator leads, and where etcd holds anything but what an earlier, interrupted rebuild
// wrote. Killed at any instant it can be run again; until one has ended no coordinator leads. show hears of the plan
// before anything is written; with dry nothing is.
func Rebuild(ctx context.Context, c Config, dry bool, show func(Rebuilt) error) (p Rebuilt, err error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if !c.hasEtcd() || !c.hasStore() {
		return p, errors.New("rebuild reads the store and writes etcd: give --etcd, and --s3 or --store-dir")
	}
	if err := c.nobodyAnswers(ctx); err != nil {
		return p, err
	}
	store, err := c.Store.Open(ctx, &c.Common, c.Log)
	if err != nil {
		return p, err
	}
	state, err := c.Etcd.Connect(ctx, &c.Common, c.Log)
	if err != nil {
		return p, err
	}
	defer state.Close()
	if err := nobodyLeads(ctx, state); err != nil {
		return p, err
	}
	b := &rebuild{store: store, load: state.Load, log: c.Log}
	if dry {
		return b.plan(ctx, time.Now(), show)
	}
	lead, err := takeLead(ctx, state)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, lead.Resign(context.WithoutCancel(ctx))) }()
	if p, err = b.plan(ctx, time.Now(), show); err != nil || p.Before {
		return p, err
	}
	return p, b.write(ctx, lead, p)
}

// nobodyAnswers refuses where a coordinator leads over NATS, by whatever etcd. A NATS that does not answer is no
// hindrance: what still runs is of an older epoch.
func (c *Config) nobodyAnswers(ctx context.Context) error {
	bus, err := c.NATS.Connect(ctx, &c.Common, fmt.Sprintf("doctor/%d", os.Getpid()), c.Log)
	if err != nil {
		c.Log.Warn("nobody can be asked who leads; workers and users will turn from coordinators of the old epoch when they hear of the new", "err", err)
		return nil
	}
	defer bus.Close()
	leaders, err := announced(ctx, bus, c.Common.Prefix)
	if err == nil && len(leaders) > 0 {
		err = fmt.Errorf("%s leads over NATS with term %s: stop every coordinator first", leaders[0].Leader, leaders[0].Term)
	}
	return err
}

// nobodyLeads refuses where a coordinator, not an interrupted rebuild, leads by etcd.
func nobodyLeads(ctx context.Context, state *etcdstate.State) error {
	l, err := state.Leader(ctx)
	if err == nil && l.Revision != 0 && !strings.HasPrefix(l.ID, rebuildID) {
		err = fmt.Errorf("%s leads by this etcd: stop every coordinator first; one that was killed is gone after its lease", l.ID)
	}
	return err
}

// takeLead keeps coordinators, and another rebuild, from leading meanwhile.
func takeLead(ctx context.Context, state *etcdstate.State) (*etcdstate.Leadership, error) {
	ctx, cancel := context.WithTimeout(ctx, rebuildPatience)
	defer cancel()
	host, _ := os.Hostname()
	return state.Campaign(ctx, fmt.Sprintf("%s%s/%d", rebuildID, host, os.Getpid()), rebuildTTL)
}

// rebuild reads the store and what etcd holds.
type rebuild struct {
	store checkpoint.Store
	load  func(context.Context) ([]metatrain.KV, error)
	log   *slog.Logger

	truth []metatrain.KV
	mark  metatrain.EpochRecord // as it is to be while writing
}

// plan reads both sides and refuses what a rebuild would write over.
func (b *rebuild) plan(ctx context.Context, now time.Time, show func(Rebuilt) error) (p Rebuilt, err error) {
	highest, err := coordinator.Epoch(ctx, b.store)
	if err != nil {
		return p, err
	}
	if b.truth, err = b.load(ctx); err != nil {
		return p, err
	}
	b.truth = slices.DeleteFunc(b.truth, func(kv metatrain.KV) bool { return strings.HasPrefix(kv.Key, "doctor/") })
	if b.mark, err = metatrain.EpochOf(b.truth); err != nil {
		return p, err
	}
	if b.mark.Epoch > 0 && b.mark.Epoch < highest {
		return p, fmt.Errorf("etcd is of epoch %d, the store of epoch %d: another rebuild came between; name the etcd of that one, or remove this state (`etcdctl del --prefix`)", b.mark.Epoch, highest)
	}
	ended := b.mark.Epoch > 0 && !b.mark.Writing
	if b.mark.Epoch == 0 {
		if len(b.truth) > 0 {
			return p, holds(b.truth[0].Key, len(b.truth))
		}
		b.mark = metatrain.EpochRecord{Epoch: highest + 1, Created: now.Unix(), Writing: true}
	}
	remains, passed, err := remains(ctx, b.store, b.log)
	if err != nil {
		return p, err
	}
	p = Rebuilt{Rebuilt: metatrain.Rebuild(remains, b.mark.Created), Epoch: b.mark.Epoch}
	if err := b.bind(ctx, &p); err != nil {
		return p, err
	}
	p.Left = append(passed, p.Left...)
	if err := b.compare(p, ended); err != nil {
		return p, err
	}
	p.Before = ended
	return p, show(p)
}

// bind has the new etcd be the same cluster's as the store is.
func (b *rebuild) bind(ctx context.Context, p *Rebuilt) error {
	id, err := b.store.Get(ctx, metatrain.ClusterObject)
	if errors.Is(err, checkpoint.ErrNotFound) {
		return nil // of a release before: whoever leads next draws one
	}
	if err == nil {
		p.Puts = append(p.Puts, metatrain.Put{Key: metatrain.ClusterKey, Value: id})
	}
	return err
}

func holds(key string, n int) error {
	return fmt.Errorf("etcd holds state already, %d keys, the first %s: a rebuild writes into an empty prefix only; if this is not the state to keep, remove it (`etcdctl del --prefix`), or give another --etcd", n, key)
}

// compare holds what is in etcd to the plan: all of it, where a rebuild has ended, else no other.
func (b *rebuild) compare(p Rebuilt, ended bool) error {
	planned := map[string][]byte{}
	for _, put := range p.Puts {
		planned[put.Key] = put.Value
	}
	there := 0
	for _, kv := range b.truth {
		if kv.Key == metatrain.EpochKey {
			continue
		}
		there++
		if want, ok := planned[kv.Key]; !ok || !bytes.Equal(want, kv.Value) {
			return holds(kv.Key, len(b.truth))
		}
	}
	if ended && there < len(planned) {
		return holds(metatrain.EpochKey, len(b.truth))
	}
	return nil
}

// committer is the leadership under which a rebuild writes.
type committer interface {
	Commit(ctx context.Context, t metatrain.Txn) (rev int64, err error)
}

// write carries the plan out: the mark first, which keeps coordinators from leading, then the epoch in the store, then
// the records, and the end of the mark last.
func (b *rebuild) write(ctx context.Context, lead committer, p Rebuilt) error {
	rev := int64(0)
	have := map[string]bool{}
	for _, kv := range b.truth {
		have[kv.Key] = true
		if kv.Key == metatrain.EpochKey {
			rev = kv.ModRev
		}
	}
	var err error
	if rev == 0 {
		if rev, err = b.put(ctx, lead, 0, b.mark, nil); err != nil {
			return err
		}
	}
	object, err := json.Marshal(map[string]int64{"epoch": b.mark.Epoch, "created": b.mark.Created})
	if err != nil {
		return err
	}
	if err := b.store.Put(ctx, metatrain.EpochObject(b.mark.Epoch), object); err != nil {
		return fmt.Errorf("record epoch %d in the store: %w", b.mark.Epoch, err)
	}
	missing := slices.DeleteFunc(slices.Clone(p.Puts), func(put metatrain.Put) bool { return have[put.Key] })
	for batch := range batches(missing) {
		if rev, err = b.put(ctx, lead, rev, b.mark, batch); err != nil {
			return err
		}
	}
	done := b.mark
	done.Writing = false
	_, err = b.put(ctx, lead, rev, done, nil)
	return err
}

// put writes records, none of which may be there, and the mark, which must be as it was left.
func (b *rebuild) put(ctx context.Context, lead committer, rev int64, mark metatrain.EpochRecord, records []metatrain.Put) (int64, error) {
	value, err := json.Marshal(mark)
	if err != nil {
		return 0, err
	}
	txn := metatrain.Txn{Expect: []metatrain.Expect{{Key: metatrain.EpochKey, ModRev: rev}}, Puts: []metatrain.Put{{Key: metatrain.EpochKey, Value: value}}}
	for _, r := range records {
		txn.Expect = append(txn.Expect, metatrain.Expect{Key: r.Key})
		txn.Puts = append(txn.Puts, r)
	}
	return lead.Commit(ctx, txn)
}

// Bounds of one transaction, within etcdstate's.
const (
	batchRecords = etcdstate.MaxOps - 1
	batchBytes   = etcdstate.MaxBytes / 2
)

// batches cuts records into transactions.
func batches(all []metatrain.Put) func(yield func([]metatrain.Put) bool) {
	return func(yield func([]metatrain.Put) bool) {
		for len(all) > 0 {
			n, size := 0, 0
			for n < len(all) && n < batchRecords && (n == 0 || size+len(all[n].Value) < batchBytes) {
				size += len(all[n].Value)
				n++
			}
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

// notInStore is what no rebuild brings back.
const notInStore = `not in the store, and so not restored:
  tasks skipped after a run's newest checkpoint: it comes to them again and decides anew; the record in the end says which
  who paused, cancelled or failed a run, and why: each that has no whole version comes back paused
  times of creation, weights, users, quarantines, and versions allotted whose manifest was not written: their number is given again
`

// Write shows the plan.
func (p Rebuilt) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RUN\tCOMES BACK\tFROM STEP\tSKIPPED TASKS\tVERSION")
	for _, r := range p.Runs {
		step, version := "the start", ""
		if r.Step >= 0 {
			step = fmt.Sprint(r.Step)
		}
		if r.Status.Version > 0 {
			version = fmt.Sprint(r.Status.Version)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", r.Run, r.Status.State, step, r.Skips, version)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, l := range p.Left {
		fmt.Fprintf(w, "left out: %s\n", strings.ReplaceAll(l, "\n", " "))
	}
	_, err := fmt.Fprintf(w, "%d runs, %d whole versions, %d torn ones whose runs write them again; epoch %d\n%s", len(p.Runs), p.Versions, p.Allotted, p.Epoch, notInStore)
	return err
}
