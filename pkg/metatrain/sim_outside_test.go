package metatrain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// unlike gives some worlds a worker whose bits are its own, and in half of those lets the first run take them.
func (w *world) unlike() {
	rng := rand.New(rand.NewPCG(w.seed, 11)) // apart, so that worlds without such a worker stay as they are
	if rng.IntN(3) > 0 {
		return
	}
	k := &simWorker{proc: proc{w: w, name: "unlike"}, kind: "sound", pace: 5 + rng.Int64N(40), bits: BitsNone}
	if rng.IntN(2) == 0 {
		k.skills = Skills{Kinds: []Kind{Train}, Families: []string{"sim"}, Models: []string{"mlp"}, Learners: []string{"maml"}}
	}
	w.workers = append(w.workers, k)
	if p := w.runs[0]; rng.IntN(2) == 0 {
		p.spec.Bits, p.bad, p.flaky, p.decisions, p.stops = BitsAny, nil, nil, false, false
		p.id = p.spec.RunID(0)
	}
}

// blur makes a result that is close, in bits of this life's own.
func (k *simWorker) blur(res *Result, payload []byte) []byte {
	h := fnv.New32()
	h.Write([]byte(k.id))
	near := 1 + float32(1+h.Sum32()%97)*0x1p-22
	for i := range res.Metrics {
		res.Metrics[i] *= float64(near)
	}
	if res.Work.Kind == Evaluate {
		return append(payload, ' ')
	}
	v, err := DecodeFloats(payload, len(payload)/4)
	if err != nil {
		panic(err)
	}
	for i := range v {
		v[i] *= near
	}
	return EncodeFloats(v)
}

// counted is a result that a machine said it accepted.
type counted struct {
	phase *phase // that it counted in: one machine may begin the same work twice
	Result
	payload []byte
}

// noting writes down which results count.
func (c *coord) noting(msg any, payload []byte, reply func(any, []byte)) func(any, []byte) {
	res, ok := msg.(Result)
	if !ok {
		return reply
	}
	var at *phase
	if r := c.m.runs[res.Work.Run]; r != nil {
		at = r.phase
	}
	return func(answer any, content []byte) {
		if r, ok := answer.(ResultReply); ok && r.Verdict == Accepted {
			if res.inParts(payload) {
				payload = c.w.sent[res.SHA256]
			}
			res.Metrics = slices.Clone(res.Metrics)
			c.w.counted = append(c.w.counted, counted{at, res, slices.Clone(payload)})
		}
		reply(answer, content)
	}
}

// sum is one way a phase ended: what its results that counted add up to.
type sum struct {
	Partial
	last  counted
	marks []string // "<level> <index> <mark>\n", by node
}

// sums gives every way a phase ended.
func (w *world) sums(work Work, tasks int) []sum {
	byPhase := map[*phase][]counted{}
	for _, c := range w.counted {
		of := c.Work
		if of.Node = (Node{}); of == work {
			byPhase[c.phase] = append(byPhase[c.phase], c)
		}
	}
	var out []sum
	for _, all := range byPhase {
		slices.SortFunc(all, func(a, b counted) int { return a.Work.Node.Index - b.Work.Node.Index })
		tree, s := NewTree(tasks), sum{}
		done := false
		for _, c := range all {
			part := Partial{Metrics: slices.Clone(c.Metrics), Tasks: c.Tasks}
			if work.Kind == Init || work.Kind == Train {
				part.Vec, _ = DecodeFloats(c.payload, len(c.payload)/4)
				if spec := w.planOf(work.Run).spec; work.Kind == Train && c.Tasks > 0 {
					part.Vec, _ = spec.decodeSum(c.payload, w.planOf(work.Run).params, nil)
				}
			}
			s.marks = append(s.marks, fmt.Sprintf("%d %d %s\n", c.Work.Node.Level, c.Work.Node.Index, c.mark()))
			s.last = c
			if s.Partial, done = tree.Add(c.Work.Node, part); done {
				out = append(out, s)
			}
		}
	}
	return out
}

// outside holds the published model of a run that takes unlike bits to be what results that counted lead to, each
// counted once, and their digest to be in the manifest.
func (w *world) outside(p *plan, man checkpoint.Manifest) error {
	if man.OutsideG1 == "" || man.Results == "" {
		return fmt.Errorf("the manifest does not say that the run is outside G1: %q, results %q", man.OutsideG1, man.Results)
	}
	published := w.store.objects[checkpoint.VersionFolder(man.Model, man.Version)+checkpoint.ModelFile]
	found := false
	w.replay(p, State{}, false, func(s State) {
		model, err := ModelBytes(s.Layout, s.Bests[0])
		found = found || err == nil && bytes.Equal(model, published) && s.Results == man.Results
	})
	if !found {
		return fmt.Errorf("no order of the %d results that counted leads to the published model and its digest of results", len(w.counted))
	}
	return nil
}

// replay follows every way a run may have gone to its end.
func (w *world) replay(p *plan, s State, evaluated bool, end func(State)) {
	spec := &p.spec
	work := Work{Run: p.id, Spec: spec.Digest(), Track: s.Track, Step: s.Step}
	next := func(kind Kind, theta []float32, tasks int, then func(s *State, part sum)) {
		if work.Kind = kind; theta != nil {
			work.Theta = Digest(EncodeFloats(theta))
		}
		for _, part := range w.sums(work, tasks) {
			c := copyState(s)
			line := fmt.Sprintf("%s %s %d %d %s\n", orDash(s.Results), kind, work.Track, work.Step, work.Theta)
			for _, mark := range part.marks {
				line += mark
			}
			c.Results = Digest([]byte(line))
			then(&c, part)
			w.replay(p, c, evaluated, end)
		}
	}
	switch {
	case s.Track == spec.Tracks() && spec.Evaluation.Table && !evaluated:
		work.Track, work.Step = 0, s.BestSteps[0]
		evaluated = true
		next(Evaluate, s.Bests[0], 1, func(*State, sum) {})
	case s.Track == spec.Tracks():
		end(s)
	case s.Theta == nil:
		next(Init, nil, 1, func(s *State, part sum) {
			s.Theta, s.Opt, s.Layout = part.Vec, NewOptimizer(spec.Optimizer, len(part.Vec)), part.last.Layout
		})
	case s.validationDue(spec):
		next(Validate, s.Theta, spec.Validation.Tasks, func(s *State, part sum) { s.score(spec.Criterion(part.Metrics, part.Tasks)) })
	case s.Step < spec.Steps && !s.exhausted(spec):
		next(Train, s.Theta, spec.MetaBatch, func(s *State, part sum) {
			if err := s.update(spec, part.Vec, part.Tasks); err != nil {
				panic(err)
			}
		})
	default:
		c := copyState(s)
		c.endTrack()
		w.replay(p, c, evaluated, end)
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func copyState(s State) State {
	var c State
	data, err := json.Marshal(s)
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		panic(err)
	}
	c.Theta, c.Best = slices.Clone(s.Theta), slices.Clone(s.Best)
	for _, b := range s.Bests {
		c.Bests = append(c.Bests, slices.Clone(b))
	}
	if s.Opt != nil {
		c.Opt = &Optimizer{s.Opt.spec, slices.Clone(s.Opt.M), slices.Clone(s.Opt.V)}
	}
	return c
}
