package metatrain

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// simWorker models pkg/worker: it asks for leases by long poll, holds two, beats, computes one after the other, and
// offers each result until it has a final verdict from whoever leads by then.
type simWorker struct {
	proc
	kind    string // of machine: two of a kind fail alike
	id      string
	lives   int
	pace    int64   // ms per task
	foreman bool    // has workers of its own
	liar    bool    // sends malformed results at times
	chunk   int     // bytes of a result that travel at once, after it was announced; 0: all, along with the announcement
	crooked float64 // how often it answers wrongly, in good form
	quirk   uint32  // in what way
	slots   bool    // tells its process
	births  int     // of processes
	bits    string
	skills  Skills
	lead    *coord
	term    Term
	seq     uint64
	asking  bool
	busy    bool
	leaving bool
	jobs    []*job
	thetas  map[string][]byte
}

type job struct {
	lease    Lease
	begun    bool // parameters are there
	ready    bool // computed
	offering bool
	admitted bool // there is room for it: chunks are asked for
	dropped  bool
	result   Result
	payload  []byte
}

func (k *simWorker) start() {
	k.births++
	k.begin()
}

// begin is a life of the process.
func (k *simWorker) begin() {
	k.up, k.lives = true, k.lives+1
	k.id = fmt.Sprintf("%s.%d", k.name, k.lives)
	k.lead, k.term, k.seq, k.asking, k.busy, k.leaving, k.jobs, k.thetas = nil, Term{}, 0, false, false, false, nil, map[string][]byte{}
	k.w.tell("%s starts", k.id)
	k.find()
	k.beat()
}

// restart is what a worker does whose work failed: another process shows whether the work is at fault.
func (k *simWorker) restart() {
	k.kill()
	k.begin()
}

// hear takes broadcast parameters in.
func (k *simWorker) hear(digest string, data []byte) {
	if Digest(data) == digest {
		k.thetas[digest] = data
	}
}

// find asks everybody who leads and believes the newest term it ever heard of (G4).
func (k *simWorker) find() {
	for _, c := range k.w.coords {
		k.w.ask(&k.proc, &c.proc, 400, func(reply func(any, []byte)) {
			if c.m != nil {
				reply(Announce{Term: c.term}, nil)
			}
		}, func(msg any, _ []byte) { k.follow(c, msg.(Announce).Term) }, func() {})
	}
	k.after(700, func() {
		if k.lead == nil {
			k.find()
		}
	})
}

func (k *simWorker) follow(c *coord, term Term) {
	if term.Less(k.term) || k.lead == c && term == k.term {
		return
	}
	k.lead, k.term = c, term
	k.poll()
	for _, j := range slices.Clone(k.jobs) {
		if j.ready {
			k.offer(j)
		}
	}
}

func (k *simWorker) lose(c *coord) {
	if k.lead == c {
		k.lead = nil
		k.find()
	}
}

// request speaks to the leader it follows; what comes from an older term than the one followed by then is not obeyed.
func (k *simWorker) request(timeout int64, msg any, payload []byte, got func(msg any, payload []byte), lost func(c *coord)) {
	c, term := k.lead, k.term
	k.w.ask(&k.proc, &c.proc, timeout, func(reply func(any, []byte)) { c.serve(term, msg, payload, reply) },
		func(msg any, payload []byte) {
			if term.Less(k.term) {
				lost(c)
				return
			}
			got(msg, payload)
		}, func() { lost(c) })
}

func (k *simWorker) poll() {
	if k.asking || k.leaving || k.lead == nil || len(k.jobs) >= maxHolding {
		return
	}
	k.asking = true
	k.seq++
	h := Hello{Worker: k.id, Process: k.process(), Protocol: Protocol, Contract: Contract, Bits: k.bits, Skills: k.skills, Holding: k.held(), Seq: k.seq, WaitMS: 2000}
	k.request(2500, h, nil, func(msg any, _ []byte) {
		k.asking = false
		if why := msg.(LeaseReply).Refused; why != "" {
			k.turnedAway(why)
			return
		}
		for _, l := range msg.(LeaseReply).Leases {
			if !k.leaving { // else the next beat hands it back
				k.take(l)
			}
		}
		k.after(1, k.poll)
	}, func(c *coord) {
		k.asking = false
		k.lose(c)
		k.after(50, k.poll)
	})
}

