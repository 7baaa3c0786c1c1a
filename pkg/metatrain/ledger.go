package metatrain

import (
	"fmt"
	"slices"
)

// worker is one life of one worker process, as long as it is heard of.
type worker struct {
	id string
	// process is who answers for its results: those of one process are wrong together.
	process string
	hello   Hello // the latest, without lists
	leases  map[uint64]*lease
	seen    int64
	joined  int64
	tasks   int64 // contributed
	// bits, class and skills are those of its first hello: they belong to a life.
	bits   string
	class  string
	skills Skills
	unable map[string]string // runs it said it can do no work of, and why
	// leaving: it drains and gets nothing more.
	leaving bool
	// home is the shard it began step homeStep with: the next step's is granted to it first, whose tasks it may have drawn
	// already.
	home     int
	homeStep int64
	freed    int64 // Mono at which it last came to the end of a lease
	poll     *poll // its request for work, nil while it has none here
	answered int64 // Mono at which the last one was
}

// maxHolding is how many leases a worker holds: one at work, one fetched ahead.
const maxHolding = 2

// hello takes a worker's request for work in; grant answers it when there is some.
func (m *Machine) hello(req uint64, h Hello) {
	if reason := refusal(h); reason != "" {
		m.reply(req, LeaseReply{Term: m.term, Refused: reason})
		return
	}
	if q := m.quarantine.val.of(processOf(h.Process, h.Worker)); q != nil {
		m.reply(req, LeaseReply{Term: m.term, Refused: q.String()})
		return
	}
	w := m.workers[h.Worker]
	if w == nil && len(m.workers) >= maxKnown {
		m.reply(req, LeaseReply{Term: m.term, Refused: fmt.Sprintf("this coordinator knows %d workers, the most it takes", len(m.workers))})
		return
	}
	if w == nil {
		w = &worker{id: h.Worker, process: processOf(h.Process, h.Worker), leases: map[uint64]*lease{}, joined: m.clock.Mono, bits: h.Bits, class: h.Class, skills: h.Skills, homeStep: -1}
		m.workers[h.Worker] = w
	}
	if h.Seq != 0 && h.Seq <= w.hello.Seq { // repeated or overtaken on the way: what it says of leases is out of date
		m.reply(req, LeaseReply{Term: m.term})
		return
	}
	w.seen = m.clock.Mono
	if h.Seq > w.hello.Seq { // it goes on: word that it leaves came before, or was another's
		w.leaving = false
	}
	w.keep(h)
	// What the worker no longer holds was lost on the way: a reply that never arrived, or a process that forgot.
	for _, l := range w.leases {
		if !slices.Contains(h.Holding, l.ID) {
			m.release(l)
		}
	}
	if len(w.leases) >= maxHolding {
		m.dismiss(w)
		m.reply(req, LeaseReply{Term: m.term})
		return
	}
	m.await(req, w, m.clock.Mono+min(max(h.WaitMS, 0), 30_000))
}

// grant answers polls while there is work.
func (m *Machine) grant() {
	if m.offers() {
		m.look()
	}
}

// look goes through all polls: idle workers before those that would fetch ahead, each in order of arrival.
func (m *Machine) look() {
	idle := map[*run]int{}
	for _, spare := range []bool{false, true} {
		m.polls.each(func(p *poll) {
			if p.spare() != spare {
				return
			}
			if l := m.pick(p, idle); l != nil {
				m.answer(p, []Lease{l.Lease})
			}
		})
	}
}

// pick takes the first run in order that has work for this worker. idle keeps what it counts.
func (m *Machine) pick(p *poll, idle map[*run]int) *lease {
	for _, id := range m.order {
		r := m.runs[id]
		if a := m.auditFor(r, p.worker); a != nil {
			return m.lease(r, a.again, a.again.work.Node, p.worker)
		}
		if r.phase == nil || r.phase.deciding || m.outage(r) || m.doubts(r) || r.unfit(r.phase, p.worker) != "" {
			continue
		}
		i := m.pending(r, p.worker)
		if i < 0 && !p.spare() {
			i = m.late(r, p.worker)
		}
		if p.spare() && (i < 0 || !m.beyondIdle(r, idle)) {
			return nil // what comes next of this run must not wait behind work of those whose turn is later
		}
		if i < 0 {
			continue
		}
		return m.lease(r, r.phase, Node{r.phase.level, i}, p.worker)
	}
	return nil
}

