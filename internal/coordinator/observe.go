package coordinator

import (
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Watch is where a coordinator leaves what it knows of itself, for others to look at without asking it: the goroutine that
// owns the machine hands over a value of its own and never waits.
type Watch struct {
	latest atomic.Pointer[observation]
	store  storeHealth
}

// observation is one leader's view of the cluster. It is never changed once handed over.
type observation struct {
	taken       time.Time
	term        metatrain.Term
	runs        []metatrain.RunStatus
	workers     int
	quarantined int
	known       map[string]bool // ids of workers; nil before the machine was asked
	refused     map[string]int  // requests, by operation
}

// observeEvery is how old what is seen of a leader may be, while all is well: it costs the machine's goroutine a
// millisecond at 1,000 workers.
const observeEvery = 2 * time.Second

// ownRequest is the number of the question that the driver asks on its own account; those of others count from 1.
const ownRequest = 0

// lead and standBy tell when an observation is of use: what a leader knew is nobody's view after its term.
func (w *Watch) lead(term metatrain.Term) {
	if w != nil {
		w.latest.Store(&observation{taken: time.Now(), term: term})
	}
}

func (w *Watch) standBy() {
	if w != nil {
		w.latest.Store(nil)
	}
}

// observing says that it is time to ask the machine again.
func (d *driver) observing() bool {
	if d.cfg.Watch == nil || time.Since(d.observed) < observeEvery {
		return false
	}
	d.observed = time.Now()
	return true
}

// observe hands over what the machine answered.
func (d *driver) observe(a metatrain.Answer) {
	o := &observation{
		taken: time.Now(), term: d.term, runs: a.Runs, workers: len(a.Workers), quarantined: len(a.Quarantine),
		known: map[string]bool{}, refused: d.refusals.byOp(),
	}
	for _, w := range a.Workers {
		o.known[w.ID] = true
	}
	for _, r := range a.Runs { // an answer names so many workers, a run that is not at work counts all
		o.workers = max(o.workers, r.Workers)
	}
	d.cfg.Watch.latest.Store(o)
}

// oldestWait is the wait of a run that lasts longest; false: it waits for nothing.
func oldestWait(r *metatrain.RunStatus) (oldest metatrain.Wait, waits bool) {
	for _, w := range r.Waits {
		if !waits || w.Since > oldest.Since {
			oldest, waits = w, true
		}
	}
	return oldest, waits
}

// whom names whom a wait is for as a label can: a worker, or the first words of what the status says, without what
// differs from one look to the next. Status and log have the rest.
func (o *observation) whom(w metatrain.Wait) string {
	name := w.Worker
	if !o.known[name] {
		name, _, _ = strings.Cut(name, " (")
		name, _, _ = strings.Cut(name, ":")
		name, _, _ = strings.Cut(name, ",")
	}
	return strings.ToValidUTF8(short(name), "?") // a label of other bytes is refused
}

// storeHealth is since when the store does not take what is put.
type storeHealth struct{ since, last atomic.Int64 } // Unix nanoseconds; 0: it does

func (h *storeHealth) failed(began time.Time) {
	h.since.CompareAndSwap(0, began.UnixNano())
	h.last.Store(time.Now().UnixNano())
}

func (h *storeHealth) answered() { h.since.Store(0) }

// outage is for how long the store has been failing. Where nobody has tried for long, nothing is known.
func (h *storeHealth) outage() time.Duration {
	const stale = 3 * time.Minute // longer than one write is tried for
	since := h.since.Load()
	if since == 0 || time.Since(time.Unix(0, h.last.Load())) > stale {
		return 0
	}
	return time.Since(time.Unix(0, since))
}

// wrote tells the watch how a write that began then went: other bytes under a key are an answer of the store, too, and
// what ends with the leadership tells nothing.
func (p *pass) wrote(began time.Time, err error) {
	switch {
	case p.cfg.Watch == nil || p.ctx.Err() != nil:
	case err == nil || errors.Is(err, checkpoint.ErrExists):
		p.cfg.Watch.store.answered()
	default:
		p.cfg.Watch.store.failed(began)
	}
}
