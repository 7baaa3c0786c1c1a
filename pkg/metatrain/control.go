package metatrain

import (
	"cmp"
	"fmt"
	"slices"
)

// submit starts a run, once: the same spec under the same name is the run that is there already.
func (m *Machine) submit(req uint64, s Submit, payload []byte) {
	spec, err := DecodeSpec(payload)
	if err != nil {
		m.reply(req, Answer{Term: m.term, Error: err.Error()})
		return
	}
	generation := 0
	for m.runs[spec.RunID(generation+1)] != nil {
		generation++
	}
	there := m.runs[spec.RunID(generation)]
	switch {
	case len(s.Token) > 64 || len(s.User) > 64:
		m.reply(req, Answer{Term: m.term, Error: fmt.Sprintf("submit: token of %d characters, user of %d, expected at most 64", len(s.Token), len(s.User))})
		return
	case there == nil:
	case there.creating:
		there.creators = append(there.creators, req)
		return
	case !s.Fresh || s.Token != "" && there.status.val.Token == s.Token: // the latter was asked before, and its answer lost
		m.reply(req, Answer{Term: m.term, Run: there.id, Runs: []RunStatus{m.status(there)}})
		return
	default:
		generation++
	}
	if why := m.quota(s.User, ""); why != "" {
		m.reply(req, Answer{Term: m.term, Error: why})
		return
	}
	m.create(req, spec, generation, s)
}

// create puts the spec to the store before the transaction that starts the run.
func (m *Machine) create(req uint64, spec RunSpec, generation int, s Submit) {
	id := spec.RunID(generation)
	r := &run{id: id, spec: spec, specBytes: EncodeSpec(spec), digest: spec.Digest(), creating: true, user: s.User, creators: []uint64{req}}
	m.runs[id] = r
	answer := func(a Answer) {
		for _, req := range r.creators {
			m.reply(req, a)
		}
		r.creators = nil
	}
	m.put(SpecObject(id), r.specBytes, func(d Done) {
		switch d.Outcome {
		case OK:
			m.begun(r, s, answer)
		case Conflict: // left by a creation that came to nothing, with other paths or saving habits
			delete(m.runs, id)
			m.create(req, spec, generation+1, s)
		default:
			delete(m.runs, id)
			answer(Answer{Term: m.term, Error: "store the spec: " + d.Text})
		}
	})
}

func (m *Machine) begun(r *run, s Submit, answer func(Answer)) {
	status := StatusRecord{State: Active, Created: m.clock.Wall, Token: s.Token, User: s.User}
	m.enqueue(func() (Txn, bool) {
		return Txn{
			Expect: []Expect{{specKey(r.id), 0}, {statusKey(r.id), 0}},
			Puts:   []Put{{specKey(r.id), r.specBytes}, {statusKey(r.id), mustJSON(status)}},
		}, true
	}, func(rev int64) {
		r.specRev, r.status, r.creating = rev, cell[StatusRecord]{status, rev}, false
		m.order = append(m.order, r.id)
		m.load(r)
		answer(Answer{Term: m.term, Run: r.id, Created: true, Runs: []RunStatus{m.status(r)}})
	})
}

// control cancels, pauses, resumes or weighs a run, or lifts a quarantine. The answer comes when the transaction happened. To ask for the state that
// a run is in already is success, so that a request whose answer was lost can be repeated.
func (m *Machine) control(req uint64, c Control) {
	answer := func(err string) { m.reply(req, Answer{Term: m.term, Run: c.Run, Error: err}) }
	if c.Action == "lift" {
		m.lift(c.Worker, answer)
		return
	}
	next, known := map[string]RunState{"cancel": Cancelled, "pause": Paused, "resume": Active}[c.Action]
	r := m.runs[c.Run]
	switch {
	case !known && c.Action != "weight":
		answer(fmt.Sprintf("unknown action %q, expected cancel, pause, resume, weight or lift", c.Action))
	case r == nil || r.creating:
		answer(fmt.Sprintf("no run %q; `warmstart runs ls` lists them", c.Run))
	case r.broken != nil:
		answer(r.broken.Error())
	case c.Action == "weight":
		m.weigh(r, c.Weight, answer)
	default:
		m.change(r, next, "", func() {
			if state := r.status.val.State; state != next {
				why := ""
				if state.may(next) {
					why = m.quota(r.status.val.User, r.id)
				}
				answer(cmp.Or(why, fmt.Sprintf("run %s is %s: cannot %s it", c.Run, state, c.Action)))
				return
			}
			answer("")
		})
	}
}

