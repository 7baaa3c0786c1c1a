package client_test

import (
	"sync/atomic"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// An answer of another term than the one that was asked is nobody's: it is asked again, and the leader stays known.
func TestG7_AnswersOfTermsNotAskedAreIgnored(t *testing.T) {
	r := newRig(t)
	var forged atomic.Bool
	r.lead(term(3), true, true, func(_ string, _ []byte, reply func(any, []byte)) {
		if !forged.Swap(true) {
			reply(metatrain.LeaseReply{Term: metatrain.Term{Epoch: 77, Revision: 1}, Refused: "go away"}, nil)
			return
		}
		reply(metatrain.Answer{Term: term(3)}, nil)
	})
	r.expect(3)
	if !forged.Load() {
		t.Error("nothing was forged")
	}
	r.expect(3)
}
