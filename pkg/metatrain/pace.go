package metatrain

import (
	"maps"
	"slices"
)

// maxPace bounds what a worker may say that a task took, in microseconds: almost three hours.
const maxPace = 1e10

// observe learns from a result how fast its sender is, whether it counts or not. The latest weighs half: who was slow
// while it warmed up, or began to be, is soon known for what it is.
func (m *Machine) observe(r *run, res Result) {
	w := m.workers[res.Worker]
	if w == nil || res.Tasks <= 0 || res.Micros <= 0 || res.Work.Kind != r.phase.work.Kind {
		return
	}
	each := min(float64(res.Micros)/float64(res.Tasks), maxPace)
	if old := r.pace(w, res.Work.Kind); old > 0 {
		each = (old + each) / 2
	}
	r.paces[res.Work.Kind][w] = each
	if r.micros[res.Work.Kind] == 0 {
		r.micros[res.Work.Kind] = each
	}
}

// outrun learns from a lease that another's result overtook: its worker takes at least as long as it did so far, and as
// it may never be heard with a result of its own, twice what was thought.
func (m *Machine) outrun(r *run, l *lease) {
	if lo, hi := l.Work.Node.Span(l.Tasks); l.first() {
		so := 1000 * float64(m.clock.Mono-l.start()) / float64(hi-lo)
		twice := min(2*r.pace(l.worker, l.Work.Kind), 16*r.micros[l.Work.Kind])
		r.paces[l.Work.Kind][l.worker] = max(so, twice)
	}
}

// pace is what a task of the kind takes this worker, in microseconds; 0: not known.
func (r *run) pace(w *worker, kind Kind) float64 {
	if r.paces[kind] == nil {
		r.paces[kind] = map[*worker]float64{}
	}
	return r.paces[kind][w]
}

// settlePace makes the median over workers what the run goes by: neither one slow machine nor one that says nonsense
// moves it far.
func (m *Machine) settlePace(r *run, kind Kind) {
	paces := r.paces[kind]
	maps.DeleteFunc(paces, func(w *worker, _ float64) bool { return m.workers[w.id] != w })
	if len(paces) > 0 {
		all := slices.Sorted(maps.Values(paces))
		r.micros[kind] = all[(len(all)-1)/2]
	}
}

// first says that the lease is the one its worker is at: of those it holds, the oldest.
func (l *lease) first() bool {
	for id := range l.worker.leases {
		if id < l.ID {
			return false
		}
	}
	return true
}

// start is when its worker came to it.
func (l *lease) start() int64 { return max(l.granted, l.worker.freed) }

// costs is how long a lease takes a worker of typical pace, and this one, in milliseconds; 0: nothing is known.
func (l *lease) costs() (typical, own float64) {
	lo, hi := l.Work.Node.Span(l.Tasks)
	typical = float64(hi-lo) * l.run.micros[l.Work.Kind] / 1000
	if own = float64(hi-lo) * l.run.pace(l.worker, l.Work.Kind) / 1000; own == 0 {
		own = typical
	}
	return typical, own
}

// A copy is worth its while where the worker would, by its pace, need overdue times what the copy takes a typical one,
// or has been at it for so long; but not once it should be done within almost times that.
const (
	overdue = 1.25
	almost  = 0.8
)

// lateAt is when, as things are known now, a copy of the lease is worth its while.
func (l *lease) lateAt(now int64) int64 {
	typical, own := l.costs()
	if typical == 0 { // nothing is known but its deadline
		return l.deadline
	}
	start := float64(l.start())
	if !l.first() { // what its worker does before takes its time too
		start = max(start, float64(now)) + own
	}
	switch end := start + own; {
	case end-float64(now) > overdue*typical:
		return now
	case float64(now) < start+overdue*typical && start+overdue*typical < end-almost*typical:
		return int64(start+overdue*typical) + 1
	case end-float64(now) >= almost*typical && float64(now) >= start+overdue*typical:
		return now
	default:
		return int64(max(end, start+overdue*typical)) + 1
	}
}

// late finds a shard whose only lease is late, the latest first, for a worker that holds nothing, so that it is another's: a
// copy has the same bits, and the first result wins. Copies are at most half as many as the workers.
func (m *Machine) late(r *run, w *worker) int {
	if !m.searches(r) {
		return -1
	}
	p, now := r.phase, m.clock.Mono
	found, worst, copies := -1, 0.0, 0
	p.search = now + searchEvery
	for i := range p.shards {
		sh := &p.shards[i]
		copies += max(0, len(sh.leases)-1)
		if sh.done || m.announced(p, i) || m.barred(r, sh, w) || len(sh.leases) != 1 {
			continue
		}
		l := sh.leases[0]
		at := l.lateAt(now)
		if at > now {
			p.search = min(p.search, at)
			continue
		}
		_, own := l.costs()
		if left := float64(l.start()) + own - float64(now); found < 0 || left > worst {
			found, worst = i, left
		}
	}
	if found < 0 || copies >= max(1, m.hands(r)/2) || m.slower(r, w, p.shards[found].leases[0]) {
		return -1
	}
	p.search = now
	return found
}

// slower says that this worker would take longer with a copy than who has the lease is thought to need yet.
func (m *Machine) slower(r *run, w *worker, l *lease) bool {
	typical, own := l.costs()
	lo, hi := l.Work.Node.Span(l.Tasks)
	mine := float64(hi-lo) * r.pace(w, l.Work.Kind) / 1000
	return mine > 2*typical && mine > float64(l.start())+own-float64(m.clock.Mono)
}

// searchEvery bounds, in milliseconds, how long nobody searches the shards of a phase for late ones.
const searchEvery = 50

// searches says whether a search for late shards is due.
func (m *Machine) searches(r *run) bool {
	return m.clock.Mono >= r.phase.search
}
