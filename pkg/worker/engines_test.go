package worker

import (
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// A run that is not for this worker is said to be so each time it is leased, and fetched once.
func TestRunsNotForAWorkerAreFetchedOnce(t *testing.T) {
	s := newStage(t)
	s.open()
	l := lead(t, s.bus, 5, s.spec)
	l.spec.Seed++ // leases name another digest than the spec has: a release that differs
	s.run(t)
	leased := metatrain.Work{Run: "r", Spec: s.spec.Digest(), Kind: metatrain.Train}
	for id := range uint64(3) {
		l.mu.Lock()
		l.grants = append(l.grants, metatrain.LeaseReply{Leases: []metatrain.Lease{{ID: l.id(id + 1), Work: leased, Tasks: 8}}})
		l.grantNext()
		l.mu.Unlock()
		if f := next(t, "failure", l.fails); !f.Unable || f.Lease != l.id(id+1) {
			t.Errorf("found %+v, expected it to be unable", f)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.specs != 1 {
		t.Errorf("it asked for the spec %d times, expected once", l.specs)
	}
}
