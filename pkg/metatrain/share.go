package metatrain

import (
	"cmp"
	"fmt"
	"slices"
)

// WorkersSpec says what a run wants of workers. It cannot change bits and is outside the spec digest.
type WorkersSpec struct {
	Class  string `json:"class,omitempty" why:"only workers of this class (--class: cpu, gpu, or a name of your own) get the run's work; empty = any"`
	Weight int    `json:"weight,omitempty" default:"1" min:"1" max:"1000" why:"share of the workers' time beside other runs: a run of weight 3 gets three times that of one of weight 1; changed while running by runs weight"`
}

// maxWeight bounds a run's weight; the least is 1.
const maxWeight = 1000

// weight is the run's share of the workers: the one last asked for, else that of its spec.
func (r *run) weight() int { return cmp.Or(r.status.val.Weight, r.spec.Workers.Weight, 1) }

// charge notes that the run took so many microseconds of a worker's time. Runs stand in order of what they took over
// their weight, the least first: that is who gets the next lease.
func (m *Machine) charge(r *run, micros float64) {
	r.used += micros / float64(r.weight())
	slices.SortStableFunc(m.order, func(a, b string) int { return cmp.Compare(m.runs[a].used, m.runs[b].used) })
}

// A run that waits at the end of a step lags behind and catches up, but not on more than so many microseconds of each
// worker: one that could not use its share for long does not push the others out once it can.
const credit = 5_000_000

// chargeLease charges what a lease will take, as far as observed.
func (m *Machine) chargeLease(l *lease) {
	r := l.run
	r.used = max(r.used, m.served-credit*float64(len(m.workers))/float64(r.weight()))
	m.served = max(m.served, r.used)
	lo, hi := l.Work.Node.Span(l.Tasks)
	m.charge(r, cmp.Or(float64(hi-lo)*r.micros[l.Work.Kind], mostShard)) // the latter where nothing is observed yet
}

// weigh records a run's weight and answers once it is recorded.
func (m *Machine) weigh(r *run, weight int, answer func(string)) {
	if weight < 1 || weight > maxWeight {
		answer(fmt.Sprintf("weight %d, expected 1 to %d", weight, maxWeight))
		return
	}
	var next StatusRecord
	m.enqueue(func() (Txn, bool) {
		next = r.status.val
		if next.State == Cancelled || next.State == Finished {
			answer(fmt.Sprintf("run %s is %s: it takes no workers' time any more", r.id, next.State))
			return Txn{}, false
		}
		next.Weight = weight
		return Txn{Expect: r.unchanged(), Puts: []Put{{statusKey(r.id), mustJSON(next)}}}, true
	}, func(rev int64) {
		r.status = cell[StatusRecord]{next, rev}
		m.publishStatus(r, true)
		answer("")
	})
}

// quota says why this user may have no further run at work, "" where nothing stands against it. A run that is at work
// already takes its own place.
func (m *Machine) quota(user, run string) string {
	if m.cfg.MaxRunsPerUser == 0 {
		return ""
	}
	var theirs []string
	for id, r := range m.runs {
		if owner := cmp.Or(r.status.val.User, r.user); id != run && owner == user && (r.creating || r.broken == nil && r.active()) {
			theirs = append(theirs, id)
		}
	}
	if len(theirs) < m.cfg.MaxRunsPerUser {
		return ""
	}
	slices.Sort(theirs)
	return clip(fmt.Sprintf("user %q has %d active runs, the most there may be (coordinator --max-runs-per-user): pause or cancel one of %v, or wait for its end",
		user, len(theirs), theirs))
}
