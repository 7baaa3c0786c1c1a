package workerd

import (
	"context"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// A worker that is told to go while it waits for NATS has not failed.
func TestToldToEndWhileItWaitsForNATS(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	began := time.Now()
	if err := Run(ctx, []string{"--nats", "nats://127.0.0.1:1", "--wait", "30s"}, worker.BuiltinKinds()); err != nil {
		t.Errorf("found %v, expected it to end well", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it ended after %v, expected it to end at once", took)
	}
	if err := Run(t.Context(), []string{"--nats", "nats://127.0.0.1:1", "--wait", "300ms"}, worker.BuiltinKinds()); err == nil {
		t.Error("found no error, expected one of a server that is not there")
	}
}

func TestSlotsTakeLessThanTheProcess(t *testing.T) {
	for memory, want := range map[worker.Bytes]worker.Bytes{0: 0, 160 << 20: 150 << 20, 4 << 30: 4<<30 - 64<<20} {
		if found := forWork(memory); found != want {
			t.Errorf("of %v: found %v for work, expected %v", memory, found, want)
		}
	}
}
