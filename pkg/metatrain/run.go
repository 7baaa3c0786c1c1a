package metatrain

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// run is one run under this leadership: its truth (cells), its state (what a checkpoint holds) and the phase at work.
type run struct {
	id        string
	spec      RunSpec
	specRev   int64
	specBytes []byte
	digest    string

	status    cell[StatusRecord]
	pointer   cell[PointerRecord]
	decisions cell[DecisionsRecord]

	state State
	phase *phase
	// life counts how often the state was brought back or put away: what was begun in another life goes no further.
	life     int
	broken   error // its keys cannot be read: it is left alone
	creating bool
	creators []uint64 // requests that wait for the creation
	user     string   // who asked for the creation
	used     float64  // microseconds of workers' time that it took, over its weight
	saving   bool
	nextSave *save
	saveAt   int64 // Mono from which nextSave is to be tried again
	unsaved  int64 // Mono of the oldest state that is to be durable and is not, 0 = none
	held     bool  // no more work is granted: an outage of the store

	micros       map[Kind]float64             // of a task: the median of paces
	paces        map[Kind]map[*worker]float64 // microseconds that a task takes each worker
	lastProgress int64                        // Mono of the last accepted result, or of the last object put for a publication
	retry        int64                        // Mono at which to load again, 0 = not to
	lastLoss     float64
	rate         rate
	spares       [][]float32           // vectors done with, for results to come
	refs         map[string]*reference // to parameters in the store, by digest
	shareAt      int64                 // Mono from which parameters are put there again
	sharing      bool                  // some are there
	evaluation   []byte                // the table, once evaluated

	audits   []*audit       // outstanding, the oldest first
	behind   map[*phase]int // of these by the phase that they are of
	unlike   int            // of these in dispute
	accusing bool           // a quarantine or a rewind is on its way to the record
	over     bool           // all is done but audits

	note string // what people should know: a resume that passed something over, a store that fails
}

func (r *run) read(kv KV, field string) error {
	switch field {
	case "spec":
		spec, err := DecodeSpec(kv.Value)
		if err != nil {
			return fmt.Errorf("read state %s: %w", kv.Key, err)
		}
		r.spec, r.specRev, r.specBytes, r.digest = spec, kv.ModRev, kv.Value, spec.Digest()
	case "status":
		return r.status.load(kv)
	case "pointer":
		return r.pointer.load(kv)
	case "decisions":
		return r.decisions.load(kv)
	}
	return nil
}

func (r *run) active() bool { return r.status.val.State == Active }

// load brings the run's last durable state back; without a checkpoint it starts at theta_0.
func (m *Machine) load(r *run) {
	m.rest(r)
	r.micros, r.paces, r.lastProgress, r.state = map[Kind]float64{}, map[Kind]map[*worker]float64{}, m.clock.Mono, State{}
	r.used = max(r.used, m.served)
	if r.pointer.rev == 0 && !m.cfg.Spools {
		m.advance(r)
		return
	}
	m.ask(r, m.cfg.Spools)
}

// rest puts the run's state away: a run that is not at work holds no parameters (G6).
func (m *Machine) rest(r *run) {
	m.dropPhase(r)
	if m.unrefer(r); r.sharing {
		r.sharing = false
		m.emit(DropThetas{Run: r.id})
	}
	for len(r.audits) > 0 {
		m.close(r, r.audits[0])
	}
	r.over, r.accusing = false, false
	r.life++
	r.nextSave, r.evaluation, r.retry, r.spares, r.unsaved, r.held = nil, nil, 0, nil, 0, false
	r.state.Theta, r.state.Opt, r.state.Best, r.state.Bests = nil, nil, nil, nil
}

// maxSpare bounds, in bytes, the memory that is kept for results to come, of two vectors or more: to take it anew costs
// more than to sum it.
const maxSpare = 4 << 20

// spare keeps the memory of a vector that is done with.
func (r *run) spare(vec []float32) {
	if len(r.spares) == 0 || 4*len(vec)*(len(r.spares)+1) <= maxSpare {
		r.spares = append(r.spares, vec)
	}
}

// unspare takes a vector kept, nil where there is none.
func (r *run) unspare() []float32 {
	n := len(r.spares)
	if n == 0 {
		return nil
	}
	vec := r.spares[n-1]
	r.spares = r.spares[:n-1]
	return vec
}

func (m *Machine) ask(r *run, spooled bool) {
	id, life := m.nextID(), r.life
	m.waiting[id] = func(d Done) {
		if r.life == life {
			m.loaded(r, d, spooled)
		}
	}
	m.emit(LoadCheckpoint{ID: id, Run: r.id, Spec: r.digest, Pointer: r.pointer.val.Key, Rewinds: r.decisions.val.Rewinds, Spooled: spooled})
}

