package client_test

import (
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// A leader of an older release, which does not know of hosts, names all its workers: those of others are left out.
func TestHeardNamesWorkersOfTheHostAlone(t *testing.T) {
	r := newRig(t)
	r.lead(term(3), true, true, func(_ string, data []byte, reply func(any, []byte)) {
		var q metatrain.Question
		if _, err := metatrain.DecodeFrame(data, &q); err != nil || q.Host != "h2" {
			t.Errorf("asked %+v, %v", q, err)
		}
		reply(metatrain.Answer{Term: term(3), Workers: []metatrain.WorkerStatus{{ID: "a", Host: "h1"}, {ID: "b", Host: "h2"}}}, nil)
	})
	workers, err := r.c.Heard(r.ctx, "h2")
	if err != nil || len(workers) != 1 || workers[0].ID != "b" {
		t.Errorf("found %+v, %v", workers, err)
	}
}
