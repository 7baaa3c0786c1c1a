package coordinator

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// refusals counts the requests that were refused, by who sent them and what for, and tells the log of the first and
// then of each tenfold number: a peer that is broken, or worse, fills neither the log nor the memory.
type refusals struct {
	log *slog.Logger

	mu     sync.Mutex
	counts map[refusal]int
}

type refusal struct{ source, op string }

// maxSources bounds who is told apart.
const maxSources = 1000

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{log: log, counts: map[refusal]int{}}
}

// note counts a request that was refused for a reason.
func (r *refusals) note(req request, why string) {
	by := refusal{source(req), short(req.op)}
	r.mu.Lock()
	if r.counts[by] == 0 && len(r.counts) >= maxSources {
		by = refusal{"others", "any"}
	}
	r.counts[by]++
	n := r.counts[by]
	r.mu.Unlock()
	if metatrain.Notable(n) {
		r.log.Warn("refused a request", "op", by.op, "source", by.source, "count", n, "err", why)
	}
}

// byOp is how many were refused, by operation: one that is unknown, or of many sources, counts as other.
func (r *refusals) byOp() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := map[string]int{}
	for by, n := range r.counts {
		if !slices.Contains(operations, by.op) {
			by.op = "other"
		}
		counts[by.op] += n
	}
	return counts
}

// operations are those that are served.
var operations = []string{"lease", "beat", "fail", "result", "fetch", "upload", "submit", "control", "question"}

// source names who sent a request: the worker it says, else the connection it came by.
func source(req request) string {
	var head struct {
		Worker string `json:"worker"`
	}
	if _, _ = metatrain.DecodeFrame(req.data, &head); head.Worker != "" { // also from a frame that is refused
		return "worker " + short(head.Worker)
	}
	return "connection " + short(req.from)
}

// short bounds what is kept and shown of a name from outside.
func short(name string) string {
	const most = 100
	if len(name) > most {
		return fmt.Sprintf("%.100s... (%d bytes)", name, len(name))
	}
	return name
}
