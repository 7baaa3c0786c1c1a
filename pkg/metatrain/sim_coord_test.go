package metatrain

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"
)

// coord is a coordinator process: it campaigns and, while it believes to lead, drives a machine by the rules of
// doc.go.
type coord struct {
	proc
	cfg       Config
	m         *Machine
	term      Term
	confirmed int64 // when the last keep-alive that was answered was sent
	trust     int64 // how long it believes in that: longer than the lease, where its clock is bad
	replies   map[uint64]func(any, []byte)
	lastReq   uint64
	pass      int // of machines
	spool     spool
	skew      int64 // seconds that its clock on the wall is off
}

func (c *coord) start() {
	c.up, c.m = true, nil
	c.w.tell("%s starts", c.name)
	c.campaign()
	c.tick()
}

func (c *coord) tick() {
	if c.m != nil && c.w.now-c.confirmed > c.trust {
		c.stepDown("its lease ran out")
	}
	if c.m != nil {
		c.step(Tick{})
	}
	c.after(100, c.tick)
}

func (c *coord) cutOff() bool { return c.cut > c.w.now || c.w.beyond(&c.proc) }

// campaign tries for the leader key now and then, and reads the truth after winning it.
func (c *coord) campaign() {
	defer c.after(200+c.w.upTo(50), c.campaign)
	if c.m != nil || c.cutOff() {
		return
	}
	rev := c.w.etcd.campaign(c)
	if rev == 0 {
		return
	}
	c.term, c.confirmed = Term{Epoch: 1, Revision: rev}, c.w.now
	c.w.tell("%s leads by term %s", c.name, c.term)
	c.build(0)
	c.keepAlive(c.term)
}

func (c *coord) keepAlive(term Term) {
	if c.m == nil || c.term != term {
		return
	}
	sent := c.w.now
	if !c.cutOff() && c.w.etcd.keepAlive(term.Revision) {
		c.after(1+c.w.upTo(20), func() {
			if c.term == term {
				c.confirmed = sent
			}
		})
	}
	c.after(500, func() { c.keepAlive(term) })
}

func (c *coord) stepDown(why string) {
	c.w.tell("%s steps down: %s", c.name, why)
	c.m = nil
	c.pass++
}

func (c *coord) clock() Clock {
	return Clock{Mono: c.w.now, Wall: 1_700_000_000 + c.w.now/1000 + c.skew}
}

func (c *coord) build(afterID uint64) {
	cfg := c.cfg
	cfg.AfterID = afterID
	m, effects, err := NewMachine(cfg, c.term, c.clock(), c.w.etcd.read())
	if err != nil {
		c.w.fail("%s: %v", c.name, err)
		return
	}
	c.pass++
	c.m, c.replies = m, map[uint64]func(any, []byte){}
	c.carryOut(effects)
}

func (c *coord) step(ev Event) {
	if c.m.Stopped() {
		return
	}
	c.carryOut(c.m.Step(c.clock(), ev))
	if c.m == nil {
		return
	}
	holdMachine(c.w, c.m)
	if c.m.Stopped() {
		last, pass := c.m.LastID(), c.pass
		c.after(1+c.w.upTo(20), func() {
			if c.pass == pass {
				c.build(last)
			}
		})
	}
}

// back feeds the end of an effect to the machine that asked, if it still works.
func (c *coord) back(id uint64) func(Done) {
	pass := c.pass
	return func(d Done) {
		if c.m == nil || c.pass != pass {
			return
		}
		d.ID = id
		c.step(d)
	}
}

func (c *coord) carryOut(effects []Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case Reply:
			reply := c.replies[e.Req]
			if reply == nil {
				c.w.fail("%s answers request %d twice: %+v", c.name, e.Req, e.Msg)
				return
			}
			delete(c.replies, e.Req)
			reply(e.Msg, e.Payload)
		case PutObject:
			c.w.store.put(c, e.Key, e.Data, c.spooling(e, c.back(e.ID)))
		case Commit:
			c.w.etcd.commit(c, c.term, e.Txn, c.back(e.ID))
		case LoadCheckpoint:
			done := c.back(e.ID)
			c.after(1+c.w.upTo(30), func() { done(c.load(e)) })
		case DropCheckpoints:
			c.spool.drop(e)
			delay := c.w.upTo(20)
			if c.w.befalls("plan of retention late", 0.3) {
				delay = c.w.upTo(10_000)
			}
			c.w.after(delay, func() { c.w.store.drop(e) }) // even after this process's end
		case Share:
			done := c.back(e.ID)
			c.w.store.put(c, e.Key, e.Data, func(d Done) {
				d.Key = simURL + e.Key
				done(d)
			})
		case DropThetas:
			drop := func() {
				for _, key := range e.Plan(slices.Collect(maps.Keys(c.w.store.objects))) {
					delete(c.w.store.objects, key)
				}
			}
			c.w.after(c.w.upTo(20), drop)
		case Broadcast:
			for _, wk := range c.w.workers {
				c.w.send(&c.proc, &wk.proc, func() { wk.hear(e.Digest, e.Data) })
			}
		case Reload:
			c.w.tell("%s starts again: %s", c.name, e.Reason)
			if e.Resign && !c.w.stubborn {
				c.stepDown("its transaction's outcome is unknown, or another leads")
				if !c.cutOff() {
					c.w.etcd.resign(c.term.Revision)
				}
			}
		}
	}
}

