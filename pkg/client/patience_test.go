package client_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warmstart-ml/warmstart/internal/membus"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// inTime runs a test with a client whose time is virtual.
func inTime(t *testing.T, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New()
		defer bus.Close()
		c, err := client.New(bus, "test", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		test(&rig{t, bus, c, t.Context()})
	})
}

// A term that one wrong answer named, and that nobody serves, does not hide who leads.
func TestG7_AFoundTermOfNobodyDoesNotHideTheLeader(t *testing.T) {
	inTime(t, func(r *rig) {
		me := metatrain.EncodeFrame(metatrain.Announce{Term: term(99), Leader: "nobody"}, nil)
		stop, _ := r.bus.Serve("test.find", func(_, _ string, _ []byte, reply func([]byte)) { reply(me) })
		ctx, cancel := context.WithTimeout(r.ctx, time.Second)
		defer cancel()
		if _, err := r.ask(ctx); err == nil {
			r.t.Error("nobody answered")
		}
		stop()
		defer r.lead(term(8), true, false, says(8))()
		ctx, cancel = context.WithTimeout(r.ctx, 10*time.Second)
		defer cancel()
		if a, err := r.ask(ctx); err != nil || a.Term != term(8) {
			r.t.Errorf("answer of term %s, %v, expected 8", a.Term, err)
		}
	})
}

// An upload may take as long as it takes while more of it arrives.
func TestAnUploadThatGoesOnIsNotGivenUp(t *testing.T) {
	inTime(t, func(r *rig) {
		data := bytes.Repeat([]byte("x"), 6*metatrain.MaxChunk)
		s := &sink{n: 3}
		defer r.lead(term(3), true, true, func(op string, frame []byte, reply func(any, []byte)) {
			if op == "upload" {
				time.Sleep(50 * time.Second)
			}
			s.handle(op, frame, reply)
		})()
		if digest, err := r.c.Upload(r.ctx, data, nil); err != nil || digest != metatrain.Digest(data) {
			r.t.Errorf("upload %.12s, %v", digest, err)
		}
	})
}

// One of which nothing more arrives is given up, and says so (G5).
func TestG5_AnUploadThatGetsNowhereIsGivenUp(t *testing.T) {
	inTime(t, func(r *rig) {
		defer r.lead(term(3), true, true, func(op string, _ []byte, reply func(any, []byte)) {
			if op == "fetch" {
				reply(metatrain.Chunk{Term: term(3), Total: 2}, []byte("[]"))
				return
			}
			time.Sleep(time.Second)
			reply(metatrain.Answer{Term: term(3)}, nil)
		})()
		began := time.Now()
		_, err := r.c.Upload(r.ctx, []byte("data"), nil)
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "no progress for 3m0s") || took > 4*time.Minute {
			r.t.Errorf("after %v: %v", took, err)
		}
	})
}
