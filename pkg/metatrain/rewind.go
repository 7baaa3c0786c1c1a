package metatrain

import (
	"fmt"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// Rewind is a recorded decision: the run goes back. Checkpoints made before it, of a later step than Before, are tainted:
// the run resumes from none of them.
type Rewind struct {
	Before    int64    `json:"before"` // over all tracks; -1: to theta_0
	Processes []string `json:"processes"`
}

// maxRewinds bounds the record, which every checkpoint repeats.
const maxRewinds = 100

// taint says why a checkpoint is not to be resumed from, nil where it may be.
func taint(all []Rewind, rewinds, step int64) error {
	for i := max(0, rewinds); i < int64(len(all)); i++ {
		if d := all[i]; step > d.Before {
			return fmt.Errorf("tainted: rewind %d goes back to step %d, for what %v contributed since", i+1, d.Before, d.Processes)
		}
	}
	return nil
}

// Takes refuses a checkpoint that is tainted.
func (l LoadCheckpoint) Takes(rewinds, step int64) error { return taint(l.Rewinds, rewinds, step) }

// Beyond says that a state that was not durable, of that key, is ahead of the pointer: made since the last rewind, and of
// more steps.
func (l LoadCheckpoint) Beyond(key string) bool {
	return checkpoint.KeyRewinds(key) == int64(len(l.Rewinds)) && checkpoint.KeyOrder(key) > checkpoint.KeyOrder(l.Pointer)
}

// maxMakers bounds the processes that a state names as having contributed.
const maxMakers = 1000

// others stands in Makers for all processes that have no place there.
const others = ""

// contributes notes that the state rests on a result of the process, but for states up to bound; so many have been in
// quarantine by then, and are none of those without a name.
func (s *State) contributes(process string, bound, quarantines int64) {
	if _, known := s.Makers[process]; known {
		return
	}
	if s.Makers == nil {
		s.Makers = map[string]int64{}
	}
	if len(s.Makers) < maxMakers {
		s.Makers[process] = bound
		return
	}
	if _, known := s.Makers[others]; !known {
		s.Makers[others], s.OthersAfter = bound, quarantines
	}
}

// since is the last step at which the state did not rest on the process; false: it does not now.
func (s *State) since(q Quarantined) (bound int64, ok bool) {
	if bound, ok = s.Makers[q.Process]; ok {
		return bound, true
	}
	bound, ok = s.Makers[others]
	return bound, ok && q.N > s.OthersAfter
}

// purge has the run go back to before the first contribution of anyone in quarantine; false: it rests on none. The
// pointer's number of rewinds rises and it names no checkpoint, until the first that is not tainted was found and put anew.
func (m *Machine) purge(r *run) bool {
	bound, who := m.suspects(r)
	if len(who) == 0 || !r.active() {
		return false
	}
	if len(r.decisions.val.Rewinds) >= maxRewinds {
		m.end(r, Failed, fmt.Sprintf("went back %d times, the most there may be: audits find ever new workers wrong", maxRewinds))
		return true
	}
	r.accusing = true
	life := r.life
	var next DecisionsRecord
	m.enqueue(func() (Txn, bool) {
		if r.life != life || !r.active() {
			return Txn{}, false // its next load comes here again
		}
		next = r.decisions.val.upTo(&r.spec, bound)
		next.Rewinds = append(slices.Clone(next.Rewinds), Rewind{Before: bound, Processes: who})
		return Txn{Expect: r.unchanged(), Puts: []Put{
			{decisionsKey(r.id), mustJSON(next)}, {pointerKey(r.id), mustJSON(PointerRecord{Rewinds: int64(len(next.Rewinds))})},
		}}, true
	}, func(rev int64) {
		r.decisions = cell[DecisionsRecord]{next, rev}
		r.pointer = cell[PointerRecord]{PointerRecord{Rewinds: int64(len(next.Rewinds))}, rev}
		m.load(r)
		m.publishStatus(r, true)
	})
	return true
}

// suspects are those in quarantine that the run's state rests on, and the last step at which it rested on none.
func (m *Machine) suspects(r *run) (bound int64, who []string) {
	for _, q := range m.quarantine.val.Processes {
		if b, ok := r.state.since(q); ok {
			if len(who) == 0 || b < bound {
				bound = b
			}
			who = append(who, q.Process)
		}
	}
	return bound, who
}

// upTo gives the decisions that stand when the run goes back to a step: what was decided later, it comes to again.
func (d DecisionsRecord) upTo(spec *RunSpec, step int64) DecisionsRecord {
	d.Skips = slices.DeleteFunc(slices.Clone(d.Skips), func(k Skip) bool {
		return (&State{Track: k.Track, Step: k.Step}).Global(spec) >= step
	})
	return d
}

// rewinds is how often the run went back.
func (r *run) rewinds() int64 { return int64(len(r.decisions.val.Rewinds)) }

// afresh says that the run went back and no checkpoint was made durable since: the next state is put at once, so that the
// store tells by itself where the run stands.
func (r *run) afresh() bool { return r.pointer.rev > 0 && r.pointer.val.Key == "" }
