package metatrain

import (
	"math"
	"math/bits"
	"slices"
)

// phase is one kind of work over one theta: a step's meta-batch, a validation, theta_0 or the table. Its shards are
// the aligned subtrees of one level.
type phase struct {
	work   Work // Node unset
	tasks  int
	skip   []int
	theta  []byte // wire form, served to workers
	pooled []byte
	level  int
	first  int // the index of the first shard's node
	shards []shard
	next   int // no shard below is pending
	open   int // shards that nobody does
	done   int
	tree   *Tree
	began  int64

	pooledDigest string
	// deciding: a decision about this phase is on its way to the record. No result counts until it is there, or one
	// more would end a step that the record says went otherwise.
	deciding bool
	search   int64 // Mono before which nobody searches for late shards

	audit *audit // whose phase this is, nil for one of the run's own

	unfit map[*worker]string // why a worker may not do this work, "" where it may

	transfers map[int]*transfer // by shard
	parked    []announced       // by shard, the lowest first
}

// shard is one unit of dispatch and what the ledger knows of it.
type shard struct {
	done   bool
	leases []*lease          // at most two: the first and a speculative copy
	failed map[string]failed // by worker: never leased to them again
	text   string            // the last failure
	tries  int               // failures of any kind
	spent  int               // leases that ran out: the next one is longer
	mark   string            // of the result that counts, in a run outside G1
	rests  int64             // Mono before which it is not leased, after a failure that may pass
}

// lease is one grant.
type lease struct {
	Lease
	run      *run
	phase    *phase
	worker   *worker
	granted  int64
	deadline int64
}

// begin starts a phase, and makes the parameters known that no worker can have yet.
func (m *Machine) begin(r *run, kind Kind, tasks int, theta []float32) {
	m.dropPhase(r)
	m.settlePace(r, kind)
	s := &r.state
	p := &phase{
		work:  Work{Run: r.id, Spec: r.digest, Kind: kind, Track: s.Track, Step: s.Step, Decisions: r.decisions.val.Digest()},
		tasks: tasks, skip: r.skips(kind, s.Track, s.Step), tree: NewTree(tasks), began: m.clock.Mono, unfit: map[*worker]string{},
		transfers: map[int]*transfer{},
	}
	p.tree.spare = r.spare
	if kind == Evaluate {
		p.work.Track, p.work.Step = 0, s.BestSteps[0]
		if len(s.Bests) > 1 {
			p.pooled = EncodeFloats(s.Bests[1])
			p.pooledDigest = Digest(p.pooled)
		}
	}
	if theta != nil {
		p.theta = EncodeFloats(theta)
		p.work.Theta = Digest(p.theta)
	}
	m.unrefer(r, p.work.Theta, p.pooledDigest)
	if p.pooled != nil {
		m.share(r, p.pooledDigest, p.pooled)
	}
	if theta != nil {
		m.share(r, p.work.Theta, p.theta)
	}
	r.phase = p
	p.level = m.shardLevel(r, kind, tasks)
	p.shards = make([]shard, NodesAt(p.level, tasks))
	p.open = len(p.shards)
}

// Work sizes a shard aims at, in microseconds: not so small that the round trip shows, not so large that a death costs much.
const (
	leastShard = 2_000
	mostShard  = 40_000
)

// shardLevel sizes shards: every worker gets one, none is below leastShard of work, none needlessly above mostShard.
// It never changes bits; where it would, the spec says it.
func (m *Machine) shardLevel(r *run, kind Kind, tasks int) int {
	if kind == Train && r.spec.rounds() {
		return min(bits.Len(uint(r.spec.Results.ShardTasks))-1, RootLevel(tasks))
	}
	if tasks == 1 {
		return 0
	}
	root := RootLevel(tasks)
	if n := m.cfg.ShardTasks; n > 0 {
		return min(bits.Len(uint(n))-1, root)
	}
	micros, hands := r.micros[kind], max(1, m.hands(r))
	if micros == 0 {
		return max(0, root-2-RootLevel(hands)) // nothing observed yet: a few shards each
	}
	share := (tasks + hands - 1) / hands
	level := min(RootLevel(share), max(0, int(math.Floor(math.Log2(mostShard/micros)))))
	least := max(0, int(math.Ceil(math.Log2(leastShard/micros))))
	return min(max(level, least), root)
}

// dropPhase forgets the phase in hand; its leases are void.
func (m *Machine) dropPhase(r *run) {
	if r.phase == nil {
		return
	}
	for i := range r.phase.shards {
		for _, l := range slices.Clone(r.phase.shards[i].leases) {
			m.release(l)
		}
	}
	m.dropOffers(r.phase)
	r.phase = nil
}

// at is the shard of a node.
func (p *phase) at(d Node) *shard { return &p.shards[d.Index-p.first] }

// release takes a lease out of the ledger; its shard is pending again unless done or copied.
func (m *Machine) release(l *lease) {
	m.holds(l, false)
	p := l.phase
	sh := p.at(l.Work.Node)
	sh.leases = slices.DeleteFunc(sh.leases, func(o *lease) bool { return o == l })
	if t := p.transfers[l.Work.Node.Index]; t != nil && t.worker == l.worker.id {
		m.abandon(l.run, l.Work.Node.Index)
	}
	if !sh.done && len(sh.leases) == 0 {
		p.open++
		p.next = min(p.next, l.Work.Node.Index)
		m.room = m.room || len(p.parked) > 0 // for what comes from who holds no lease
	}
}

// lend notes a lease of a shard.
func (p *phase) lend(l *lease) {
	sh := p.at(l.Work.Node)
	if len(sh.leases) == 0 {
		p.open--
	}
	sh.leases = append(sh.leases, l)
	p.search = min(p.search, l.lateAt(l.granted))
}

// settle notes that a shard is done.
func (p *phase) settle(sh *shard) {
	if len(sh.leases) == 0 {
		p.open--
	}
	sh.done = true
	p.done++
}

// pending finds a shard this worker may do that nobody does: the one it began the last step with, else the lowest.
func (m *Machine) pending(r *run, w *worker) int {
	p := r.phase
	for ; p.next < len(p.shards); p.next++ {
		if sh := &p.shards[p.next]; !sh.done && len(sh.leases) == 0 {
			break
		}
	}
	if p.work.Kind == Train && m.free(r, w.home, w) {
		return w.home
	}
	for i := p.next; i < len(p.shards); i++ {
		if m.free(r, i, w) {
			return i
		}
	}
	return -1
}

// free says that there is such a shard, that nobody does it, and that this worker may.
func (m *Machine) free(r *run, i int, w *worker) bool {
	if i >= len(r.phase.shards) {
		return false
	}
	sh := &r.phase.shards[i]
	return !sh.done && len(sh.leases) == 0 && sh.rests <= m.clock.Mono && !m.barred(r, sh, w)
}

// lowest is the first shard not done.
func (p *phase) lowest() *shard {
	for i := range p.shards {
		if !p.shards[i].done {
			return &p.shards[i]
		}
	}
	return nil
}

// expected is how many tasks of a node contribute once skipped ones are left out.
func (p *phase) expected(d Node) int {
	lo, hi := d.Span(p.tasks)
	n := hi - lo
	for _, t := range p.skip {
		if t >= lo && t < hi {
			n--
		}
	}
	return n
}
