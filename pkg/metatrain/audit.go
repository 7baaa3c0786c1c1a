package metatrain

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// audit is a result that counted and is computed once more, by a worker of another process, to see whether it was
// right. Its step does not wait for that; what is made durable, and the run's end, do.
type audit struct {
	// again is the phase that the result counted in, cut to the result's own shard. A lease of it is like any other, so
	// that nobody is told what is audited.
	again *phase
	of    *phase
	// bound is the last step, over all tracks, at which a state does not rest on the result.
	bound int64
	votes []vote // one of each process; the first is the result that counted
	// unlike: the processes heard so far do not agree. judged: they do, and who gave another result is being recorded.
	unlike, judged bool
}

// vote is what a process says that a piece of work comes to.
type vote struct {
	process, worker, mark string
}

// maxBehind bounds the steps behind the one at work whose parameters are kept for audits; they take at most one part in
// behindShare of the window, or are those of one step (G6).
const (
	maxBehind   = 8
	behindShare = 4
)

// processOf names the process behind a worker: as it says, else the worker is its own. Names are kept, so bounded.
func processOf(process, worker string) string {
	name := cmp.Or(process, worker)
	if len(name) > 200 {
		return Digest([]byte(name))
	}
	return name
}

// sender is the process behind a result.
func (m *Machine) sender(res Result) string {
	if w := m.workers[res.Worker]; w != nil {
		return w.process
	}
	return processOf(res.Process, res.Worker)
}

// chosen draws the work that is audited, by a hash whose key is the leader's own: nobody can tell beforehand.
func (m *Machine) chosen(share float64, work Work) bool {
	mac := hmac.New(sha256.New, m.cfg.AuditSecret)
	mac.Write(mustJSON(work))
	return float64(binary.BigEndian.Uint64(mac.Sum(nil))>>11)*0x1p-53 < share
}

// contributed notes whose result the state rests on from now on, and has some results computed again.
func (m *Machine) contributed(r *run, res Result) {
	if r.spec.Audit == 0 {
		return
	}
	p, process, bound := r.phase, m.sender(res), r.state.Global(&r.spec)
	if p.work.Kind == Init {
		bound-- // a state of the same step rests on it
	}
	r.state.contributes(process, bound, m.quarantine.val.Count)
	if !m.chosen(r.spec.Audit, res.Work) {
		return
	}
	again := &phase{work: res.Work, tasks: p.tasks, skip: p.skip, theta: p.theta, pooled: p.pooled, pooledDigest: p.pooledDigest,
		level: p.level, first: res.Work.Node.Index, shards: make([]shard, 1), open: 1, began: m.clock.Mono, unfit: p.unfit}
	again.audit = &audit{again: again, of: p, bound: bound, votes: []vote{{process, res.Worker, res.mark()}}}
	r.audits = append(r.audits, again.audit)
	if r.behind == nil {
		r.behind = map[*phase]int{}
	}
	r.behind[p]++
}

// auditFor finds an audit that nobody does and this worker may do, the oldest first.
func (m *Machine) auditFor(r *run, w *worker) *audit {
	for _, a := range r.audits {
		if a.free(m.clock.Mono) && !a.knows(w.process) && r.unfit(a.again, w) == "" {
			return a
		}
	}
	return nil
}

// free says that somebody is to do the audit, and nobody does.
func (a *audit) free(now int64) bool {
	sh := &a.again.shards[0]
	return !a.judged && len(sh.leases) == 0 && sh.rests <= now
}

// knows says that the process was heard already, or failed on it.
func (a *audit) knows(process string) bool {
	return a.again.shards[0].failedBy(process) || slices.ContainsFunc(a.votes, func(v vote) bool { return v.process == process })
}

// doubts says that no more of the run's steps is granted for now: processes disagree, or somebody is found out and that is
// being recorded, or too many steps wait for their audits.
func (m *Machine) doubts(r *run) bool {
	if r.accusing || r.unlike > 0 {
		return true
	}
	behind := len(r.behind)
	if behind == 0 || r.phase == nil {
		return false
	}
	if r.behind[r.phase] > 0 {
		behind--
	}
	return behind >= maxBehind || behind > 0 && behindShare*(behind+1)*len(r.phase.theta) > m.cfg.Window
}

// heard answers what is offered by a process in quarantine, or for an audit; false: it is neither. Of a result that comes
// in parts its announcement is enough: to give the digest that another found one has to have found it too.
func (m *Machine) heard(res Result, payload []byte) (ResultReply, bool) {
	if why := m.turnAway(res); why != "" {
		return ResultReply{Term: m.term, Verdict: Refused, Reason: why}, true
	}
	if r := m.runs[res.Work.Run]; r != nil && len(r.audits) > 0 {
		return m.audited(r, res, payload)
	}
	return ResultReply{}, false
}

