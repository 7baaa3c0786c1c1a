package metatrain

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// simEtcd is the small truth: linearizable, with a leader key under a lease. Whatever a transaction changes is held
// to the guarantees at once.
type simEtcd struct {
	w    *world
	rev  int64
	keys map[string]KV

	leader  *coord
	created int64 // revision of the leader key
	expires int64
}

const leaseTTL = 2000

// campaign gives the leader key to c if nobody holds it, and its create revision.
func (e *simEtcd) campaign(c *coord) int64 {
	if e.leader != nil && e.expires > e.w.now {
		return 0
	}
	e.rev++
	e.leader, e.created, e.expires = c, e.rev, e.w.now+leaseTTL
	return e.created
}

func (e *simEtcd) keepAlive(rev int64) bool {
	if e.leader == nil || e.created != rev || e.expires <= e.w.now {
		return false
	}
	e.expires = e.w.now + leaseTTL
	return true
}

func (e *simEtcd) resign(rev int64) {
	if e.created == rev {
		e.leader = nil
	}
}

func (e *simEtcd) read() []KV {
	var all []KV
	for _, key := range slices.Sorted(maps.Keys(e.keys)) {
		all = append(all, e.keys[key])
	}
	return all
}

// commit is a transaction on its way: it may be slow, its answer may be lost, and it may take effect after that.
func (e *simEtcd) commit(c *coord, term Term, txn Txn, done func(Done)) {
	reach := 1 + e.w.upTo(10)
	if e.w.befalls("transaction lost", 0.08) {
		e.w.tell("a transaction of %s on %s is lost sight of", c.name, txn.Puts[0].Key)
		c.after(1000, func() { done(Done{Outcome: Ambiguous, Text: "no answer from etcd"}) })
		if e.w.befalls("lost transaction lands", 0.7) {
			e.w.after(e.w.upTo(5000), func() { e.apply(c, term, txn) })
		}
		return
	}
	e.w.after(reach, func() {
		d := e.apply(c, term, txn)
		c.after(1+e.w.upTo(10), func() { done(d) })
	})
}

func (e *simEtcd) apply(c *coord, term Term, txn Txn) Done {
	if e.leader == nil || e.created != term.Revision || e.expires <= e.w.now {
		return Done{Outcome: Deposed, Text: "another leads"}
	}
	for _, x := range txn.Expect {
		if e.keys[x.Key].ModRev != x.ModRev {
			e.w.tell("%s: conflict on %s", c.name, x.Key)
			return Done{Outcome: Conflict, Text: "conflict on " + x.Key}
		}
	}
	e.rev++
	for _, p := range txn.Puts {
		before := e.keys[p.Key]
		e.keys[p.Key] = KV{p.Key, p.Value, e.rev}
		e.w.tell("%s: %s = %s", c.name, p.Key, brief(p.Value))
		e.hold(p.Key, before.Value, p.Value)
	}
	return Done{Outcome: OK, Rev: e.rev}
}

func brief(value []byte) string {
	if len(value) > 160 {
		return fmt.Sprintf("%s... (%d bytes)", value[:120], len(value))
	}
	return string(value)
}

// hold checks a change of the truth.
func (e *simEtcd) hold(key string, before, now []byte) {
	if key == quarantineKey {
		e.w.holdQuarantine(read[QuarantineRecord](now))
		return
	}
	part := strings.Split(key, "/")
	if part[0] == "models" {
		e.holdVersions(key, read[VersionsRecord](before), read[VersionsRecord](now))
		return
	}
	run := part[1]
	var status StatusRecord
	if key == statusKey(run) {
		status = read[StatusRecord](before)
	} else {
		status = read[StatusRecord](e.keys[statusKey(run)].Value)
	}
	if status.State == Cancelled || status.State == Finished {
		e.w.fail("%s changes after the run was %s", key, status.State)
	}
	switch part[2] {
	case "status":
		if s := read[StatusRecord](now); s.State == Failed && strings.Contains(s.Reason, "became") {
			e.w.fail("%s: malformed numbers reached the base model: %s", run, s.Reason)
		} else if s.State == Finished {
			e.w.caught(run)
		}
	case "pointer":
		e.w.holdPointer(run, read[PointerRecord](before), read[PointerRecord](now), before == nil)
	case "decisions":
		e.w.holdDecisions(run, read[DecisionsRecord](before), read[DecisionsRecord](now))
	}
}

// holdVersions: numbers are unique, a run has one, and nothing is taken back.
func (e *simEtcd) holdVersions(key string, before, now VersionsRecord) {
	numbers, runs := map[int]bool{}, map[string]bool{}
	for _, v := range now.Versions {
		if numbers[v.N] || runs[v.Run] {
			e.w.fail("%s: %v repeats a number or a run", key, now.Versions)
		}
		numbers[v.N], runs[v.Run] = true, true
	}
	for i, v := range before.Versions {
		after := now.Versions[i]
		state := read[StatusRecord](e.keys[statusKey(v.Run)].Value).State
		if after != v && (state == Cancelled || v.Published) {
			e.w.fail("%s: version %v of a run that is %s becomes %v", key, v, state, after)
		}
	}
	for _, v := range now.Versions[len(before.Versions):] {
		if state := read[StatusRecord](e.keys[statusKey(v.Run)].Value).State; state == Cancelled {
			e.w.fail("%s: version %v allotted to a run that is %s", key, v, state)
		}
	}
}

func read[R any](value []byte) (r R) {
	if value != nil {
		if err := json.Unmarshal(value, &r); err != nil {
			panic(err)
		}
	}
	return r
}
