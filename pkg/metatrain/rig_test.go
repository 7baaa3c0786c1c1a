package metatrain

import (
	"bytes"
	"maps"
	"slices"
	"testing"
)

// rig holds one machine for tests that play a scene by hand: effects wait until the test lets them end.
type rig struct {
	t       *testing.T
	m       *Machine
	now     int64
	plan    *plan
	req     uint64
	replies map[uint64]Reply
	puts    []PutObject
	commits []Commit
	loads   []LoadCheckpoint
	others  []Effect
	objects map[string][]byte
	keys    map[string]KV
	rev     int64
}

// newRig starts a machine over an empty truth. alter may change the plan's spec.
func newRig(t *testing.T, cfg Config, alter func(s *RunSpec)) *rig {
	t.Helper()
	p := &plan{params: 3, bad: map[string]int{}, flaky: map[string]int{}, spec: testSpec()}
	if alter != nil {
		alter(&p.spec)
	}
	p.id = p.spec.RunID(0)
	g := &rig{t: t, plan: p, objects: map[string][]byte{}, keys: map[string]KV{}, rev: 10}
	g.lead(cfg, 7)
	return g
}

func testSpec() RunSpec {
	return RunSpec{
		Name: "base", Seed: 5, Contract: Contract,
		Family: Section{Name: "sim"}, Model: Section{Name: "mlp"}, Learner: Section{Name: "maml"},
		Optimizer: OptimizerSpec{Name: "adam", Rate: 0.05, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Schedule: "constant"},
		MetaBatch: 4, Steps: 4, Checkpoint: CheckpointSpec{Every: 1, Keep: 2},
		Validation: ValidationSpec{Every: 100, Tasks: 1}, OnBadTask: "skip", StallSeconds: 60,
	}
}

// lead builds a machine from the truth, as a new leader does.
func (g *rig) lead(cfg Config, revision int64) {
	g.t.Helper()
	var truth []KV
	for _, key := range slices.Sorted(maps.Keys(g.keys)) {
		truth = append(truth, g.keys[key])
	}
	m, effects, err := NewMachine(cfg, Term{1, revision}, Clock{Mono: g.now}, truth)
	if err != nil {
		g.t.Fatal(err)
	}
	g.m, g.replies, g.puts, g.commits, g.loads, g.others = m, map[uint64]Reply{}, nil, nil, nil, nil
	g.take(effects)
}

func (g *rig) take(effects []Effect) {
	g.t.Helper()
	for _, e := range effects {
		switch e := e.(type) {
		case Reply:
			if _, twice := g.replies[e.Req]; twice {
				g.t.Fatalf("request %d answered twice: %+v", e.Req, e.Msg)
			}
			g.replies[e.Req] = e
		case PutObject:
			g.puts = append(g.puts, e)
		case Commit:
			g.commits = append(g.commits, e)
		case LoadCheckpoint:
			g.loads = append(g.loads, e)
		default:
			g.others = append(g.others, e)
		}
	}
	if !g.m.Stopped() {
		for _, id := range g.m.order {
			if r := g.m.runs[id]; r.phase != nil {
				if err := holdPhase(g.m, r); err != nil {
					g.t.Fatal(err)
				}
			}
		}
	}
}

func (g *rig) step(ev Event) {
	g.t.Helper()
	g.take(g.m.Step(Clock{Mono: g.now, Wall: 1000 + g.now/1000}, ev))
}

// wait lets ms pass, with ticks as doc.go asks for.
func (g *rig) wait(ms int64) {
	g.t.Helper()
	for end := g.now + ms; g.now < end; {
		g.now = min(g.now+100, end)
		g.step(Tick{})
	}
}

// ask sends a request; the answer is in replies, now or later.
func (g *rig) ask(msg any, payload []byte) uint64 {
	g.t.Helper()
	g.req++
	g.step(Asked{Req: g.req, Msg: msg, Payload: payload})
	return g.req
}

// said gives the answer to a request, which must be there.
func said[M any](g *rig, req uint64) M {
	g.t.Helper()
	reply, ok := g.replies[req]
	if !ok {
		g.t.Fatalf("request %d has no answer", req)
	}
	return reply.Msg.(M)
}

func hear[M any](g *rig, msg any, payload []byte) M {
	g.t.Helper()
	return said[M](g, g.ask(msg, payload))
}

// commit carries the oldest transaction out.
func (g *rig) commit() {
	g.t.Helper()
	c := g.commits[0]
	g.commits = g.commits[1:]
	for _, x := range c.Txn.Expect {
		if g.keys[x.Key].ModRev != x.ModRev {
			g.t.Fatalf("transaction expects %s at %d, it is at %d", x.Key, x.ModRev, g.keys[x.Key].ModRev)
		}
	}
	g.rev++
	for _, p := range c.Txn.Puts {
		g.keys[p.Key] = KV{p.Key, p.Value, g.rev}
	}
	g.step(Done{ID: c.ID, Rev: g.rev})
}

