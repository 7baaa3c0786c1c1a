package metatrain

import (
	"cmp"
	"fmt"
	"slices"
)

// transfer is a result on its way in chunks: it was announced, and there is room for it (G6).
type transfer struct {
	worker, sha256 string
	lease          uint64      // that the latest announcement or chunk named; it may be none that is held
	total          int         // bytes announced
	vec            []float32   // a gradient's, whose memory data is: nothing is copied once it is whole
	data           []byte      // of total bytes where vec is there; else as long as what came
	got            int         // bytes that are there, from the first
	ahead          map[int]int // where chunks end that came before one below them, by where they begin
	seen           int64       // Mono at which got last grew
}

// announced is an announcement that waits for room.
type announced struct {
	req   uint64
	res   Result
	until int64 // Mono at which it is to be made again
}

// Bounds of results that come in chunks; times are milliseconds.
const (
	maxWhole     = 256 << 20 // bytes of theta_0 or of a table: a gradient is as long as theta
	idleTransfer = 5_000     // without a byte that was missing a transfer is given up
	waitForRoom  = 1_000     // before an announcement is to be made again
	maxAhead     = 64        // chunks that came before one below them
	offersEach   = 4         // announcements that wait, for each shard: there are at most two leases, and older leaders'
)

// inParts says that a message brings a part of its result, or none: then it announces it.
func (res *Result) inParts(payload []byte) bool { return res.Offset != 0 || res.Total > len(payload) }

// offered takes a whole result in, or a chunk of one. A chunk of what has no room yet is an announcement: its bytes are
// passed over, and asked for when there is room.
func (m *Machine) offered(req uint64, res Result, payload []byte) {
	if why := cmp.Or(beyond("worker", "bytes", len(res.Worker), maxName), beyond("process", "bytes", len(res.Process), maxName)); why != "" {
		m.reply(req, ResultReply{Term: m.term, Verdict: Refused, Reason: "result: " + why})
		return
	}
	if reply, heard := m.heard(res, payload); heard {
		m.reply(req, reply)
		return
	}
	if !res.inParts(payload) {
		m.reply(req, m.result(res, payload))
		return
	}
	r, sh, answer := m.wanted(res)
	if sh == nil {
		m.reply(req, answer)
		return
	}
	if err := m.checkHead(r, r.phase, res); err != nil {
		m.reply(req, m.refuse(r, sh, res, err))
		return
	}
	if !m.admits(r, sh, res) {
		m.park(r, req, res)
		return
	}
	t := r.phase.transfers[res.Work.Node.Index]
	if t == nil {
		t = m.admitted(r, res)
		m.prolong(r, res)
	}
	t.lease = res.Lease
	m.reply(req, m.receive(r, sh, t, res, payload))
}

// admits says that a result may come now. It makes room for one whose worker holds its lease, at the cost of what comes
// from who holds none: such a result is as good (G2), but anybody may announce one.
func (m *Machine) admits(r *run, sh *shard, res Result) bool {
	index, held := res.Work.Node.Index, m.leaseOf(res) != nil
	switch t := r.phase.transfers[index]; {
	case t == nil:
	case t.worker == res.Worker && t.sha256 == res.SHA256 && t.total == res.Total && (held || t.lease == res.Lease):
		return true
	case !held || m.leased(t):
		return false // another's comes already
	default:
		m.abandon(r, index)
	}
	return held && m.makeRoom(r, sh) || !held && len(sh.leases) == 0 && !m.full(r.phase, sh)
}

// makeRoom says that there is room for the result of who holds its lease: if need be, that of who holds none is given up,
// the highest leaf's first.
func (m *Machine) makeRoom(r *run, sh *shard) bool {
	for m.full(r.phase, sh) {
		highest := -1
		for i, t := range r.phase.transfers {
			if i > highest && !m.leased(t) {
				highest = i
			}
		}
		if highest < 0 {
			return false
		}
		m.abandon(r, highest)
	}
	return true
}

// leased says that the sender of a transfer holds the lease it names.
func (m *Machine) leased(t *transfer) bool {
	return m.held(t.lease, t.worker) != nil
}

// admitted begins a transfer that there is room for.
func (m *Machine) admitted(r *run, res Result) *transfer {
	t := &transfer{worker: res.Worker, sha256: res.SHA256, total: res.Total, ahead: map[int]int{}, seen: m.clock.Mono}
	if res.Work.Kind == Train && !r.spec.rounds() {
		if t.vec = r.unspare(); len(t.vec) != res.Total/4 {
			t.vec = make([]float32, res.Total/4)
		}
		t.data = memory(t.vec)
	}
	r.phase.transfers[res.Work.Node.Index] = t
	return t
}

// receive takes a chunk of a transfer, in whatever order they come; the last one makes a result of it, each before it is
// answered with the first byte that is missing.
func (m *Machine) receive(r *run, sh *shard, t *transfer, res Result, payload []byte) ResultReply {
	before := t.got
	if t.take(res.Offset, payload); t.got > before { // what moves nothing keeps no room
		t.seen = m.clock.Mono
		m.prolong(r, res)
	}
	if t.got < t.total {
		return ResultReply{Term: m.term, Verdict: More, Offset: t.got}
	}
	delete(r.phase.transfers, res.Work.Node.Index)
	m.observe(r, res)
	return m.count(r, sh, res, t.data, t.vec)
}

