package metatrain

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// forge is a result of a worker's that answers otherwise than it would, in good form.
func (g *rig) forge(worker string, l Lease, lease uint64) Verdict {
	g.t.Helper()
	res, payload := g.recompute(worker, l)
	payload = slices.Clone(payload)
	payload[0] ^= 1
	res.Lease, res.SHA256 = lease, Digest(payload)
	return hear[ResultReply](g, res, payload).Verdict
}

// Results of processes that were not asked are no votes in an audit: any two of them would else be believed against the
// one that did the work.
func TestG1_ForgedVotesAccuseNobody(t *testing.T) {
	g := audited(t, Config{}, nil)
	l := g.lease("a")
	g.right("a", l)
	asked := g.lease("b")
	if asked.Work != l.Work {
		t.Fatalf("b gets %+v, expected the audit of %+v", asked.Work, l.Work)
	}
	for _, name := range []string{"x", "y"} {
		for _, id := range []uint64{0, asked.ID} {
			if v := g.forge(name, l, id); v == Accepted {
				t.Errorf("%s, which nobody asked, is heard under lease %d", name, id)
			}
		}
	}
	res, payload := g.recompute("b", asked)
	res.Process = "another"
	if v := hear[ResultReply](g, res, payload).Verdict; v == Accepted {
		t.Error("b is heard under the name of another process")
	}
	if found := g.audits(); found.Disputed != 0 || found.Outstanding != 1 {
		t.Errorf("found %+v, expected the audit still to come", found)
	}
	again := g.lease("b")
	g.right("b", again)
	g.settle()
	if found := g.audits(); found.Done != 1 || len(g.m.quarantine.val.Processes) != 0 {
		t.Errorf("found %+v, in quarantine %+v, expected one audit done and nobody there", found, g.m.quarantine.val.Processes)
	}
}

// What a worker says of itself is kept and shown: what is longer than any real one's is refused, by name.
func TestG6_OversizedHellosAreRefused(t *testing.T) {
	long, many := strings.Repeat("x", maxName+1), make([]string, maxSkills+1)
	for want, alter := range map[string]func(h *Hello){
		"worker of 201 bytes":   func(h *Hello) { h.Worker = long },
		"process of 201 bytes":  func(h *Hello) { h.Process = long },
		"host of 500000 bytes":  func(h *Hello) { h.Host = strings.Repeat("h", 500_000) },
		"class of 201 bytes":    func(h *Hello) { h.Class = long },
		"engine of 201 bytes":   func(h *Hello) { h.Engine = long },
		"release of 201 bytes":  func(h *Hello) { h.Release = long },
		"contract of 201 bytes": func(h *Hello) { h.Contract = long },
		"bits of 201 bytes":     func(h *Hello) { h.Bits = long },
		"skills of 301 names":   func(h *Hello) { h.Skills.Models = many },
		"skills of 5000 bytes":  func(h *Hello) { h.Skills.Families = []string{strings.Repeat("f", 5000)} },
		"skills of 4097 bytes":  func(h *Hello) { h.Skills.Kinds = []Kind{Kind(strings.Repeat("k", 4097))} },
		"holding of 1001 lease": func(h *Hello) { h.Holding = make([]uint64, maxHeld+1) },
	} {
		g := newRig(t, Config{}, nil)
		h := Hello{Worker: "a", Protocol: Protocol, Contract: Contract}
		alter(&h)
		r := hear[LeaseReply](g, h, nil)
		if !strings.Contains(r.Refused, want) || !strings.Contains(r.Refused, "expected at most") || len(r.Refused) > 200 {
			t.Errorf("%s: refused with %.300q", want, r.Refused)
		}
		if len(g.m.workers) != 0 {
			t.Errorf("%s: it is known", want)
		}
	}
	g := trainRig(t, Config{}, nil)
	res, payload := g.result(long, g.lease("a"))
	if r := hear[ResultReply](g, res, payload); r.Verdict != Refused || !strings.Contains(r.Reason, "worker of 201 bytes") {
		t.Errorf("a result: %+v", r)
	}
}

// As many workers are known as there is memory for; those that are stay so.
func TestG6_KnownWorkersAreBounded(t *testing.T) {
	g := newRig(t, Config{}, nil)
	for i := range maxKnown {
		g.m.workers[fmt.Sprint(i)] = &worker{id: fmt.Sprint(i), leases: map[uint64]*lease{}, homeStep: -1}
	}
	h := Hello{Worker: "one more", Protocol: Protocol, Contract: Contract, WaitMS: 1000}
	if r := hear[LeaseReply](g, h, nil); !strings.Contains(r.Refused, "20000 workers") || len(g.m.workers) != maxKnown {
		t.Errorf("refused with %q, %d are known", r.Refused, len(g.m.workers))
	}
	h.Worker = "7"
	if req := g.ask(h, nil); g.m.workers["7"].poll == nil {
		t.Errorf("one that is known is told %+v", g.replies[req])
	}
}

// Whatever workers call themselves, the answer to people fits a frame.
func TestG5_AnswerFitsWhateverTheNames(t *testing.T) {
	g := newRig(t, Config{}, func(s *RunSpec) { s.Workers.Class = "special" })
	g.submit()
	name := strings.Repeat("<", maxName-5)
	for i := range 600 {
		h := Hello{Worker: fmt.Sprintf("%s%05d", name, i), Process: name, Host: name, Class: name, Engine: name, Release: name, Protocol: Protocol, Contract: Contract, WaitMS: 1000}
		g.ask(h, nil)
	}
	a := hear[Answer](g, Question{}, nil)
	if n := len(mustJSON(a)); n > MaxHeader || len(a.Workers) < 50 || len(a.Runs) != 1 {
		t.Errorf("found %d bytes of %d workers and %d runs, expected at most %d bytes, and some of each", n, len(a.Workers), len(a.Runs), MaxHeader)
	}
	old := a.Runs[0]
	old.Note = strings.Repeat("n", 5000)
	for range maxListed {
		a.Runs = append(a.Runs, old)
	}
	for range maxQuarantined {
		a.Quarantine = append(a.Quarantine, Quarantined{Process: name, Worker: name, Host: name})
	}
	a.fit()
	if n := len(mustJSON(a)); n > MaxHeader || len(a.Runs) < 20 || len(a.Quarantine) < 20 {
		t.Errorf("found %d bytes, %d runs and %d in quarantine", n, len(a.Runs), len(a.Quarantine))
	}
}