func (m *Machine) loaded(r *run, d Done, spooled bool) {
	r.note = d.Text
	switch d.Outcome {
	case Absent: // every checkpoint is gone or broken: theta_0 leads to the same bits, later
		m.advance(r)
		return
	case OK:
	default: // the store fails: other runs go on, and this one ends with a reason if that lasts
		r.note, r.retry = "load checkpoint: "+d.Text, m.clock.Mono+loadAgain
		return
	}
	ckpt, err := checkpoint.DecodeCheckpoint(d.Key, d.Data, Contract, r.digest)
	if err == nil {
		r.state, err = decodeState(ckpt)
	}
	if err != nil {
		m.end(r, Failed, fmt.Sprintf("resume: %v", err))
		return
	}
	at := r.pointer.val
	beyond := cmp.Or(cmp.Compare(ckpt.Rewinds, at.Rewinds), cmp.Compare(ckpt.Step, at.Step)) > 0
	if r.pointer.rev != 0 {
		m.retain(r) // the leader before may have died on the way to it
	}
	if m.purge(r) {
		return
	}
	// An older leader may have gone past a step before another one recorded a decision about it.
	if !r.decisions.val.before(&r.state).sameSkips(ckpt.Meta[metaDecisions]) {
		r.state = State{}
		if spooled && beyond { // what is durable is as good as it was
			m.ask(r, false)
			return
		}
		r.note = fmt.Sprintf("checkpoint %s was made under other decisions: starting again from theta_0", d.Key)
	} else if beyond { // it is in the store by now
		r.saving = true
		m.point(r, &save{key: d.Key, rewinds: ckpt.Rewinds, step: ckpt.Step})
	}
	m.saveIf(r, r.afresh() && !beyond && r.state.Theta != nil)
	m.advance(r)
}

// loadAgain is how long, in milliseconds, a failed load waits for the next try.
const loadAgain = 1000

// advance starts the run's next phase. It is a function of the state alone, so that a resumed run goes the same way.
func (m *Machine) advance(r *run) {
	if !r.active() {
		return
	}
	s := &r.state
	switch {
	case s.Track == r.spec.Tracks():
		if r.spec.Evaluation.Table && r.evaluation == nil {
			m.begin(r, Evaluate, 1, s.Bests[0])
			return
		}
		if r.over = len(r.audits) > 0; r.over {
			return // until the last one is settled: nothing is published that rests on one that is not
		}
		m.publish(r)
	case s.Theta == nil:
		m.begin(r, Init, 1, nil)
	case s.validationDue(&r.spec):
		m.begin(r, Validate, r.spec.Validation.Tasks, s.Theta)
	case s.Step < r.spec.Steps && !s.exhausted(&r.spec):
		m.begin(r, Train, r.spec.MetaBatch, s.Theta)
	default:
		s.endTrack()
		m.saveIf(r, true)
		m.advance(r)
	}
}

// end moves the run to another state. Work in hand is dropped once the transaction happened.
func (m *Machine) end(r *run, state RunState, reason string) {
	m.change(r, state, clip(reason), func() {})
}

// change moves the run to another state if, when its turn comes, that may follow the one it is in; then runs either
// way.
func (m *Machine) change(r *run, state RunState, reason string, then func()) {
	var next StatusRecord
	m.enqueue(func() (Txn, bool) {
		next = r.status.val
		if !next.State.may(state) || state == Active && m.quota(next.User, r.id) != "" {
			then()
			return Txn{}, false
		}
		next.State, next.Reason, next.Ended = state, reason, m.clock.Wall
		if state == Active {
			next.Ended = 0
		}
		return Txn{Expect: r.unchanged(), Puts: []Put{{statusKey(r.id), mustJSON(next)}}}, true
	}, func(rev int64) {
		r.status = cell[StatusRecord]{next, rev}
		if state == Active {
			m.load(r)
		} else {
			m.rest(r)
		}
		m.publishStatus(r, true)
		then()
	})
}

// watch loads again where that failed, and ends a run that gets nowhere for its stall time, with the reason and who
// was awaited (G5).
func (m *Machine) watch(r *run) {
	if !r.active() {
		return
	}
	if r.retry != 0 && m.clock.Mono >= r.retry {
		r.retry = 0
		m.ask(r, m.cfg.Spools)
	}
	if !r.saving && r.nextSave != nil && m.clock.Mono >= r.saveAt {
		m.saved(r)
	}
	if held := m.outage(r); held != r.held {
		r.held = held
		m.publishStatus(r, true)
	}
	if r.held { // it goes on by itself
		r.lastProgress = m.clock.Mono
	}
	if idle := m.clock.Mono - r.lastProgress; idle > 1000*r.spec.StallSeconds {
		r.lastProgress = m.clock.Mono // said once
		m.end(r, Paused, fmt.Sprintf("no result for %d s: %s; `warmstart runs resume %s` goes on", idle/1000, m.awaited(r), r.id))
	}
}

// skips lists the tasks of a phase left out by decision, in the order of the decisions.
func (r *run) skips(kind Kind, track int, step int64) []int {
	var out []int
	for _, s := range r.decisions.val.Skips {
		if s.Kind == kind && s.Track == track && s.Step == step {
			out = append(out, s.Task)
		}
	}
	return out
}

func (m *Machine) awaited(r *run) string {
	var who []string
	for _, w := range m.waits(r) {
		who = append(who, w.String())
	}
	if len(who) == 0 && r.phase == nil {
		return cmp.Or(r.note, "the store or a transaction")
	}
	if len(who) == 0 {
		return fmt.Sprintf("%s of step %d waits for a worker, %d known", r.phase.work.Kind, r.phase.work.Step, len(m.workers))
	}
	return strings.Join(who, ", ")
}
