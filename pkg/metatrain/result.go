package metatrain

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// result takes a worker's whole result in. It counts once, whoever sends it and under whichever term it was leased: what
// matters is that its work is the work at hand, bit for bit (G2).
func (m *Machine) result(res Result, payload []byte) ResultReply {
	r, sh, answer := m.wanted(res)
	if r != nil {
		m.observe(r, res)
	}
	switch {
	case sh == nil:
		return answer
	case m.full(r.phase, sh) && (m.leaseOf(res) == nil || !m.makeRoom(r, sh)):
		return m.hold(r, res)
	}
	return m.count(r, sh, res, payload, r.unspare())
}

// wanted finds the shard that a result is of, nil where it does not count: then answer says why. r is its run, where that
// has work at hand.
func (m *Machine) wanted(res Result) (r *run, sh *shard, answer ResultReply) {
	say := func(v Verdict, reason string) (*run, *shard, ResultReply) {
		m.forget(res)
		return r, nil, ResultReply{Term: m.term, Verdict: v, Reason: reason}
	}
	if w := m.workers[res.Worker]; w != nil {
		w.seen = m.clock.Mono
	}
	if r = m.runs[res.Work.Run]; r == nil || r.phase == nil {
		r = nil
		return say(Stale, "no such work at hand")
	}
	p, node := r.phase, res.Work.Node
	work := p.work
	work.Node = node
	if res.Work != work || node.Level != p.level || node.Index < 0 || node.Index >= len(p.shards) {
		return say(Stale, "for other work than is at hand")
	}
	sh = &p.shards[node.Index]
	switch {
	case !r.allows(m.workers[res.Worker], res):
		return say(Refused, fmt.Sprintf("bits %q, this run needs %q: its spec does not say bits: %s", BitsNone, Contract, BitsAny))
	case sh.done && sh.mark != "" && sh.mark != res.mark():
		return say(Stale, "another result of this work came first, and this run takes unlike bits")
	case sh.done:
		return say(Duplicate, "")
	case p.deciding:
		return r, nil, ResultReply{Term: m.term, Verdict: Hold, Reason: "a decision about this step is being recorded", RetryMS: 20}
	}
	return r, sh, answer
}

// count takes a result in that is wanted and has room. into, where it is as long, becomes its vector.
func (m *Machine) count(r *run, sh *shard, res Result, payload []byte, into []float32) ResultReply {
	m.room = true // whether it counts or is refused, it waits no more
	part, err := m.check(r, r.phase, res, payload, into)
	if err != nil {
		return m.refuse(r, sh, res, err)
	}
	if res.Work.Kind == Evaluate {
		r.evaluation = slices.Clone(payload)
	}
	if i := res.Work.Node.Index; r.phase.transfers[i] != nil { // of a copy's, which this one overtook
		m.abandon(r, i)
	}
	m.accept(r, sh, res, part)
	return ResultReply{Term: m.term, Verdict: Accepted}
}

// refuse turns a malformed result away: its sender does not get the work again.
func (m *Machine) refuse(r *run, sh *shard, res Result, err error) ResultReply {
	if w := m.workers[res.Worker]; m.forget(res) { // else it was said before, or by nobody that was asked
		sh.tries++
		sh.text = "refused: " + clip(err.Error())
		sh.bar(w, "")
		m.giveUp(r, sh)
	}
	return ResultReply{Term: m.term, Verdict: Refused, Reason: err.Error()}
}

// forget gives back the lease a result came under, if there is one.
func (m *Machine) forget(res Result) bool {
	l := m.held(res.Lease, res.Worker)
	if l == nil {
		return false
	}
	m.release(l)
	return true
}

// held is the lease of that number where that worker holds it, else nil.
func (m *Machine) held(id uint64, worker string) *lease {
	if l := m.leases[id]; l != nil && l.worker.id == worker {
		return l
	}
	return nil
}

// leaseOf finds the lease that a result came under: its worker holds it, and is of the process that the result names.
func (m *Machine) leaseOf(res Result) *lease {
	l := m.held(res.Lease, res.Worker)
	if l == nil || l.Work != res.Work || res.Process != "" && processOf(res.Process, res.Worker) != l.worker.process {
		return nil
	}
	return l
}

// hold leaves a result with its worker until there is room. Only where the lowest shard, which makes room, has nobody
// is the result given up, to be computed again: workers full of held results would ask for nothing (G5).
func (m *Machine) hold(r *run, res Result) ResultReply {
	if len(r.phase.lowest().leases) == 0 {
		m.forget(res)
		return ResultReply{Term: m.term, Verdict: Stale, Reason: "lower work comes first"}
	}
	m.prolong(r, res)
	return m.later()
}

// prolong gives the lease of a result that is offered its time anew: the wait is ours, not the worker's.
func (m *Machine) prolong(r *run, res Result) {
	if l := m.held(res.Lease, res.Worker); l != nil {
		l.deadline = m.clock.Mono + m.patience(r, l.phase, res.Work.Node, l.worker)
	}
}

// full says that the window has no room for this shard's partial, beside those held and those on their way. The lowest
// shard not yet done always has room, so that the tree can always go on (G6).
func (m *Machine) full(p *phase, sh *shard) bool {
	return p.work.Kind == Train && len(p.theta)*(p.tree.Held()+len(p.transfers)) >= m.cfg.Window && p.lowest() != sh
}