// beyondIdle says that there is more to do than the workers who hold nothing can take: at the end of a step what is left
// is for them, not for those who would fetch it ahead.
func (m *Machine) beyondIdle(r *run, idle map[*run]int) bool {
	if r.phase.open > len(m.workers) {
		return true
	}
	n, counted := idle[r]
	if !counted { // once a grant: those it serves meanwhile hold leases already
		n = m.idle(r)
		idle[r] = n
	}
	return r.phase.open > n
}

// idle is how many workers that may do the run's work, heard of lately, hold nothing.
func (m *Machine) idle(r *run) int {
	n := 0
	for _, w := range m.workers {
		if len(w.leases) == 0 && m.clock.Mono-w.seen <= m.cfg.BeatMS && r.unfit(r.phase, w) == "" {
			n++
		}
	}
	return n
}

// patience is how long a lease of a shard lasts: twenty times what was observed, of this worker where it is slower than
// others, and longer each time one ran out.
func (m *Machine) patience(r *run, p *phase, d Node, w *worker) int64 {
	wait := m.cfg.FirstDeadlineMS
	if micros := r.micros[p.work.Kind]; micros > 0 {
		micros = max(micros, r.pace(w, p.work.Kind))
		lo, hi := d.Span(p.tasks)
		wait = max(5_000, int64(20*float64(hi-lo)*micros/1000))
	}
	return wait << min(p.at(d).spent, 6)
}

func (m *Machine) lease(r *run, p *phase, d Node, w *worker) *lease {
	wait := m.patience(r, p, d, w)
	work := p.work
	work.Node = d
	l := &lease{
		Lease: Lease{ID: m.nextID(), Work: work, Tasks: p.tasks, Skip: p.skip, DeadlineMS: wait},
		run:   r, phase: p, worker: w, granted: m.clock.Mono, deadline: m.clock.Mono + wait,
	}
	l.Pooled = p.pooledDigest
	m.holds(l, true)
	if work.Kind == Train && work.Step != w.homeStep && p.audit == nil {
		w.home, w.homeStep = d.Index, work.Step
	}
	p.lend(l)
	m.chargeLease(l)
	return l
}

// beat keeps a worker's leases and tells it which ones nobody wants any more.
func (m *Machine) beat(b Beat) (drop []uint64) {
	w := m.workers[b.Worker]
	if w != nil {
		w.seen = m.clock.Mono
		if b.Leaving {
			m.leave(w)
		}
		for _, l := range w.leases {
			if !slices.Contains(b.Leases, l.ID) && (w.leaving || m.clock.Mono-l.granted > 2*m.cfg.BeatMS) {
				m.release(l) // handed back, or the grant never reached it
			}
		}
	}
	for _, id := range b.Leases {
		if l := m.leases[id]; l == nil || l.worker != w {
			drop = append(drop, id)
		}
	}
	return drop
}

// leave takes a worker's word that it goes: what it waits for is answered, and nothing more is granted to this life.
func (m *Machine) leave(w *worker) {
	w.leaving = true
	m.dismiss(w)
}

func (m *Machine) expirePolls() {
	m.polls.each(func(p *poll) {
		if m.clock.Mono >= p.until {
			m.answer(p, nil)
		}
	})
}

// expireWorkers frees leases that three beats in a row did not speak for, and forgets workers not heard of for ten, those
// that left for three. A worker that waits for an answer of ours need not beat: silence counts from the grant, or from the
// answer, however long the wait was.
func (m *Machine) expireWorkers() {
	for id, w := range m.workers {
		if m.clock.Mono-w.seen <= 3*m.cfg.BeatMS {
			continue
		}
		for _, l := range w.leases {
			if m.clock.Mono-max(w.seen, l.granted) > 3*m.cfg.BeatMS {
				m.release(l)
			}
		}
		silence := 10 * m.cfg.BeatMS
		if w.leaving { // a hello of its, overtaken, may still come
			silence = 3 * m.cfg.BeatMS
		}
		if m.clock.Mono-max(w.seen, w.answered) > silence && len(w.leases) == 0 && w.poll == nil {
			delete(m.workers, id)
		}
	}
}

// patient says that a lease outlasts its deadline, as long as its worker beats: nobody knows yet how long this kind of work
// takes, and to take it away would throw it away, time and again. Somebody idle may get a copy (late).
func (l *lease) patient() bool {
	return l.run.micros[l.Work.Kind] == 0 && l.phase.audit == nil
}

// expireLeases ends those past their deadline, whether their workers beat or not.
func (m *Machine) expireLeases() {
	for _, l := range m.leases {
		if m.clock.Mono > l.deadline && !l.patient() {
			l.phase.at(l.Work.Node).spent++
			m.release(l)
		}
	}
}