// audited takes a result in as a vote in an audit, from the worker that was asked for it and no other: names that nobody
// checked would else put whoever disagrees with them in quarantine. false: it is for none.
func (m *Machine) audited(r *run, res Result, payload []byte) (ResultReply, bool) {
	l := m.leaseOf(res)
	if l == nil || l.phase.audit == nil || l.phase.audit.judged || l.run != r || !r.allows(l.worker, res) {
		return ResultReply{}, false
	}
	a, w := l.phase.audit, l.worker
	err := m.checkHead(r, a.again, res)
	if err == nil && !res.inParts(payload) {
		var part Partial
		if part, err = m.check(r, a.again, res, payload, r.unspare()); part.Vec != nil {
			r.spare(part.Vec)
		}
	}
	m.release(l)
	w.seen = m.clock.Mono
	if err != nil {
		a.again.shards[0].bar(w, "")
		m.auditFails(r, a, "refused: "+clip(err.Error()))
		return ResultReply{Term: m.term, Verdict: Refused, Reason: err.Error()}, true
	}
	w.tasks += int64(res.Tasks)
	r.lastProgress = m.clock.Mono
	a.votes = append(a.votes, vote{w.process, w.id, res.mark()})
	m.tally(r, a)
	return ResultReply{Term: m.term, Verdict: Accepted}, true
}

// tally settles an audit once two processes agree. Whoever gave another result lied.
func (m *Machine) tally(r *run, a *audit) {
	right, agreed := a.agreed()
	if unlike := !agreed && len(a.votes) > 1; unlike != a.unlike {
		a.unlike = unlike
		r.unlike += map[bool]int{true: 1, false: -1}[unlike]
		m.publishStatus(r, true)
	}
	if !agreed {
		return
	}
	liars := slices.DeleteFunc(slices.Clone(a.votes), func(v vote) bool { return v.mark == right })
	if len(liars) > 0 {
		a.judged = true
		m.accuse(r, a, liars)
		return
	}
	m.close(r, a)
	r.state.Audits++
	if r.over && len(r.audits) == 0 {
		r.over = false
		m.advance(r)
	}
}

// agreed is the mark that two processes gave.
func (a *audit) agreed() (mark string, ok bool) {
	seen := map[string]bool{}
	for _, v := range a.votes {
		if seen[v.mark] {
			return v.mark, true
		}
		seen[v.mark] = true
	}
	return "", false
}

// close takes an audit off the run's list.
func (m *Machine) close(r *run, a *audit) {
	for sh := &a.again.shards[0]; len(sh.leases) > 0; {
		m.release(sh.leases[0])
	}
	r.audits = slices.DeleteFunc(r.audits, func(o *audit) bool { return o == a })
	if r.behind[a.of]--; r.behind[a.of] == 0 {
		delete(r.behind, a.of)
	}
	if a.unlike {
		r.unlike--
	}
}

// failedAudit takes a report in that an audit could not be done. It is held against nobody: whose failure it is, the task's
// or its worker's, shows where the task is at work.
func (m *Machine) failedAudit(r *run, a *audit, w *worker, f Failure) {
	sh := &a.again.shards[0]
	if f.Transient || f.Digest == "" {
		sh.rests = m.clock.Mono + min(int64(100)<<min(sh.tries, 10), 5_000)
	} else {
		sh.bar(w, f.Digest)
	}
	m.auditFails(r, a, clip(f.Text))
}

// auditFails notes that an audit could not be done: by others it may be.
func (m *Machine) auditFails(r *run, a *audit, text string) {
	sh := &a.again.shards[0]
	sh.tries++
	sh.text = text
	if sh.tries == maxTries {
		m.end(r, Failed, fmt.Sprintf("the audit of %s failed %d times; the last: %s", a, sh.tries, text))
	}
}

// settled says that no state at the step rests on a result whose audit is still to come.
func (r *run) settled(step int64) bool {
	return !slices.ContainsFunc(r.audits, func(a *audit) bool { return a.bound < step })
}

func (a *audit) String() string {
	w := a.again.work
	lo, hi := w.Node.Span(a.again.tasks)
	return fmt.Sprintf("%s of step %d, tasks %d to %d", w.Kind, w.Step, lo, hi-1)
}

// auditWaits names what a run in doubt, or at its end, waits for. Which results are audited is said of none that is not
// in dispute: workers may ask too.
func (m *Machine) auditWaits(r *run) []Wait {
	var out []Wait
	idle := 0
	for _, a := range r.audits {
		sh := &a.again.shards[0]
		if len(sh.leases) == 0 {
			idle++
		}
		if !a.unlike || len(out) == maxWaits {
			continue
		}
		w := Wait{Kind: a.again.work.Kind, Step: a.again.work.Step, Since: m.clock.Mono - a.again.began}
		w.Lo, w.Hi = a.again.work.Node.Span(a.again.tasks)
		var who []string
		for _, v := range a.votes {
			who = append(who, v.worker)
		}
		w.Worker = fmt.Sprintf("a worker of a third process to say who is wrong: %s give unlike results", strings.Join(who, " and "))
		if len(sh.leases) > 0 {
			w.Worker, w.Since = sh.leases[0].worker.id+", to say who is wrong: "+strings.Join(who, " or "), m.clock.Mono-sh.leases[0].granted
		}
		out = append(out, w)
	}
	if len(out) > 0 || !r.over && !m.doubts(r) || len(r.audits) == 0 {
		return out
	}
	first := r.audits[0].again
	return []Wait{{Kind: waitAudit, Step: r.state.Step, Since: m.clock.Mono - first.began,
		Worker: fmt.Sprintf("workers of other processes than those whose results are audited (%d audits outstanding, %d with nobody)", len(r.audits), idle)}}
}
