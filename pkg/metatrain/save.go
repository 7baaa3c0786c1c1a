package metatrain

import "github.com/warmstart-ml/warmstart/pkg/checkpoint"

// save is one checkpoint on its way to being durable.
type save struct {
	key     string
	rewinds int64
	step    int64 // over all tracks
	data    []byte
	made    int64 // Mono
}

// saveIf starts a checkpoint of the state as it is now, where one is due. Training goes on meanwhile: the bytes are a
// copy. While one is on its way only the newest other one waits.
func (m *Machine) saveIf(r *run, due bool) {
	if !due {
		return
	}
	c, err := encodeState(&r.spec, r.digest, r.decisions.val.before(&r.state), &r.state)
	if err == nil {
		var data []byte
		var sha string
		if data, sha, err = c.Encode(); err == nil {
			next := &save{checkpoint.CheckpointKey(r.id, c.Rewinds, c.Step, sha), c.Rewinds, c.Step, data, max(1, m.clock.Mono)}
			if !r.settled(c.Step) { // what it rests on is being audited: watch sees to it
				r.nextSave = next
				return
			}
			if r.unsaved == 0 {
				r.unsaved = next.made
			}
			if r.saving {
				r.nextSave = next
				return
			}
			r.nextSave = nil // one that failed, older than this
			m.store(r, next)
			return
		}
	}
	m.end(r, Failed, "checkpoint: "+err.Error())
}

// store puts a checkpoint; only when it is durable does the pointer move (G3).
func (m *Machine) store(r *run, s *save) {
	r.saving = true
	m.put(s.key, s.data, func(d Done) {
		if d.Outcome != OK { // the driver has tried for long; a newer state is worth more than this one
			r.note = "checkpoint " + s.key + " not saved: " + d.Text
			m.unsaved(r, s, d)
			return
		}
		r.note = ""
		m.point(r, s)
	})
}

// point moves the pointer in one transaction, which fails where the run was cancelled or the pointer moved (G4).
func (m *Machine) point(r *run, s *save) {
	next := PointerRecord{Rewinds: s.rewinds, Step: s.step, Key: s.key}
	m.enqueue(func() (Txn, bool) {
		if !r.active() || s.rewinds != r.rewinds() || r.pointer.val.Key != "" && r.pointer.val.Step >= s.step {
			m.durable(r)
			return Txn{}, false
		}
		return Txn{Expect: r.unchanged(), Puts: []Put{{pointerKey(r.id), mustJSON(next)}}}, true
	}, func(rev int64) {
		r.pointer = cell[PointerRecord]{next, rev}
		m.retain(r)
		m.durable(r)
	})
}

// durable notes that all states up to the one saved are safe.
func (m *Machine) durable(r *run) {
	if r.unsaved = 0; r.nextSave != nil && r.settled(r.nextSave.step) {
		r.unsaved = r.nextSave.made
	}
	m.saved(r)
}

// saveAgain is how long, in milliseconds, a state that could not be put waits for the next try.
const saveAgain = 1000

// unsaved goes on after a state could not be put: with a newer one, or, a little later, with the same. Under a key that
// holds other bytes, which is a corrupt object's, it can never be.
func (m *Machine) unsaved(r *run, s *save, d Done) {
	switch {
	case d.Outcome == Conflict:
		m.durable(r)
	case r.nextSave != nil || !r.active():
		m.saved(r)
	default:
		r.saving, r.nextSave, r.saveAt = false, s, m.clock.Mono+saveAgain
	}
}

// outage says that the run's oldest state that is not durable is older than the operator allows: more work would only
// be lost with it.
func (m *Machine) outage(r *run) bool {
	return r.unsaved != 0 && m.clock.Mono-r.unsaved > m.cfg.MaxStoreOutageMS
}

// saved lets the next checkpoint start.
func (m *Machine) saved(r *run) {
	r.saving = false
	if next := r.nextSave; next != nil && r.active() && r.settled(next.step) {
		r.nextSave = nil
		if r.unsaved == 0 { // it waited for audits until now
			r.unsaved = max(1, m.clock.Mono)
		}
		m.store(r, next)
	}
}

// retain has the checkpoints deleted that the newest durable one makes needless.
func (m *Machine) retain(r *run) {
	if r.afresh() {
		return // nothing is durable that would take the place of what there is
	}
	m.emit(DropCheckpoints{Run: r.id, Keep: r.spec.Checkpoint.Keep, Pointer: r.pointer.val.Key})
}
