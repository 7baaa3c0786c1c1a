package metatrain

import "slices"

// poll is a worker waiting for work: a request the machine has not answered yet.
type poll struct {
	req    uint64
	worker *worker // nil once it is answered
	until  int64
}

// spare says that the worker holds a lease already: another one would be a prefetch.
func (p *poll) spare() bool { return len(p.worker.leases) > 0 }

// polls are those that wait, in order of arrival, at most one a worker. A thousand workers wait at once, so that nothing
// here but grant and tick looks at all of them.
type polls struct {
	list []*poll // answered ones too, while they are the fewer
	live int     // that wait
	idle int     // of these, whose workers hold nothing
}

// await lets a worker wait. An older poll of its is answered.
func (m *Machine) await(req uint64, w *worker, until int64) {
	m.dismiss(w)
	w.poll = &poll{req, w, until}
	m.polls.list = append(m.polls.list, w.poll)
	m.polls.live++
	if !w.poll.spare() {
		m.polls.idle++
	}
}

// dismiss answers a worker's poll, if it has one, without work.
func (m *Machine) dismiss(w *worker) {
	if w.poll != nil {
		m.answer(w.poll, nil)
	}
}

// answer ends a poll.
func (m *Machine) answer(p *poll, leases []Lease) {
	m.reply(p.req, LeaseReply{Term: m.term, Leases: leases})
	if m.polls.live--; !p.spare() {
		m.polls.idle--
	}
	p.worker.answered = m.clock.Mono
	p.worker.poll, p.worker = nil, nil
}

// each hands every poll that waits to see, which may answer it.
func (q *polls) each(see func(p *poll)) {
	for _, p := range q.list {
		if p.worker != nil {
			see(p)
		}
	}
	if len(q.list) > 2*q.live {
		q.list = slices.DeleteFunc(q.list, func(p *poll) bool { return p.worker == nil })
	}
}

// holds gives a worker a lease in the books, or takes it out of them: its poll is for a prefetch, or no longer.
func (m *Machine) holds(l *lease, held bool) {
	w := l.worker
	before := len(w.leases)
	if held {
		w.leases[l.ID], m.leases[l.ID] = l, l
	} else {
		delete(w.leases, l.ID)
		w.freed = m.clock.Mono
		delete(m.leases, l.ID)
	}
	if w.poll == nil {
		return
	}
	switch after := len(w.leases); {
	case before == 0 && after > 0:
		m.polls.idle--
	case before > 0 && after == 0:
		m.polls.idle++
	}
}

// offers says whether grant can come to anything: there is a shard that nobody does, or somebody idle for whom the search
// for late ones is due.
func (m *Machine) offers() bool {
	if m.polls.live == 0 {
		return false
	}
	for _, id := range m.order {
		r := m.runs[id]
		if slices.ContainsFunc(r.audits, func(a *audit) bool { return a.free(m.clock.Mono) }) {
			return true
		}
		if p := r.phase; p != nil && !p.deciding && !m.outage(r) && !m.doubts(r) && (p.open > 0 || m.polls.idle > 0 && m.searches(r)) {
			return true
		}
	}
	return false
}