// take puts a chunk in its place, unless it is there, or has none.
func (t *transfer) take(at int, chunk []byte) {
	if at < t.got || at > t.total || len(chunk) > t.total-at || len(chunk) == 0 {
		return
	}
	if at > t.got && (len(t.ahead) >= maxAhead || at-t.got > maxAhead*MaxChunk) {
		return // it is asked for again
	}
	if end := at + len(chunk); end > len(t.data) { // memory is had for what came, not for what was announced
		t.data = slices.Grow(t.data, end-len(t.data))[:end]
	}
	if t.ahead[at] != 0 {
		return
	}
	t.ahead[at] = at + copy(t.data[at:], chunk)
	for end := t.ahead[t.got]; end != 0; end = t.ahead[t.got] {
		delete(t.ahead, t.got)
		t.got = end
	}
}

// park lets an announcement wait for room, in order of leaves.
func (m *Machine) park(r *run, req uint64, res Result) {
	p := r.phase
	m.prolong(r, res)
	p.parked = slices.DeleteFunc(p.parked, func(a announced) bool {
		again := a.res.Worker == res.Worker && a.res.Work.Node == res.Work.Node && (m.leaseOf(res) != nil || m.leaseOf(a.res) == nil)
		if again { // its sender has given up waiting for the answer
			m.reply(a.req, m.later())
		}
		return again
	})
	if m.leaseOf(res) == nil && len(p.parked) >= offersEach*len(p.shards) {
		m.reply(req, m.later())
		return
	}
	i, _ := slices.BinarySearchFunc(p.parked, res.Work.Node.Index+1, func(a announced, i int) int { return cmp.Compare(a.res.Work.Node.Index, i) })
	p.parked = slices.Insert(p.parked, i, announced{req, res, m.clock.Mono + waitForRoom})
}

// later asks for an announcement to be made again.
func (m *Machine) later() ResultReply {
	return ResultReply{Term: m.term, Verdict: Hold, Reason: "window full", RetryMS: 20}
}

// admitAll admits to every run once some room was made.
func (m *Machine) admitAll() {
	if !m.room {
		return
	}
	m.room = false
	for _, id := range m.order {
		if r := m.runs[id]; r.phase != nil {
			m.admit(r)
		}
	}
}

// admit gives room to announcements that wait for it, the lowest leaf first: what it joins with makes room (G6).
func (m *Machine) admit(r *run) {
	p := r.phase
	for i := 0; i < len(p.parked) && r.phase == p; {
		a := p.parked[i]
		index := a.res.Work.Node.Index
		if sh := &p.shards[index]; !sh.done && !p.deciding && !m.admits(r, sh, a.res) {
			i++
			continue
		}
		p.parked = slices.Delete(p.parked, i, i+1)
		a.res.Offset = 0
		m.offered(a.req, a.res, nil)
	}
}

// expireTransfers gives up what comes no further and has announcements made again that waited for long. Where the lowest
// shard, which makes room, has nobody, the highest that waits is given up, one at a time, so that its worker asks for
// work (G5).
func (m *Machine) expireTransfers(r *run) {
	p := r.phase
	for i, t := range p.transfers {
		if m.clock.Mono-t.seen > idleTransfer {
			m.abandon(r, i)
		}
	}
	if n := len(p.parked); n > 0 {
		if last := p.parked[n-1]; len(p.lowest().leases) == 0 {
			p.parked = p.parked[:n-1]
			m.reply(last.req, m.hold(r, last.res))
		}
	}
	p.parked = slices.DeleteFunc(p.parked, func(a announced) bool {
		over := m.clock.Mono >= a.until
		if over {
			m.reply(a.req, m.later())
		}
		return over
	})
}

// abandon gives a transfer up.
func (m *Machine) abandon(r *run, i int) {
	if t := r.phase.transfers[i]; t.vec != nil {
		r.spare(t.vec)
	}
	delete(r.phase.transfers, i)
	m.room = true
}

// announced says that a shard's result waits for room or is on its way from who holds its lease: what it waits for is not
// its worker.
func (m *Machine) announced(p *phase, i int) bool {
	if t := p.transfers[i]; t != nil && m.leased(t) {
		return true
	}
	return slices.ContainsFunc(p.parked, func(a announced) bool { return a.res.Work.Node.Index == i && m.leaseOf(a.res) != nil })
}

// dropOffers ends what is on its way to a phase that is over.
func (m *Machine) dropOffers(p *phase) {
	for _, a := range p.parked {
		m.reply(a.req, ResultReply{Term: m.term, Verdict: Stale, Reason: "no such work at hand"})
	}
	p.parked, p.transfers = nil, nil
}

// checkHead refuses what is wrong with a result before any of its bytes come (G7).
func (m *Machine) checkHead(r *run, p *phase, res Result) error {
	if want := p.expected(res.Work.Node); res.Tasks != want {
		return fmt.Errorf("result of %d tasks, expected %d", res.Tasks, want)
	}
	least, most := 0, 0
	switch {
	case p.work.Kind == Init || p.work.Kind == Evaluate:
		most = maxWhole
	case p.work.Kind == Train && res.Tasks > 0:
		least = r.spec.sumBytes(len(p.theta) / 4)
		most = least
	}
	if res.Total < least || res.Total > most {
		return fmt.Errorf("%d bytes announced, expected %d to %d", res.Total, least, most)
	}
	return checkMetrics(res, r.spec.metrics(p.work.Kind, p.work.Track))
}