func (k *simWorker) held() []uint64 {
	var ids []uint64
	for _, j := range k.jobs {
		ids = append(ids, j.lease.ID)
	}
	return ids
}

func (k *simWorker) take(l Lease) {
	for _, j := range k.jobs {
		if j.lease.Work == l.Work { // a new leader grants what the old one did
			j.lease.ID = l.ID
			return
		}
	}
	if s := k.w.planOf(l.Work.Run).spec; k.bits == BitsNone && !s.OutsideG1() || k.skills.lack(&s, l.Work.Kind, l.Work.Track) != "" {
		k.w.fail("%s, of bits %q, got %+v", k.id, k.bits, l.Work)
	}
	j := &job{lease: l}
	k.jobs = append(k.jobs, j)
	k.prepare(j)
}

// prepare gets the parameters, unless the broadcast brought them.
func (k *simWorker) prepare(j *job) {
	for _, digest := range []string{j.lease.Work.Theta, j.lease.Pooled} {
		if digest == "" || k.thetas[digest] != nil {
			continue
		}
		if k.lead == nil {
			k.give(j, Failure{Task: -1, Text: "no leader", Transient: true})
			return
		}
		k.request(500, Fetch{Theta: digest, Ref: k.w.rng.IntN(4) > 0}, nil, func(msg any, payload []byte) {
			reply := msg.(Chunk)
			if reply.Absent {
				k.give(j, Failure{Task: -1, Text: "theta is gone", Transient: true})
				return
			}
			if reply.URL != "" {
				payload = k.w.store.objects[strings.TrimPrefix(reply.URL, simURL)] // that it is not there is tried again, or had from the leader
			}
			k.hear(digest, payload)
			k.prepare(j)
		}, func(*coord) { k.give(j, Failure{Task: -1, Text: "theta not to be had", Transient: true}) })
		return
	}
	j.begun = true
	k.compute()
}

// give gives work back as failed.
func (k *simWorker) give(j *job, f Failure) {
	f.Worker, f.Lease, f.Work = k.id, j.lease.ID, j.lease.Work
	if k.lead != nil && !j.dropped {
		k.request(500, f, nil, func(any, []byte) {}, func(*coord) {})
	}
	k.forget(j)
}

func (k *simWorker) forget(j *job) {
	k.jobs = slices.DeleteFunc(k.jobs, func(o *job) bool { return o == j })
	k.poll()
}

// compute does one job after the other.
func (k *simWorker) compute() {
	if k.busy {
		return
	}
	i := slices.IndexFunc(k.jobs, func(j *job) bool { return j.begun && !j.ready })
	if i < 0 {
		return
	}
	j := k.jobs[i]
	k.busy = true
	lo, hi := j.lease.Work.Node.Span(j.lease.Tasks)
	spend := 3 + k.pace*int64(hi-lo)
	k.after(spend, func() {
		k.busy = false
		if j.dropped {
			k.forget(j)
			k.compute()
			return
		}
		k.finish(j, spend)
		k.compute()
	})
}

func (k *simWorker) finish(j *job, spend int64) {
	p := k.w.planOf(j.lease.Work.Run)
	compute := p.compute
	if k.foreman {
		compute = func(l Lease, machine string, theta, pooled []byte) (Result, []byte, int) {
			return p.foreman(rand.New(rand.NewPCG(k.w.seed, l.ID)), l, machine, theta, pooled)
		}
	}
	res, payload, bad := compute(j.lease, k.kind, k.thetas[j.lease.Work.Theta], k.thetas[j.lease.Pooled])
	if bad >= 0 {
		k.w.tell("%s fails on %v task %d", k.id, j.lease.Work.Kind, bad)
		text := fmt.Sprintf("task %d is bad", bad)
		k.give(j, Failure{Task: bad, Text: text, Digest: Digest([]byte(text))})
		k.after(5, k.restart)
		return
	}
	res.Worker, res.Process, res.Work, res.Micros, res.Bits = k.id, k.process(), j.lease.Work, spend*1000, k.bits
	if k.bits == BitsNone {
		payload = k.blur(&res, payload)
	}
	if k.crooked > 0 && k.w.rng.Float64() < k.crooked {
		payload = k.lie(&res, payload)
	}
	payload = p.travels(res, j.lease.Work, payload)
	if k.liar && k.w.odds(0.15) {
		payload = spoil(k.w, &res, payload)
		k.w.spoilt[processOf(k.process(), k.id)] = true
	} else {
		res.SHA256 = Digest(payload)
	}
	res.Total = len(payload)
	j.result, j.payload, j.ready = res, payload, true
	k.w.sent[Digest(payload)] = payload // what it says its digest is may be spoilt
	k.offer(j)
}

