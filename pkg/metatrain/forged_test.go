package metatrain

import (
	"slices"
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
