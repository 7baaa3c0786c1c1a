package worker

import (
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

func TestThetasFromBroadcasts(t *testing.T) {
	s := newStage(t)
	th, err := newThetas(s.client, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer th.close()
	vector := make([]float32, 300_000)
	vector[7] = 3
	data := metatrain.EncodeFloats(vector)
	digest := metatrain.Digest(data)
	got := make(chan []float32)
	go func() { // nobody leads: only the broadcast can bring it
		theta, _ := th.get(t.Context(), digest)
		got <- theta
	}()
	for offset := 0; offset < len(data); offset += metatrain.MaxChunk {
		chunk := data[offset:min(len(data), offset+metatrain.MaxChunk)]
		for range 2 { // a chunk that comes again does no harm
			_ = s.bus.Publish("warmstart.theta", metatrain.EncodeFrame(metatrain.Theta{Digest: digest, Offset: offset, Total: len(data)}, chunk))
		}
	}
	if theta := next(t, "theta", got); len(theta) != len(vector) || theta[7] != 3 {
		t.Errorf("found %d parameters", len(theta))
	}
}

func TestG7_HostileBroadcasts(t *testing.T) {
	s := newStage(t)
	th, err := newThetas(s.client, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer th.close()
	hear := func(head metatrain.Theta, chunk []byte) { th.hear(metatrain.EncodeFrame(head, chunk)) }
	th.hear([]byte("x"))
	hear(metatrain.Theta{Digest: "d", Total: -1}, nil)
	hear(metatrain.Theta{Digest: "d", Total: 1 << 60}, []byte("abc"))
	hear(metatrain.Theta{Digest: "d", Total: 8, Offset: -4}, []byte("abcd"))
	hear(metatrain.Theta{Digest: "d", Total: 8}, []byte("abcd"))
	for i := range 100 { // more and more of what was announced as 8 bytes
		hear(metatrain.Theta{Digest: "d", Total: 8, Offset: 4 * (i + 1)}, []byte("abcd"))
		hear(metatrain.Theta{Digest: "d", Total: 1 << 20, Offset: 4 * (i + 1)}, []byte("abcd"))
	}
	if len(th.bytes) > 8 || len(th.known) != 0 {
		t.Errorf("%d bytes and %d vectors are kept", len(th.bytes), len(th.known))
	}
	nan := []byte{0, 0, 0xc0, 0x7f}
	hear(metatrain.Theta{Digest: metatrain.Digest(nan), Total: 4}, nan)
	if len(th.known) != 0 {
		t.Error("NaN was taken for parameters")
	}
	for i := range 20 { // and few of what is right
		data := metatrain.EncodeFloats([]float32{float32(i)})
		hear(metatrain.Theta{Digest: metatrain.Digest(data), Total: 4}, data)
	}
	if len(th.known) != keepThetas || len(th.order) != keepThetas {
		t.Errorf("%d vectors are kept, expected %d", len(th.known), keepThetas)
	}
	for i := range 20 { // of large ones fewer still
		vector := make([]float32, largeTheta/4)
		vector[0] = float32(i)
		if _, err := th.keep(metatrain.Digest(metatrain.EncodeFloats(vector)), metatrain.EncodeFloats(vector)); err != nil {
			t.Fatal(err)
		}
	}
	if len(th.known) != keepLargeThetas {
		t.Errorf("%d large vectors are kept, expected %d", len(th.known), keepLargeThetas)
	}
}

// A broadcast that has begun is waited for: a thousand workers that ask as well would stop what they wait for.
func TestBroadcastsUnderWayAreNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.end()
		th, err := newThetas(s.client, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer th.close()
		lead(t, s.bus, 5, s.spec) // it would answer that the parameters are gone
		data := metatrain.EncodeFloats(make([]float32, 4*metatrain.MaxChunk/4))
		digest := metatrain.Digest(data)
		var sender sync.WaitGroup
		sender.Go(func() {
			for offset := 0; offset < len(data); offset += metatrain.MaxChunk {
				th.hear(metatrain.EncodeFrame(metatrain.Theta{Digest: digest, Offset: offset, Total: len(data)}, data[offset:offset+metatrain.MaxChunk]))
				time.Sleep(broadcastPause / 2)
			}
		})
		if _, err := th.get(t.Context(), digest); err != nil {
			t.Errorf("it was asked for: %v", err)
		}
		sender.Wait()
	})
}

func TestThetasOnRequest(t *testing.T) {
	s := newStage(t)
	th, err := newThetas(s.client, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer th.close()
	l := lead(t, s.bus, 5, s.spec)
	work := l.grant(1, metatrain.Node{})
	began := time.Now()
	theta, err := th.get(t.Context(), work.Theta)
	if err != nil || len(theta) != 19 {
		t.Errorf("found %d parameters, %v", len(theta), err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}