// serve answers a request addressed to a term, as the subject of the wire form does.
func (c *coord) serve(term Term, msg any, payload []byte, reply func(any, []byte)) {
	if c.m == nil || c.term != term {
		reply(nil, nil) // no responders
		return
	}
	if c.m.Stopped() {
		return // lost with the machine
	}
	c.lastReq++
	c.replies[c.lastReq] = c.noting(msg, payload, reply)
	c.step(Asked{Req: c.lastReq, Msg: msg, Payload: payload})
}

// holdMachine checks what must hold of a machine between events.
func holdMachine(w *world, m *Machine) {
	if m.Stopped() {
		return
	}
	for _, wk := range m.workers {
		if len(wk.leases) > maxHolding {
			w.fail("%s holds %d leases", wk.id, len(wk.leases))
		}
	}
	holdPolls(w, m)
	for _, id := range m.order {
		if r := m.runs[id]; r.phase != nil {
			if err := holdPhase(m, r); err != nil {
				w.fail("run %s: %v", id, err)
			}
		}
	}
}

// holdPolls holds that the books of who waits are right, and that no poll was passed over that could have been granted.
func holdPolls(w *world, m *Machine) {
	live, idle := 0, 0
	for _, p := range m.polls.list {
		if p.worker == nil {
			continue
		}
		if live++; !p.spare() {
			idle++
		}
		if p.worker.poll != p || m.workers[p.worker.id] != p.worker {
			w.fail("a poll of %s that the machine does not know of", p.worker.id)
		}
	}
	if live != m.polls.live || idle != m.polls.idle {
		w.fail("%d polls, %d of idle workers, the books say %d and %d", live, idle, m.polls.live, m.polls.idle)
	}
	if m.offers() {
		return
	}
	if m.look(); len(m.effects) > 0 {
		w.fail("left ungranted: %+v", m.take())
	}
}

func holdPhase(m *Machine, r *run) error {
	p := r.phase
	if r.status.val.State != Active {
		return fmt.Errorf("has work at hand and is %s", r.status.val.State)
	}
	prefix, done, open := 0, 0, 0
	for i := range p.shards {
		if p.shards[i].done {
			done++
			if prefix == i {
				prefix++
			}
		} else if len(p.shards[i].leases) == 0 {
			open++
		}
	}
	if open != p.open {
		return fmt.Errorf("%d shards that nobody does, the books say %d", open, p.open)
	}
	if done != p.done {
		return fmt.Errorf("%d results counted for %d shards", p.done, done)
	}
	// G6: what fits the window, and what the lowest shards, which always have room, leave on their way up.
	most := (m.cfg.Window+len(p.theta)-1)/max(1, len(p.theta)) + bits.OnesCount(uint(prefix))
	if p.transfers[prefix] != nil {
		most++
	}
	if held := p.tree.Held() + len(p.transfers); p.work.Kind == Train && held > most {
		return fmt.Errorf("%d partials held or on their way, at most %d fit the window", held, most)
	}
	if err := holdParked(m, p); err != nil {
		return err
	}
	for i := range p.shards {
		sh := &p.shards[i]
		for _, l := range sh.leases {
			if m.leases[l.ID] != l || l.worker.leases[l.ID] != l || l.phase != p {
				return fmt.Errorf("lease %d is not in the ledger", l.ID)
			}
			if _, failed := sh.failed[l.worker.id]; failed {
				return fmt.Errorf("shard %d is with %s, which failed on it", i, l.worker.id)
			}
		}
		if len(sh.leases) > 2 || len(sh.leases) == 2 && sh.leases[0].worker == sh.leases[1].worker {
			return fmt.Errorf("shard %d has %d leases, or two with one worker", i, len(sh.leases))
		}
		if sh.done && len(sh.leases) > 0 {
			return fmt.Errorf("shard %d is done and leased", i)
		}
		if !sh.done && len(sh.leases) == 0 && i < p.next {
			return fmt.Errorf("shard %d is forgotten", i)
		}
	}
	return nil
}

// holdParked holds that announcements wait in order of leaves, and none for which there is room.
func holdParked(m *Machine, p *phase) error {
	for i, a := range p.parked {
		index := a.res.Work.Node.Index
		if i > 0 && p.parked[i-1].res.Work.Node.Index > index {
			return fmt.Errorf("announcement of shard %d waits before that of %d", p.parked[i-1].res.Work.Node.Index, index)
		}
		sh := &p.shards[index]
		if may := m.leaseOf(a.res) != nil || len(sh.leases) == 0; may && p.work.Kind == Train && !p.deciding && p.transfers[index] == nil && !m.full(p, sh) {
			return fmt.Errorf("announcement of shard %d waits though there is room", index)
		}
	}
	return nil
}

// simURL begins the addresses of parameters in the store.
const simURL = "sim://"

// leaders lists who believes to lead, the newest term first.
func (w *world) leaders() []*coord {
	var out []*coord
	for _, c := range w.coords {
		if c.up && c.m != nil {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *coord) int { return -cmp.Compare(a.term.Revision, b.term.Revision) })
	return out
}