func (g *rig) put() {
	g.t.Helper()
	e := g.puts[0]
	g.puts = g.puts[1:]
	if there, ok := g.objects[e.Key]; ok && !bytes.Equal(there, e.Data) { // objects are immutable
		g.step(Done{ID: e.ID, Outcome: Conflict, Text: "exists with other content"})
		return
	}
	g.objects[e.Key] = e.Data
	g.step(Done{ID: e.ID})
}

func (g *rig) load() {
	g.t.Helper()
	e := g.loads[0]
	g.loads = g.loads[1:]
	d := Done{Key: e.Pointer, Data: g.objects[e.Pointer]}
	switch {
	case e.Pointer == "":
		d = newest(g.objects, e)
	case d.Data == nil:
		d.Outcome = Absent
	}
	d.ID = e.ID
	g.step(d)
}

// settle ends all that is on its way.
func (g *rig) settle() {
	g.t.Helper()
	for len(g.puts)+len(g.commits)+len(g.loads) > 0 {
		switch {
		case len(g.puts) > 0:
			g.put()
		case len(g.commits) > 0:
			g.commit()
		default:
			g.load()
		}
	}
}

func (g *rig) submit() {
	g.t.Helper()
	req := g.ask(Submit{}, EncodeSpec(g.plan.spec))
	g.settle()
	if a := said[Answer](g, req); a.Error != "" || !a.Created || a.Run != g.plan.id {
		g.t.Fatalf("submit: %+v", a)
	}
}

// poll asks for work as a worker; nil: not yet.
func (g *rig) poll(worker string, holding ...uint64) (uint64, *Lease) {
	g.t.Helper()
	req := g.ask(Hello{Worker: worker, Protocol: Protocol, Contract: Contract, Holding: holding, WaitMS: 30_000}, nil)
	return req, g.granted(req)
}

func (g *rig) granted(req uint64) *Lease {
	g.t.Helper()
	if _, ok := g.replies[req]; !ok {
		return nil
	}
	if l := said[LeaseReply](g, req).Leases; len(l) > 0 {
		return &l[0]
	}
	return nil
}

func (g *rig) lease(worker string, holding ...uint64) Lease {
	g.t.Helper()
	_, l := g.poll(worker, holding...)
	if l == nil {
		g.t.Fatalf("no lease for %s", worker)
	}
	return *l
}

// result computes a lease.
func (g *rig) result(worker string, l Lease) (Result, []byte) {
	g.t.Helper()
	r := g.m.runs[l.Work.Run]
	theta, pooled := []byte(nil), []byte(nil)
	if r != nil && r.phase != nil && r.phase.work.Theta == l.Work.Theta {
		theta, pooled = r.phase.theta, r.phase.pooled
	}
	res, payload, bad := g.plan.compute(l, "sound", theta, pooled)
	if bad >= 0 {
		g.t.Fatalf("task %d of %+v is bad", bad, l.Work)
	}
	payload = g.plan.travels(res, l.Work, payload)
	res.Worker, res.Lease, res.Work, res.Total, res.SHA256 = worker, l.ID, l.Work, len(payload), Digest(payload)
	return res, payload
}

func (g *rig) send(worker string, l Lease) Verdict {
	g.t.Helper()
	res, payload := g.result(worker, l)
	return hear[ResultReply](g, res, payload).Verdict
}

// fail reports a lease's work as failed on a task.
func (g *rig) fail(worker string, l Lease, task int, digest string) {
	g.t.Helper()
	hear[Ack](g, Failure{Worker: worker, Lease: l.ID, Work: l.Work, Task: task, Digest: digest, Text: "bad " + digest}, nil)
}

// until works, alone, until the run is at this kind of work in this step (-1: any), settling what else happens.
func (g *rig) until(kind Kind, step int64) {
	g.t.Helper()
	for range 1000 {
		g.settle()
		p := g.run().phase
		if p == nil {
			g.t.Fatalf("no work at hand before %s of step %d; status %+v", kind, step, g.run().status.val)
		}
		if p.work.Kind == kind && (p.work.Step == step || step < 0) {
			return
		}
		if v := g.send("w", g.lease("w")); v != Accepted {
			g.t.Fatalf("verdict %s", v)
		}
	}
}

// finish works until no work is left.
func (g *rig) finish() {
	g.t.Helper()
	for g.settle(); g.run().phase != nil; g.settle() {
		g.send("w", g.lease("w"))
	}
}

func (g *rig) run() *run { return g.m.runs[g.plan.id] }

func (g *rig) state() RunState { return read[StatusRecord](g.keys[statusKey(g.plan.id)].Value).State }

func (g *rig) control(action string) uint64 {
	g.t.Helper()
	return g.ask(Control{Run: g.plan.id, Action: action}, nil)
}
