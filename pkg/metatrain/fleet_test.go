package metatrain

import (
	"fmt"
	"slices"
	"testing"
)

// fleet is a rig with workers that take their time, in virtual milliseconds and without faults: for claims about
// time. Each asks for two leases, works on one, beats, and hears what is not wanted any more, as pkg/worker does.
type fleet struct {
	*rig
	hands []*hand
	plans map[string]*plan
	spent map[string]int64 // ms of work by run, of results that counted
	began map[string][]int64
}

type hand struct {
	id     string
	pace   func(now int64) float64 // ms for a task
	held   []Lease
	poll   uint64
	seq    uint64
	until  int64 // of the work on held[0]; 0 = not begun
	start  int64
	beatAt int64
}

func newFleet(t *testing.T, cfg Config, alter func(*RunSpec)) *fleet {
	t.Helper()
	g := newRig(t, cfg, alter)
	g.submit()
	return &fleet{rig: g, plans: map[string]*plan{g.plan.id: g.plan}, spent: map[string]int64{}, began: map[string][]int64{}}
}

// join adds a worker that takes pace ms for a task.
func (f *fleet) join(id string, pace func(now int64) float64) *hand {
	h := &hand{id: id, pace: pace}
	f.hands = append(f.hands, h)
	return h
}

func steady(ms float64) func(int64) float64 { return func(int64) float64 { return ms } }

// live lets so many ms pass.
func (f *fleet) live(ms int64) {
	f.t.Helper()
	for end := f.now + ms; f.now < end; {
		f.now++
		f.settle()
		if f.now%50 == 0 {
			f.step(Tick{})
		}
		for _, h := range f.hands {
			f.work(h)
		}
		f.note()
	}
}

// note writes down when each step of training began.
func (f *fleet) note() {
	for _, id := range f.m.order {
		r := f.m.runs[id]
		if p := r.phase; p != nil && p.work.Kind == Train && p.work.Track == 0 {
			if times := f.began[id]; len(times) == int(p.work.Step) {
				f.began[id] = append(times, p.began)
			}
		}
	}
}

func (f *fleet) work(h *hand) {
	f.t.Helper()
	if h.poll != 0 {
		if _, ok := f.replies[h.poll]; ok {
			h.held = append(h.held, said[LeaseReply](f.rig, h.poll).Leases...)
			h.poll = 0
		}
	}
	if h.poll == 0 && len(h.held) < maxHolding {
		h.seq++
		h.poll = f.ask(Hello{Worker: h.id, Protocol: Protocol, Contract: Contract, Holding: h.holding(), Seq: h.seq, WaitMS: 5000}, nil)
	}
	if len(h.held) > 0 && f.now >= h.beatAt {
		h.beatAt = f.now + 500
		for _, id := range hear[Ack](f.rig, Beat{Worker: h.id, Leases: h.holding()}, nil).Drop {
			if h.held[0].ID == id {
				h.until = 0
			}
			h.held = slices.DeleteFunc(h.held, func(l Lease) bool { return l.ID == id })
		}
	}
	if len(h.held) == 0 {
		return
	}
	l := h.held[0]
	if h.until == 0 {
		lo, hi := l.Work.Node.Span(l.Tasks)
		h.start, h.until = f.now, f.now+max(1, int64(float64(hi-lo)*h.pace(f.now)))
	}
	if f.now < h.until {
		return
	}
	f.deliver(h, l)
	h.held, h.until = h.held[1:], 0
}

// deliver sends the result of a lease, if its work is still at hand.
func (f *fleet) deliver(h *hand, l Lease) {
	f.t.Helper()
	r := f.m.runs[l.Work.Run]
	if r.phase == nil || r.phase.work.Theta != l.Work.Theta {
		return
	}
	res, payload, _ := f.plans[l.Work.Run].compute(l, "sound", r.phase.theta, r.phase.pooled)
	res.Worker, res.Lease, res.Work, res.Total, res.SHA256 = h.id, l.ID, l.Work, len(payload), Digest(payload)
	res.Micros = 1000 * (f.now - h.start)
	if hear[ResultReply](f.rig, res, payload).Verdict == Accepted {
		f.spent[l.Work.Run] += f.now - h.start
	}
}

func (h *hand) holding() []uint64 {
	var ids []uint64
	for _, l := range h.held {
		ids = append(ids, l.ID)
	}
	return ids
}

// another submits one more run of its own name, as user.
func (f *fleet) another(name string, alter func(*RunSpec)) string {
	f.t.Helper()
	p := &plan{params: 3, bad: map[string]int{}, flaky: map[string]int{}, spec: testSpec()}
	p.spec.Name = name
	alter(&p.spec)
	p.id = p.spec.RunID(0)
	req := f.ask(Submit{}, EncodeSpec(p.spec))
	f.settle()
	if a := said[Answer](f.rig, req); a.Error != "" {
		f.t.Fatal(a.Error)
	}
	f.plans[p.id] = p
	return p.id
}

// Two runs of unlike tasks, meta-batches and shards get the workers' time by their weights, and by new ones once those
// are recorded, under whoever leads.
func TestShare_RunsGetWorkersTimeByWeight(t *testing.T) {
	long := func(s *RunSpec) {
		s.Steps, s.MetaBatch, s.Checkpoint.Every, s.Validation.Every = 1_000_000, 400, 1000, 1_000_000
	}
	f := newFleet(t, Config{}, long)
	other := f.another("other", func(s *RunSpec) { long(s); s.MetaBatch, s.Workers.Weight = 240, 3 })
	for i := range 4 {
		f.join(fmt.Sprint("w", i), func(now int64) float64 { return 3 + float64(i) })
	}
	f.hold(other, 3)
	if e := hear[Answer](f.rig, Control{Run: other, Action: "weight", Weight: 2000}, nil).Error; e == "" {
		t.Error("a weight of 2000 is taken")
	}
	req := f.ask(Control{Run: f.plan.id, Action: "weight", Weight: 9}, nil)
	f.settle()
	if e := said[Answer](f.rig, req).Error; e != "" {
		t.Fatal(e)
	}
	f.hold(other, 3.0/9)
	for _, h := range f.hands { // of another leader
		h.held, h.poll, h.until, h.seq = nil, 0, 0, 0
	}
	f.lead(Config{}, 8)
	f.hold(other, 3.0/9)
}

// hold lets time pass and holds that the other run got so many times what the first got.
func (f *fleet) hold(other string, times float64) {
	f.t.Helper()
	f.live(500)
	clear(f.spent)
	f.live(8000)
	if got := float64(f.spent[other]) / float64(f.spent[f.plan.id]); got < times*0.9 || got > times*1.1 {
		f.t.Errorf("the other run got %d ms of work, the first %d: %.2f times, expected %.2f", f.spent[other], f.spent[f.plan.id], got, times)
	}
}
