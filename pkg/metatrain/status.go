package metatrain

import "strings"

// RunStatus is what people and followers see of a run.
type RunStatus struct {
	Run       string   `json:"run"`
	Name      string   `json:"name"`
	State     RunState `json:"state"`
	Reason    string   `json:"reason,omitempty"`
	Note      string   `json:"note,omitempty"`
	Created   int64    `json:"created"` // Unix seconds
	Ended     int64    `json:"ended,omitempty"`
	Phase     Kind     `json:"phase,omitempty"`
	Track     int      `json:"track"`
	Tracks    int      `json:"tracks"`
	Step      int64    `json:"step"`
	Steps     int64    `json:"steps"`
	Loss      float64  `json:"loss"` // mean outer loss of the last step
	Score     *Score   `json:"score,omitempty"`
	BestScore float64  `json:"best_score"`
	BestStep  int64    `json:"best_step"`
	TasksPerS float64  `json:"tasks_per_s"`
	Durable   int64    `json:"durable"` // step of the durable checkpoint, over all tracks
	Version   int      `json:"version,omitempty"`
	Waits     []Wait   `json:"waits,omitempty"`
	Workers   int      `json:"workers"`
	Weight    int      `json:"weight,omitempty"`     // share of the workers' time beside other runs
	User      string   `json:"user,omitempty"`       // who submitted it, as they said
	Audits    *Audits  `json:"audits,omitempty"`     // of a run whose spec asks for some
	OutsideG1 bool     `json:"outside_g1,omitempty"` // the spec takes any worker's bits: the same spec need not give the same model
}

// Audits is how far results are computed twice, and what came of it.
type Audits struct {
	Done        int64    `json:"done"` // in agreement, of what the state rests on
	Outstanding int      `json:"outstanding"`
	Disputed    int      `json:"disputed,omitempty"` // of these: workers disagree
	Rewinds     int64    `json:"rewinds,omitempty"`
	Quarantined []string `json:"quarantined,omitempty"` // workers found out by this run's audits
}

// WorkerStatus is what people see of a worker.
type WorkerStatus struct {
	ID       string `json:"id"`
	Host     string `json:"host,omitempty"`
	Class    string `json:"class,omitempty"`
	Bits     string `json:"bits,omitempty"` // none: only runs with bits: any take its results
	Engine   string `json:"engine,omitempty"`
	Memory   int64  `json:"memory,omitempty"` // bytes
	Slots    int    `json:"slots,omitempty"`  // of its process
	Release  string `json:"release,omitempty"`
	Leaving  bool   `json:"leaving,omitempty"`
	Leases   int    `json:"leases"`
	SilentMS int64  `json:"silent_ms"`
	Tasks    int64  `json:"tasks"`
	Process  string `json:"process,omitempty"` // that it says it is of
}

func (m *Machine) status(r *run) RunStatus {
	s := &r.state
	out := RunStatus{
		Run: r.id, Name: r.spec.Name, State: r.status.val.State, Reason: r.status.val.Reason, Note: r.note,
		Created: r.status.val.Created, Ended: r.status.val.Ended, Version: r.status.val.Version,
		Track: s.Track, Tracks: r.spec.Tracks(), Step: s.Step, Steps: r.spec.Steps, Loss: r.lastLoss,
		BestScore: s.BestScore, BestStep: s.BestStep, TasksPerS: r.rate.perSecond(m.clock.Mono),
		Durable: r.pointer.val.Step, Workers: len(m.workers), OutsideG1: r.spec.OutsideG1(),
		Weight: r.weight(), User: r.status.val.User,
	}
	if n := len(s.BestScores); s.Best == nil && n > 0 { // between tracks and after the last one
		out.BestScore, out.BestStep = s.BestScores[0], s.BestSteps[0]
	}
	if s.Last != nil {
		last := *s.Last
		out.Score = &last
	}
	if r.spec.Audit > 0 {
		out.Audits = m.audits(r)
	}
	if r.broken != nil {
		out.Note = r.broken.Error()
	}
	if r.phase != nil {
		out.Phase, out.Workers = r.phase.work.Kind, m.hands(r)
	}
	out.Waits = m.waits(r)
	return out
}

// audits is what people see of the run's audits.
func (m *Machine) audits(r *run) *Audits {
	a := &Audits{Done: r.state.Audits, Outstanding: len(r.audits), Disputed: r.unlike, Rewinds: r.rewinds()}
	for _, q := range m.quarantine.val.Processes {
		if q.Run == r.id {
			a.Quarantined = append(a.Quarantined, q.Worker)
		}
	}
	return a
}

// status is what people see of the worker.
func (w *worker) status(now int64) WorkerStatus {
	h := &w.hello
	return WorkerStatus{ID: w.id, Host: h.Host, Class: h.Class, Bits: w.bits, Engine: h.Engine, Memory: h.Memory, Slots: h.Slots, Release: h.Release,
		Process: h.Process, Leaving: w.leaving, Leases: len(w.leases), SilentMS: now - w.seen, Tasks: w.tasks}
}

// room is how many bytes the status takes in a frame's header, at most.
func (s *WorkerStatus) room() int {
	n := 280 // names of fields, and numbers
	for _, text := range []string{s.ID, s.Host, s.Class, s.Bits, s.Engine, s.Release, s.Process} {
		for _, c := range []byte(text) {
			if n++; c < ' ' || c > '~' || strings.IndexByte(`"\<>&`, c) >= 0 { // may be written as \u00ff
				n += 5
			}
		}
	}
	return n
}

func (m *Machine) publishStatus(r *run, milestone bool) {
	m.emit(Publish{Run: r.id, Event: m.status(r), Milestone: milestone})
}

// rate counts tasks over the last seconds.
type rate struct {
	buckets [8]struct {
		second int64
		tasks  int64
	}
}

func (t *rate) add(ms int64, tasks int) {
	second := ms / 1000
	b := &t.buckets[second%int64(len(t.buckets))]
	if b.second != second {
		b.second, b.tasks = second, 0
	}
	b.tasks += int64(tasks)
}

// perSecond is the mean over the whole seconds in the window that saw work; the running second counts only alone.
func (t *rate) perSecond(ms int64) float64 {
	now := ms / 1000
	var tasks, first int64 = 0, now
	for _, b := range t.buckets {
		if b.tasks > 0 && b.second < now && b.second > now-int64(len(t.buckets)) {
			tasks += b.tasks
			first = min(first, b.second)
		}
	}
	if first == now {
		b := t.buckets[now%int64(len(t.buckets))]
		if b.second != now {
			return 0
		}
		return float64(b.tasks) * 1000 / float64(max(ms%1000, 100))
	}
	return float64(tasks) / float64(now-first)
}
