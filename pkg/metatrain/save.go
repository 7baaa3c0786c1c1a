package metatrain

import "github.com/warmstart-ml/warmstart/pkg/checkpoint"

// save is one checkpoint on its way to being durable.
type save struct {
	key  string
	step int64 // over all tracks
	data []byte
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
			next := &save{checkpoint.CheckpointKey(r.id, c.Step, sha), c.Step, data}
			if r.saving {
				r.nextSave = next
				return
			}
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
			m.saved(r)
			return
		}
		r.note = ""
		m.point(r, s)
	})
}

// point moves the pointer in one transaction, which fails where the run was cancelled or the pointer moved (G4).
func (m *Machine) point(r *run, s *save) {
	next := PointerRecord{Step: s.step, Key: s.key}
	m.enqueue(func() (Txn, bool) {
		if !r.active() || r.pointer.rev > 0 && r.pointer.val.Step >= s.step {
			m.saved(r)
			return Txn{}, false
		}
		return Txn{Expect: r.unchanged(), Puts: []Put{{pointerKey(r.id), mustJSON(next)}}}, true
	}, func(rev int64) {
		r.pointer = cell[PointerRecord]{next, rev}
		m.emit(DropCheckpoints{Run: r.id, Keep: r.spec.Checkpoint.Keep, Pointer: s.key})
		m.saved(r)
	})
}

// saved lets the next checkpoint start.
func (m *Machine) saved(r *run) {
	r.saving = false
	if next := r.nextSave; next != nil && r.active() {
		r.nextSave = nil
		m.store(r, next)
	}
}