// spoil makes a result that must be refused.
func spoil(w *world, res *Result, payload []byte) []byte {
	kind, spoilt := w.upTo(4), slices.Clone(payload)
	switch {
	case kind == 0 && len(payload) >= 4 && res.Work.Kind != Evaluate:
		own := Digest([]byte(res.Worker))                // as with lies: no audit finds those out that answer alike
		copy(spoilt, []byte{own[0], own[1], 0xc0, 0x7f}) // NaN
	case kind == 1 && len(payload) >= 8 && res.Work.Kind == Train:
		spoilt = spoilt[:len(spoilt)-4]
	case kind == 2 && len(payload) > 0:
		spoilt[0] ^= 1
		res.SHA256 = Digest(payload)
		return spoilt
	case kind == 3 && res.Work.Kind == Train:
		res.Metrics = append(res.Metrics, 1)
	default:
		res.Tasks++
	}
	res.SHA256 = Digest(spoilt)
	return spoilt
}

func (k *simWorker) offer(j *job) {
	if k.lead == nil || j.offering || !slices.Contains(k.jobs, j) {
		return // follow offers again
	}
	if j.dropped {
		k.forget(j)
		return
	}
	j.result.Lease, j.offering = j.lease.ID, true
	k.request(1500, j.result, j.part(k.chunk), func(msg any, _ []byte) {
		j.offering = false
		switch reply := msg.(ResultReply); reply.Verdict {
		case More:
			j.result.Offset, j.admitted = reply.Offset, true
			if k.w.rng.IntN(4) == 0 { // several are under way at once, in any order
				j.result.Offset = k.w.rng.IntN(len(j.payload))
			}
			k.offer(j)
		case Hold:
			j.result.Offset, j.admitted = 0, false
			k.after(max(reply.RetryMS, 5), func() { k.offer(j) })
		default:
			k.forget(j)
		}
	}, func(c *coord) {
		j.offering, j.admitted, j.result.Offset = false, false, 0
		k.lose(c)
		k.after(100, func() { k.offer(j) })
	})
}

// part is what travels along with the next offer of a result.
func (j *job) part(chunk int) []byte {
	switch {
	case chunk == 0 || len(j.payload) <= chunk:
		return j.payload
	case !j.admitted:
		return nil
	}
	return j.payload[j.result.Offset:min(len(j.payload), j.result.Offset+chunk)]
}

// leave drains: what is not begun is handed back, the rest finished and offered, until a grace period ends.
func (k *simWorker) leave() {
	if !k.up || k.leaving {
		return
	}
	k.w.tell("%s leaves", k.id)
	k.leaving = true
	k.jobs = slices.DeleteFunc(k.jobs, func(j *job) bool { return !j.begun })
	k.beat()
	k.after(k.w.upTo(1500), func() { k.w.bringDown(&k.proc, func() {}, k.start) })
}

// beat says that this worker lives while it holds leases, and drops what nobody wants any more.
func (k *simWorker) beat() {
	k.after(500, k.beat)
	if len(k.jobs) == 0 && !k.leaving || k.lead == nil {
		return
	}
	k.request(400, Beat{Worker: k.id, Leases: k.held(), Leaving: k.leaving}, nil, func(msg any, _ []byte) {
		ack := msg.(Ack)
		for _, j := range k.jobs {
			if slices.Contains(ack.Drop, j.lease.ID) && j.lease.ID>>32 == uint64(ack.Term.Revision) {
				j.dropped = true
			}
		}
	}, func(*coord) {})
}
