package metatrain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// What a spec says of bits, beside "", and what a worker says of its own, beside Contract.
const (
	BitsContract = "contract" // of a spec: only results by Contract count. The default
	BitsAny      = "any"      // of a spec: results of workers with BitsNone count too
	BitsNone     = "none"     // of a worker: its results are close, their bits are its own
)

// OutsideG1 says that the run's model need not be a function of the spec: the first result of each piece of work that
// is valid counts, whosever bits it has, and its digest is recorded. Nothing can be audited then.
func (s *RunSpec) OutsideG1() bool { return s.Bits == BitsAny }

// outsideG1 is what a manifest says of such a version.
const outsideG1 = "bits: any: results of workers that do not compute by " + Contract + " counted; the same spec need not give the same model"

// Skills lists by name what a worker can do. An empty list: everything, as far as it knows.
type Skills struct {
	Kinds    []Kind   `json:"kinds,omitempty"`
	Families []string `json:"families,omitempty"`
	Models   []string `json:"models,omitempty"`
	Learners []string `json:"learners,omitempty"`
	Engines  []string `json:"engines,omitempty"`
}

// lack names what of a piece of work the skills lack, "" where nothing.
func (k *Skills) lack(s *RunSpec, kind Kind, track int) string {
	learner := s.Learner.Name
	if track > 0 {
		learner = "pooled"
	}
	if len(k.Kinds) > 0 && !slices.Contains(k.Kinds, kind) {
		return fmt.Sprintf("does no work of kind %s", kind)
	}
	for _, need := range []struct {
		what, name string
		known      []string
	}{{"family", s.Family.Name, k.Families}, {"model", s.Model.Name, k.Models}, {"learner", learner, k.Learners}, {"engine", cmp.Or(s.Engine, "lane"), k.Engines}} {
		if len(need.known) > 0 && !slices.Contains(need.known, need.name) {
			return fmt.Sprintf("does not know %s %s", need.what, need.name)
		}
	}
	return ""
}

// unfit says why a worker may not do the work of a phase, "" where it may.
func (r *run) unfit(p *phase, w *worker) string {
	if w.leaving {
		return "is leaving"
	}
	why, known := p.unfit[w]
	if known {
		return why
	}
	why = w.skills.lack(&r.spec, p.work.Kind, p.work.Track)
	if text, said := w.unable[r.id]; said {
		why = "cannot: " + text
	}
	if class := r.spec.Workers.Class; class != "" && class != w.class {
		why = fmt.Sprintf("is of class %q, and this run asks for %q", w.class, class)
	}
	if w.bits == BitsNone && !r.spec.OutsideG1() {
		why = fmt.Sprintf("gives bits none, and this run takes %s", Contract)
	}
	p.unfit[w] = why
	return why
}

// unable takes a worker's word that it can do none of the run's work.
func (r *run) unable(w *worker, text string) {
	if w.unable == nil {
		w.unable = map[string]string{}
	}
	w.unable[r.id] = text
	if r.phase != nil {
		delete(r.phase.unfit, w)
	}
	for _, a := range r.audits {
		delete(a.again.unfit, w) // of an older phase, maybe
	}
}

// hands is how many workers known may do the work at hand.
func (m *Machine) hands(r *run) int {
	n := 0
	for _, w := range m.workers {
		if r.unfit(r.phase, w) == "" {
			n++
		}
	}
	return n
}

// misfit words what a run waits for that no worker known may work on (G5).
func (m *Machine) misfit(r *run) string {
	if len(m.workers) == 0 {
		if class := r.spec.Workers.Class; class != "" {
			return fmt.Sprintf("a worker of class %q (none is known, of any class)", class)
		}
		return "a worker (none is known)"
	}
	first := m.workers[slices.Min(slices.Collect(maps.Keys(m.workers)))]
	return fmt.Sprintf("another worker (of %d known none can: %s %s)", len(m.workers), first.id, r.unfit(r.phase, first))
}

// allows says that a result may count here, by what its sender says of its bits now and said in its hello, where that
// is known.
func (r *run) allows(w *worker, res Result) bool {
	return r.spec.OutsideG1() || res.Bits != BitsNone && (w == nil || w.bits != BitsNone)
}

// content is the digest of a version's files and of the results and rewinds behind them; "" within G1, where there is but
// one, unless audits say that results may be wrong: who leads next may find out what this leader did not.
func (r *run) content(files map[string][]byte) string {
	if !r.spec.OutsideG1() && r.spec.Audit == 0 {
		return ""
	}
	line := append([]byte(r.state.Results), mustJSON(r.decisions.val.Rewinds)...)
	line = fmt.Appendf(line, " %v %v", r.state.BestSteps, r.state.BestScores) // the manifest holds them
	for _, name := range slices.Sorted(maps.Keys(files)) {
		line = fmt.Appendf(line, "\n%s %s", name, Digest(files[name]))
	}
	return Digest(line)
}

// mark tells a result's content from another's of the same work.
func (r *Result) mark() string {
	return Digest(fmt.Appendf(nil, "%s %v %s", r.SHA256, r.Metrics, r.Layout))
}

// chain is the digest of before and of the results that made up a phase, node by node:
//
//	SHA-256 of "<before> <kind> <track> <step> <theta>\n", then for each node "<level> <index> <mark>\n"
func (p *phase) chain(before string) string {
	line := fmt.Appendf(nil, "%s %s %d %d %s\n", cmp.Or(before, "-"), p.work.Kind, p.work.Track, p.work.Step, p.work.Theta)
	for i := range p.shards {
		line = fmt.Appendf(line, "%d %d %s\n", p.level, i, p.shards[i].mark)
	}
	return Digest(line)
}