// maxListed is how many runs, the latest, fit one answer, and maxWorkers how many workers, by id.
const (
	maxListed  = 200
	maxWorkers = 1500
)

func (m *Machine) question(req uint64, q Question) {
	a := Answer{Term: m.term, Workers: m.known(q.Host)}
	if q.Host != "" {
		a.fit()
		m.reply(req, a)
		return
	}
	for id, r := range m.runs {
		if !r.creating && (q.Run == "" || q.Run == id) {
			a.Runs = append(a.Runs, m.status(r))
		}
	}
	if q.Run != "" && len(a.Runs) == 0 {
		a.Error = fmt.Sprintf("no run %q; `warmstart runs ls` lists them", q.Run)
	}
	slices.SortFunc(a.Runs, func(x, y RunStatus) int {
		return cmp.Or(cmp.Compare(x.Created, y.Created), cmp.Compare(x.Run, y.Run))
	})
	a.Runs = a.Runs[max(0, len(a.Runs)-maxListed):]
	a.Quarantine = m.quarantined()
	a.fit()
	m.reply(req, a)
}

// known are the workers of a host, or all where it is "", by id.
func (m *Machine) known(host string) (out []WorkerStatus) {
	for _, w := range m.workers {
		if host == "" || host == w.hello.Host {
			out = append(out, w.status(m.clock.Mono))
		}
	}
	slices.SortFunc(out, func(x, y WorkerStatus) int { return cmp.Compare(x.ID, y.ID) })
	return out
}

// fit leaves out what a frame's header has no room for: the oldest runs and quarantines, then the last workers by id.
// Names are anybody's, and too long an answer would be none (G5).
func (a *Answer) fit() {
	workers := a.Workers[:min(len(a.Workers), maxWorkers)]
	a.Workers = nil
	left := MaxHeader - len(mustJSON(a))
	for left < 0 && max(len(a.Runs), len(a.Quarantine)) > 1 {
		a.Runs, a.Quarantine = a.Runs[len(a.Runs)/2:], a.Quarantine[len(a.Quarantine)/2:]
		left = MaxHeader - len(mustJSON(a))
	}
	for i := range workers {
		if left -= workers[i].room(); left < 0 {
			workers = workers[:i]
			break
		}
	}
	a.Workers = workers
}

// fetch serves what the machine itself holds: parameters by digest and specs by run. Objects are the driver's to serve.
func (m *Machine) fetch(req uint64, f Fetch) {
	if r := m.runs[f.Spec]; f.Spec != "" && r != nil {
		m.chunk(req, r.specBytes, f.Offset)
		return
	}
	for _, r := range m.runs {
		if data := r.parameters(f.Theta); data != nil {
			m.serve(r, req, f, data)
			return
		}
	}
	m.reply(req, Chunk{Term: m.term, Absent: true})
}

// parameters are those of the work at hand and of what is audited, by digest; nil: they are not here.
func (r *run) parameters(digest string) []byte {
	all := []*phase{}
	if r.phase != nil {
		all = append(all, r.phase)
	}
	for _, a := range r.audits {
		all = append(all, a.again)
	}
	for _, p := range all {
		switch {
		case digest == "":
		case p.work.Theta == digest:
			return p.theta
		case p.pooledDigest == digest:
			return p.pooled
		}
	}
	return nil
}

func (m *Machine) chunk(req uint64, data []byte, offset int) {
	offset = min(max(offset, 0), len(data))
	m.emit(Reply{Req: req, Msg: Chunk{Term: m.term, Total: len(data)}, Payload: data[offset:min(len(data), offset+MaxChunk)]})
}
