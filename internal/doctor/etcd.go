package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/warmstart-ml/warmstart/internal/etcdstate"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Bounds of what etcd should be. A lease of 4 s is kept alive every 0.7 s: writes that take long cost leaderships.
const (
	slowEtcd       = 100 * time.Millisecond
	deadlyEtcd     = 700 * time.Millisecond
	manyRevisions  = 50_000
	fullEtcd       = 0.8 // share of the quota
	etcdCompaction = "start etcd with --auto-compaction-mode=periodic --auto-compaction-retention=1h"
)

// etcd looks at etcd and returns the runs that it knows; nil where it could not be asked.
func (e *examiner) etcd(ctx context.Context) (runs []string) {
	config := e.Etcd.Config(&e.Common)
	_ = config.Clocks(ctx, func(endpoint string, theirs, ours time.Time, slop time.Duration) {
		e.read("etcd at "+endpoint, theirs, ours, slop)
	})
	state, err := etcdstate.Open(ctx, config)
	switch {
	case errors.Is(err, etcdstate.ErrCredentials):
		e.ok("etcd reach", "a server answers at %s", e.Etcd.Endpoints)
		e.refuse("etcd login", err, "check the etcd credentials")
		return nil
	case err != nil:
		e.refuse("etcd reach", err, "check --etcd")
		return nil
	}
	defer state.Close()
	f := state.Inspect(ctx)
	e.members(f.Members)
	e.alarms(f)
	if f.Err != nil {
		e.refuse("etcd state", f.Err, "see the other lines on etcd, and its log")
		return nil
	}
	e.latency(f)
	e.space(f)
	e.elected(f.Leader)
	e.truth = f.State
	return runsAmong(f.State)
}

func (e *examiner) members(members []etcdstate.Member) {
	var versions, ill []string
	for _, m := range members {
		switch {
		case m.Err != nil:
			ill = append(ill, m.Err.Error())
		case !m.KnowsLeader:
			ill = append(ill, m.Endpoint+" knows no leader of etcd's own")
		case m.Learner:
			ill = append(ill, m.Endpoint+" is a learner, which serves no reads")
		default:
			versions = append(versions, m.Version)
		}
	}
	if len(ill) > 0 {
		e.warn("etcd reach", "see the log of that member; a majority of members has to answer", "%d of %d members serve; %s", len(versions), len(members), strings.Join(ill, ", "))
	} else {
		e.ok("etcd reach", "%d of %d endpoints serve", len(versions), len(members))
	}
	slices.Sort(versions)
	e.etcdVersion(slices.Compact(versions))
}

// etcdVersion judges releases: leases and fencing are tested against 3.5 and later.
func (r *Report) etcdVersion(versions []string) {
	for _, v := range versions {
		var major, minor int
		if _, err := fmt.Sscanf(v, "%d.%d", &major, &minor); err == nil && (major < 3 || major == 3 && minor < 5) {
			r.fail("etcd version", "use etcd 3.5 or later", "%s", v)
			return
		}
	}
	if len(versions) > 1 {
		r.warn("etcd version", "finish the upgrade", "members of different releases: %s", strings.Join(versions, ", "))
		return
	}
	r.ok("etcd version", "%s", strings.Join(versions, ", "))
}

func (e *examiner) alarms(f etcdstate.Facts) {
	switch {
	case slices.Contains(f.Alarms, "NOSPACE"):
		e.fail("etcd alarms", "compact, `etcdctl defrag`, `etcdctl alarm disarm`; then "+etcdCompaction, "NOSPACE: etcd refuses every write")
	case len(f.Alarms) > 0:
		e.fail("etcd alarms", "replace the member that is corrupt", "%s", strings.Join(f.Alarms, ", "))
	case f.AlarmErr != nil:
		e.warn("etcd alarms", "ask as etcd's root", "not told: %v", f.AlarmErr)
	default:
		e.ok("etcd alarms", "none")
	}
}

func (r *Report) latency(f etcdstate.Facts) {
	found := fmt.Sprintf("write %v, read %v, the worst of a few", f.Write.Round(10*time.Microsecond), f.Read.Round(10*time.Microsecond))
	const remedy = "give etcd a disk of its own, with quick fsync, and CPU"
	switch {
	case f.Write > deadlyEtcd:
		r.fail("etcd latency", remedy, "%s: leaderships will be lost", found)
	case f.Write > slowEtcd:
		r.warn("etcd latency", remedy, "%s", found)
	default:
		r.ok("etcd latency", "%s", found)
	}
}

func (r *Report) space(f etcdstate.Facts) {
	var size, quota int64
	for _, m := range f.Members {
		if m.Size > size {
			size, quota = m.Size, m.Quota
		}
	}
	found := fmt.Sprintf("database of %d MiB, quota %d MiB, revision %d", size>>20, quota>>20, f.Revision)
	switch {
	case quota > 0 && float64(size) > fullEtcd*float64(quota):
		r.warn("etcd space", "compact and `etcdctl defrag`; then "+etcdCompaction, "%s: nearly full", found)
	case f.Revision > manyRevisions && !f.Compacted:
		r.warn("etcd space", etcdCompaction, "%s, none ever compacted: it grows without end", found)
	default:
		r.ok("etcd space", "%s", found)
	}
}

// elected compares who leads by etcd with who answers over NATS.
func (e *examiner) elected(l etcdstate.Leader) {
	switch {
	case l.Revision == 0 && e.leader == "":
		e.warn("etcd leader", "start a coordinator", "nobody leads on prefix %q", e.Common.Prefix)
	case l.Revision == 0:
		e.fail("etcd leader", "stop that coordinator, or name the etcd it uses", "nobody leads by this etcd, yet %s answers over NATS: it uses another one", e.leader)
	case e.leader == "":
		e.fail("etcd leader", "check that this coordinator reaches the same NATS; its log says what it waits for", "%s leads by etcd and does not answer over NATS", l.ID)
	case e.leader != l.ID:
		e.fail("etcd leader", "look again in ten seconds, in case leadership changed just now; else give one of the clusters another --prefix", "%s leads by etcd, %s answers over NATS", l.ID, e.leader)
	default:
		e.ok("etcd leader", "%s, as over NATS", l.ID)
	}
}

// runsAmong lists the runs whose specs are among etcd's keys.
func runsAmong(truth []metatrain.KV) []string {
	runs := []string{}
	for _, kv := range truth {
		if part := strings.Split(kv.Key, "/"); len(part) == 3 && part[0] == "runs" && part[2] == "spec" {
			runs = append(runs, part[1])
		}
	}
	return runs
}
