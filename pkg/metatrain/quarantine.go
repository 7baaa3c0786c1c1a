package metatrain

import (
	"fmt"
	"maps"
	"slices"
)

// QuarantineRecord is the key quarantine: the processes whose results count nowhere, the latest last.
type QuarantineRecord struct {
	Processes []Quarantined `json:"processes"`
	Count     int64         `json:"count"` // all there ever were
}

// Quarantined is a process that was found out by an audit.
type Quarantined struct {
	N       int64  `json:"n"` // counts from 1
	Process string `json:"process"`
	Worker  string `json:"worker"` // under whose name it gave the wrong result
	Host    string `json:"host,omitempty"`
	Since   int64  `json:"since"` // Unix seconds
	Run     string `json:"run"`
	Reason  string `json:"reason"`
	// Refused counts the results turned away since, as far as this leader knows; it is not recorded.
	Refused int64 `json:"refused,omitempty"`
}

// maxQuarantined bounds the record: beyond it the oldest, which by then should be gone, are forgotten.
const maxQuarantined = 200

const quarantineKey = "quarantine"

func (q *QuarantineRecord) of(process string) *Quarantined {
	for i := range q.Processes {
		if q.Processes[i].Process == process {
			return &q.Processes[i]
		}
	}
	return nil
}

func (q *Quarantined) String() string {
	return fmt.Sprintf("process %s is in quarantine: %s; see to its machine, then `warmstart runs lift %s`", q.Process, q.Reason, q.Process)
}

// accuse records those who lied. Only then it counts.
func (m *Machine) accuse(r *run, a *audit, liars []vote) {
	r.accusing = true
	m.publishStatus(r, true)
	var next QuarantineRecord
	m.enqueue(func() (Txn, bool) {
		next = m.quarantine.val
		next.Processes = slices.Clone(next.Processes)
		for _, v := range liars {
			if next.of(v.process) != nil {
				continue
			}
			next.Count++
			q := Quarantined{N: next.Count, Process: v.process, Worker: v.worker, Since: m.clock.Wall, Run: r.id,
				Reason: fmt.Sprintf("an audit of run %s found its result wrong: %s", r.id, a)}
			if w := m.workers[v.worker]; w != nil {
				q.Host = clip(w.hello.Host)
			}
			next.Processes = append(next.Processes, q)
		}
		if next.Count == m.quarantine.val.Count { // found out by another run too
			m.expel()
			return Txn{}, false
		}
		next.Processes = next.Processes[max(0, len(next.Processes)-maxQuarantined):]
		return Txn{Expect: []Expect{{quarantineKey, m.quarantine.rev}}, Puts: []Put{{quarantineKey, mustJSON(next)}}}, true
	}, func(rev int64) {
		m.quarantine = cell[QuarantineRecord]{next, rev}
		m.expel()
	})
}

// expel frees what those in quarantine hold, strikes what they said, and has the runs go back that rest on it.
func (m *Machine) expel() {
	for _, id := range slices.Sorted(maps.Keys(m.workers)) {
		w := m.workers[id]
		if m.quarantine.val.of(w.process) == nil {
			continue
		}
		for _, l := range w.leases {
			m.release(l)
		}
		m.dismiss(w)
		delete(m.workers, id)
	}
	for _, id := range slices.Clone(m.order) {
		r := m.runs[id]
		r.accusing = false
		if m.purge(r) {
			continue
		}
		for _, a := range slices.Clone(r.audits) {
			a.votes = slices.DeleteFunc(a.votes, func(v vote) bool { return m.quarantine.val.of(v.process) != nil })
			a.judged = false
			m.tally(r, a)
		}
	}
}

// turnAway refuses the result of a process in quarantine, and counts it.
func (m *Machine) turnAway(res Result) (reason string) {
	q := m.quarantine.val.of(m.sender(res))
	if q == nil {
		return ""
	}
	m.forget(res)
	m.turned[q.Process]++
	return q.String()
}

// lift ends a quarantine, by the name of the process or of the worker that it was found out as.
func (m *Machine) lift(name string, answer func(string)) {
	var next QuarantineRecord
	m.enqueue(func() (Txn, bool) {
		next = m.quarantine.val
		next.Processes = slices.DeleteFunc(slices.Clone(next.Processes), func(q Quarantined) bool { return q.Process == name || q.Worker == name })
		if len(next.Processes) == len(m.quarantine.val.Processes) {
			answer(fmt.Sprintf("no process or worker %q is in quarantine; `warmstart runs workers` lists those that are", name))
			return Txn{}, false
		}
		return Txn{Expect: []Expect{{quarantineKey, m.quarantine.rev}}, Puts: []Put{{quarantineKey, mustJSON(next)}}}, true
	}, func(rev int64) {
		m.quarantine = cell[QuarantineRecord]{next, rev}
		answer("")
	})
}

// quarantined is what people see of those in quarantine.
func (m *Machine) quarantined() []Quarantined {
	out := slices.Clone(m.quarantine.val.Processes)
	for i := range out {
		out[i].Refused = m.turned[out[i].Process]
	}
	return out
}
