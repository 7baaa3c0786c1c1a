package metatrain

import (
	"fmt"
	"slices"
)

// maxTries ends a run whose work fails over and over, each time differently.
const maxTries = 20

// failure takes a worker's report in that it could not do its work.
func (m *Machine) failure(f Failure) {
	if w := m.workers[f.Worker]; w != nil {
		w.seen = m.clock.Mono
	}
	l := m.held(f.Lease, f.Worker)
	if l == nil || l.Work != f.Work {
		return
	}
	r, sh := l.run, l.phase.at(l.Work.Node)
	m.release(l)
	if f.Unable {
		r.unable(l.worker, clip(f.Text))
		return
	}
	if a := l.phase.audit; a != nil {
		m.failedAudit(r, a, l.worker, f)
		return
	}
	sh.tries++
	sh.text = clip(f.Text)
	if f.Transient || f.Digest == "" {
		sh.rests = m.clock.Mono + min(int64(100)<<min(sh.tries, 10), 5_000)
		m.giveUp(r, sh)
		return
	}
	if m.alike(r, sh, l.worker, f.Digest) {
		m.fault(r, f, l.Lease)
		return
	}
	sh.bar(l.worker, f.Digest)
	m.giveUp(r, sh)
}

// fault decides on a task that failed alike on two workers: it is the task's own (DESIGN: recorded decisions).
func (m *Machine) fault(r *run, f Failure, l Lease) {
	p := r.phase
	what := fmt.Sprintf("%s of step %d, task %d: %s", f.Work.Kind, f.Work.Step, f.Task, f.Text)
	lo, hi := f.Work.Node.Span(p.tasks)
	switch {
	case r.spec.OnBadTask != "skip" || f.Work.Kind != Train && f.Work.Kind != Validate,
		f.Task < lo || f.Task >= hi || slices.Contains(p.skip, f.Task): // no task of this shard to leave out
		m.halt(r, f, l, what)
		return
	case len(r.decisions.val.Skips) >= maxSkips:
		m.halt(r, f, l, fmt.Sprintf("%d tasks are skipped already, the most there may be; and now %s", maxSkips, what))
		return
	}
	p.deciding = true
	var next DecisionsRecord
	m.enqueue(func() (Txn, bool) {
		if r.phase != p {
			return Txn{}, false
		}
		next = r.decisions.val
		next.Skips = append(append([]Skip(nil), r.decisions.val.Skips...),
			Skip{Track: f.Work.Track, Step: f.Work.Step, Kind: f.Work.Kind, Task: f.Task, Reason: clip(f.Text)})
		return Txn{Expect: r.unchanged(), Puts: []Put{{decisionsKey(r.id), mustJSON(next)}}}, true
	}, func(rev int64) {
		r.decisions = cell[DecisionsRecord]{next, rev}
		if r.phase == p {
			m.advance(r) // the same step again, under the new digest of decisions
		}
	})
}

// maxSkips bounds the record of decisions, which every lease of a step, checkpoint and manifest repeats.
const maxSkips = 1000

// failed is how a worker failed on a shard, and whose worker it was.
type failed struct{ process, digest string }

// bar keeps a worker, and what else there is of its process, from a shard that it failed on.
func (sh *shard) bar(w *worker, digest string) {
	if sh.failed == nil {
		sh.failed = map[string]failed{}
	}
	sh.failed[w.id] = failed{w.process, digest}
}

// failedBy says that a worker of the process failed on the shard.
func (sh *shard) failedBy(process string) bool {
	for _, f := range sh.failed {
		if f.process == process {
			return true
		}
	}
	return false
}

// barred says that a worker may not do a shard, because its process failed on it. Only of a process that is alone with the
// work another life may try: it is the nearest thing to another process.
func (m *Machine) barred(r *run, sh *shard, w *worker) bool {
	_, itself := sh.failed[w.id]
	return itself || sh.failedBy(w.process) && m.others(r, sh, w)
}

// others says that a worker of another process is known that may do the shard.
func (m *Machine) others(r *run, sh *shard, than *worker) bool {
	for _, w := range m.workers {
		if w.process != than.process && r.unfit(r.phase, w) == "" && !sh.failedBy(w.process) {
			return true
		}
	}
	return false
}

// alike says that another process failed on the shard as this worker did, or an earlier life of its own, where it is
// alone: what all of one process say is one word.
func (m *Machine) alike(r *run, sh *shard, w *worker, digest string) bool {
	for id, f := range sh.failed {
		if f.digest == digest && id != w.id && (f.process != w.process || !m.others(r, sh, w)) {
			return true
		}
	}
	return false
}

func (m *Machine) giveUp(r *run, sh *shard) {
	if sh.tries == maxTries {
		m.end(r, Failed, fmt.Sprintf("%s of step %d failed %d times; the last: %s", r.phase.work.Kind, r.phase.work.Step, sh.tries, sh.text))
	}
}