// check refuses what must not reach the base model (G7).
func (m *Machine) check(r *run, p *phase, res Result, payload []byte, into []float32) (Partial, error) {
	part := Partial{Metrics: slices.Clone(res.Metrics), Tasks: res.Tasks} // the message stays its sender's
	if want := p.expected(res.Work.Node); res.Tasks != want {
		return part, fmt.Errorf("result of %d tasks, expected %d", res.Tasks, want)
	}
	if d := Digest(payload); d != res.SHA256 {
		return part, fmt.Errorf("payload with SHA-256 %.12s, announced %.12s", d, res.SHA256)
	}
	if err := checkMetrics(res, r.spec.metrics(p.work.Kind, p.work.Track)); err != nil {
		return part, err
	}
	var err error
	switch p.work.Kind {
	case Init:
		part.Vec, err = DecodeFloats(payload, len(payload)/4)
		if err == nil {
			err = checkLayout(res.Layout, part.Vec)
		}
	case Train:
		want := len(p.theta) / 4
		if res.Tasks == 0 {
			want = 0
		}
		part.Vec, err = r.spec.decodeSum(payload, want, into)
	case Evaluate:
		_, err = decodeTable(payload)
	}
	return part, err
}

// checkMetrics refuses other than want numbers (0: any), and those that no sum of losses is.
func checkMetrics(res Result, want int) error {
	if want > 0 && res.Tasks > 0 && len(res.Metrics) != want {
		return fmt.Errorf("%d metrics, expected %d", len(res.Metrics), want)
	}
	for i, v := range res.Metrics {
		// A sum of float32 losses; what is larger could overflow further on.
		if bound := float64(math.MaxFloat32 * float64(max(res.Tasks, 1))); !(math.Abs(v) <= bound) {
			return fmt.Errorf("metric %d is %v, expected a number of at most %g", i, v, bound)
		}
	}
	return nil
}

// checkLayout refuses names and shapes that do not cover the parameters without holes, or make no model file.
func checkLayout(layout string, theta []float32) error {
	views, err := DecodeLayout(layout)
	if err != nil {
		return err
	}
	at := 0
	for _, v := range views {
		if v.Offset != at {
			return fmt.Errorf("layout: %s at %d, expected %d", v.Name, v.Offset, at)
		}
		if at += v.Len(); at > len(theta) {
			break // before sizes of any length overflow
		}
	}
	if at != len(theta) || at == 0 {
		return fmt.Errorf("layout of %d parameters or more, vector of %d", at, len(theta))
	}
	_, err = ModelBytes(layout, theta)
	return err
}

// View names a part of the flat parameters. Tracked ones are statistics, which follow the batches (see Settle) instead
// of the optimizer.
type View struct {
	Name   string `json:"name"`
	Offset int    `json:"offset"`
	Shape  []int  `json:"shape"`

	Tracked bool `json:"tracked,omitempty"`
}

// maxView bounds the values of one view, so that products of sizes do not overflow.
const maxView = 1 << 31

// Len is the number of values in the view; maxView where it is more.
func (v View) Len() int {
	n := 1
	for _, d := range v.Shape {
		n = min(n*d, maxView)
	}
	return n
}

// DecodeLayout reads the JSON list of views a worker sends with theta_0.
func DecodeLayout(layout string) ([]View, error) {
	var views []View
	if err := json.Unmarshal([]byte(layout), &views); err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	for _, v := range views {
		for _, d := range v.Shape {
			if d < 1 || d > 1<<30 {
				return nil, fmt.Errorf("layout: %s has shape %v", v.Name, v.Shape)
			}
		}
	}
	return views, nil
}

// accept counts a result and, at the root of the tree, ends the phase.
func (m *Machine) accept(r *run, sh *shard, res Result, part Partial) {
	p := r.phase
	p.settle(sh)
	if r.spec.OutsideG1() {
		sh.mark = res.mark()
	}
	for len(sh.leases) > 0 {
		if l := sh.leases[0]; l.worker.id != res.Worker {
			m.outrun(r, l)
		}
		m.release(sh.leases[0])
	}
	r.lastProgress = m.clock.Mono
	m.contributed(r, res)
	if w := m.workers[res.Worker]; w != nil {
		w.tasks += int64(res.Tasks)
	}
	if p.work.Kind == Train {
		r.rate.add(m.clock.Mono, res.Tasks)
	}
	if sum, done := p.tree.Add(res.Work.Node, part); done {
		m.complete(r, sum, res)
	}
}

// complete ends the phase with the sum over all its tasks.
func (m *Machine) complete(r *run, sum Partial, last Result) {
	kind, s := r.phase.work.Kind, &r.state
	if r.spec.OutsideG1() {
		s.Results = r.phase.chain(s.Results)
	}
	m.dropPhase(r)
	if sum.Tasks == 0 {
		m.end(r, Failed, fmt.Sprintf("%s of step %d: every task is skipped", kind, s.Step))
		return
	}
	for i, v := range sum.Metrics {
		if math.IsInf(v, 0) {
			m.end(r, Failed, fmt.Sprintf("%s of step %d: metric %d grew to %v; lower learner.rate where the learner takes steps, or optimizer.rate", kind, s.Step, i, v))
			return
		}
	}
	switch kind {
	case Init:
		s.Theta, s.Opt, s.Layout = sum.Vec, NewOptimizer(r.spec.Optimizer, len(sum.Vec)), last.Layout
		m.saveIf(r, r.afresh())
	case Train:
		r.lastLoss = sum.Metrics[0] / float64(sum.Tasks)
		if err := s.update(&r.spec, sum.Vec, sum.Tasks); err != nil {
			m.end(r, Failed, err.Error())
			return
		}
		r.spare(sum.Vec)
		m.saveIf(r, s.Step%r.spec.Checkpoint.Every == 0)
	case Validate:
		s.score(r.spec.Criterion(sum.Metrics, sum.Tasks))
	}
	m.publishStatus(r, kind == Validate)
	m.advance(r)
}
