package metatrain

import "fmt"

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
	return fmt.Sprintf("%s of step %d, tasks %d to %d: %s since %.1f s", w.Kind, w.Step, w.Lo, w.Hi-1, w.Worker, float64(w.Since)/1000)
}

// waits names what the phase in hand waits for: work that is leased, and work that no worker known may do because it
// failed on each of them. At most maxWaits.
func (m *Machine) waits(r *run) []Wait {
	var out []Wait
	p := r.phase
	if len(m.workers) > 0 && m.hands(r) == 0 {
		lo, hi := 0, p.tasks
		return []Wait{{Kind: p.work.Kind, Step: p.work.Step, Lo: lo, Hi: hi, Worker: m.misfit(r), Since: m.clock.Mono - p.began}}
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
		case !sh.done && len(sh.failed) > 0 && m.barred(sh):
			w.Worker = fmt.Sprintf("another worker (%d failed; the last: %s)", len(sh.failed), sh.text)
			w.Since = m.clock.Mono - p.began
		default:
			continue
		}
		out = append(out, w)
	}
	return out
}

// maxWaits is how many waits are named: they travel in a frame's header.
const maxWaits = 8

// barred says that every worker known failed on this shard.
func (m *Machine) barred(sh *shard) bool {
	for id := range m.workers {
		if _, failed := sh.failed[id]; !failed {
			return false
		}
	}
	return true
}
