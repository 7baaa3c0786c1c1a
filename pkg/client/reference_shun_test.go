package client

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// A store that is slow, but sends, is not given up: only its silence counts, however long all of it takes.
func TestASlowStoreIsReadToTheEnd(t *testing.T) {
	const pieces = 60
	piece := make([]byte, 100)
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range pieces {
			_, _ = w.Write(piece)
			w.(http.Flusher).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	}))
	defer store.Close()
	r := newReferences()
	r.silence = 500 * time.Millisecond // all of it takes six times that, and more than a dial may on top of it
	whole := bytes.Repeat(piece, pieces)
	data, err := r.get(t.Context(), store.URL, len(whole), metatrain.Digest(whole))
	if err != nil || !bytes.Equal(data, whole) {
		t.Errorf("found %d bytes, %v", len(data), err)
	}
}

// A store that stays out of reach is tried ever more rarely, and spoken of once; one that was reached meanwhile is news again.
func TestReferencesOutOfReachAreTriedEverLaterAndSaidOnce(t *testing.T) {
	r := newReferences()
	now := time.Unix(1_800_000_000, 0)
	fails := func(want time.Duration, news bool) {
		t.Helper()
		if !r.welcome(now) {
			t.Fatal("it is not tried")
		}
		if first := r.shun(now); first != news {
			t.Errorf("said: %v, expected %v", first, news)
		}
		if r.shun(now.Add(time.Second)) { // another slot's, at the same time
			t.Error("said twice")
		}
		if r.welcome(now.Add(want-time.Second)) || !r.welcome(now.Add(want)) {
			t.Errorf("not tried again after %v", want)
		}
		now = now.Add(want)
	}
	fails(time.Minute, true)
	for _, minutes := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		fails(minutes*time.Minute, false)
	}
	r.reached()
	fails(time.Minute, true)
}
