package metatrain

import (
	"cmp"
	"fmt"
)

// Wait is one thing a run waits for (G5).
type Wait struct {
	Kind   Kind   `json:"kind"`
	Step   int64  `json:"step"`
	Lo     int    `json:"lo"` // tasks [lo, hi)
	Hi     int    `json:"hi"`
	Worker string `json:"worker"`   // who is to do it
	Since  int64  `json:"since_ms"` // how long
}

func (w Wait) String() string {
	tasks := ""
	if w.Hi-w.Lo > 1 {
		tasks = fmt.Sprintf(", tasks %d to %d", w.Lo, w.Hi-1)
	}
	return fmt.Sprintf("%s of step %d%s: %s since %.1f s", w.Kind, w.Step, tasks, w.Worker, float64(w.Since)/1000)
}

// waits names what the phase in hand waits for: work that is leased, and work that no worker known may do because it
// failed on each of them. At most maxWaits.
func (m *Machine) waits(r *run) []Wait {
	p := r.phase
	if out := m.auditWaits(r); p == nil || len(out) > 0 {
		return out
	}
	var out []Wait
	if m.outage(r) {
		w := Wait{Kind: p.work.Kind, Step: p.work.Step, Hi: p.tasks, Since: m.clock.Mono - r.unsaved}
		w.Worker = fmt.Sprintf("the store, to make durable what is done (the limit is %d s): %s", m.cfg.MaxStoreOutageMS/1000, cmp.Or(r.note, "no answer yet"))
		return []Wait{w}
	}
	if m.hands(r) == 0 {
		return []Wait{{Kind: p.work.Kind, Step: p.work.Step, Hi: p.tasks, Worker: m.misfit(r), Since: m.clock.Mono - p.began}}
	}
	for i := range p.shards {
		if len(out) == maxWaits {
			break
		}
		sh := &p.shards[i]
		lo, hi := Node{p.level, i}.Span(p.tasks)
		w := Wait{Kind: p.work.Kind, Step: p.work.Step, Lo: lo, Hi: hi}
		switch {
		case len(sh.leases) > 0:
			w.Worker, w.Since = sh.leases[0].worker.id, m.clock.Mono-sh.leases[0].granted
		case !sh.done && len(sh.failed) > 0 && m.nobody(r, sh):
			w.Worker = fmt.Sprintf("another worker (%d failed; the last: %s)", len(sh.failed), sh.text)
			w.Since = m.clock.Mono - p.began
		default:
			continue
		}
		out = append(out, w)
	}
	return out
}

// waitAudit is the kind of a wait for audits whose work is not to be known.
const waitAudit Kind = "audit"

// maxWaits is how many waits are named: they travel in a frame's header.
const maxWaits = 8

// nobody says that no worker known may do this shard, as each failed on it.
func (m *Machine) nobody(r *run, sh *shard) bool {
	for _, w := range m.workers {
		if !m.barred(r, sh, w) {
			return false
		}
	}
	return true
}
