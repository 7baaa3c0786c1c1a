package metatrain

import (
	"fmt"
	"maps"
	"slices"
)

// enqueue runs a transaction once the ones before it happened; then runs once it did. build sees the truth as it is
// when its turn comes, and may return false: nothing to do any more.
func (m *Machine) enqueue(build func() (Txn, bool), then func(rev int64)) {
	m.queue = append(m.queue, func() {
		txn, ok := build()
		if !ok {
			m.dequeue()
			return
		}
		m.commit(txn, func(rev int64) {
			then(rev)
			m.dequeue()
		})
	})
	if !m.committing {
		m.dequeue()
	}
}

func (m *Machine) dequeue() {
	m.committing = len(m.queue) > 0
	if !m.committing {
		return
	}
	next := m.queue[0]
	m.queue = m.queue[1:]
	next()
}

// commit asks for a transaction; then runs only where it happened. Anything else means that this machine's picture
// of the truth is no longer sure: it stops and another is built from the truth, under this term only if the
// transaction certainly came to nothing.
func (m *Machine) commit(txn Txn, then func(rev int64)) {
	id := m.nextID()
	m.waiting[id] = func(d Done) {
		if d.Outcome != OK {
			m.stop(fmt.Sprintf("transaction on %s: %s", txn.Puts[0].Key, d.Text), d.Outcome != Conflict)
			return
		}
		then(d.Rev)
	}
	m.emit(Commit{ID: id, Txn: txn})
}

// stop ends this machine. Who waits for an answer is told to ask again, rather than left to wait (G5).
func (m *Machine) stop(reason string, resign bool) {
	m.polls.each(func(p *poll) { m.answer(p, nil) })
	for _, req := range slices.Sorted(maps.Keys(m.open)) {
		m.reply(req, Answer{Term: m.term, Error: "the coordinator reads its state again; ask again", Retry: true})
	}
	m.stopped = true
	m.emit(Reload{Reason: reason, Resign: resign})
}

// unchanged is what every transaction of a run compares: all that is recorded of it. So a transaction that arrives
// late, when the run has moved on, has no effect; above all no decision is recorded behind a checkpoint that was made
// without it, and no checkpoint or version is made durable that lacks a decision.
func (r *run) unchanged() []Expect {
	return []Expect{
		{statusKey(r.id), r.status.rev},
		{pointerKey(r.id), r.pointer.rev},
		{decisionsKey(r.id), r.decisions.rev},
	}
}
