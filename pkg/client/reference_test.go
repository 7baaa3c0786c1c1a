package client_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// theta is what the tests fetch: two chunks.
var theta = bytes.Repeat([]byte("0123456789abcdef"), 40_000)

// referring is a leader that refers to address and, asked for bytes, relays them. asked counts the fetches of either kind.
func referring(r *rig, address string) (referred, relayed *atomic.Int64) {
	referred, relayed = new(atomic.Int64), new(atomic.Int64)
	r.lead(term(3), true, true, func(_ string, data []byte, reply func(any, []byte)) {
		var f metatrain.Fetch
		if _, err := metatrain.DecodeFrame(data, &f); err != nil {
			r.t.Error(err)
		}
		if f.Ref {
			referred.Add(1)
			reply(metatrain.Chunk{Term: term(3), Total: len(theta), URL: address}, nil)
			return
		}
		relayed.Add(1)
		reply(metatrain.Chunk{Term: term(3), Total: len(theta)}, theta[f.Offset:min(len(theta), f.Offset+metatrain.MaxChunk)])
	})
	return referred, relayed
}

func TestThetaIsReadWhereTheLeaderRefersTo(t *testing.T) {
	r := newRig(t)
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/theta" || q.Header.Get("Authorization") != "" {
			t.Errorf("asked for %s with %v", q.URL, q.Header)
		}
		_, _ = w.Write(theta)
	}))
	t.Cleanup(store.Close)
	referred, relayed := referring(r, store.URL+"/theta?signature=1")
	for range 2 {
		data, err := r.c.Theta(r.ctx, metatrain.Digest(theta))
		if err != nil || !bytes.Equal(data, theta) {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
	}
	if referred.Load() != 2 || relayed.Load() != 0 {
		t.Errorf("%d references and %d chunks asked for", referred.Load(), relayed.Load())
	}
}

// Whatever is wrong with the reference, the leader relays, and is asked for no more references for a while.
func TestG8_ThetaIsRelayedWhereTheStoreIsOutOfReach(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"other bytes": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte{7}, len(theta))) },
		"short":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(theta[1:]) },
		"long":        func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(append([]byte{1}, theta...)) },
		"refused":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "expired", http.StatusForbidden) },
		"elsewhere": func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path == "/theta" {
				http.Redirect(w, q, "/other", http.StatusFound)
				return
			}
			t.Error("a redirection was followed")
		},
		"cut short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(theta)))
			_, _ = w.Write(theta[:1000])
		},
		"nobody":    nil,
		"no scheme": nil,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			store := httptest.NewServer(serve)
			t.Cleanup(store.Close)
			address := store.URL + "/theta?signature=secret"
			switch name {
			case "nobody":
				store.Close()
			case "no scheme":
				address = "file:///etc/passwd?secret"
			}
			referred, relayed := referring(r, address)
			for range 3 {
				data, err := r.c.Theta(r.ctx, metatrain.Digest(theta))
				if err != nil || !bytes.Equal(data, theta) {
					t.Fatalf("%d bytes, %v", len(data), err)
				}
			}
			if referred.Load() != 1 || relayed.Load() != 6 {
				t.Errorf("%d references and %d chunks asked for, expected 1 and 6", referred.Load(), relayed.Load())
			}
		})
	}
}

// A store that answers nothing is given up in time, and its address, which gives access, is told to nobody.
func TestG5_ASilentStoreIsGivenUp(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: waits for seconds")
	}
	r := newRig(t)
	var log strings.Builder
	release := make(chan struct{})
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(theta)))
		_, _ = w.Write(theta[:1000])
		w.(http.Flusher).Flush()
		<-release
	}))
	t.Cleanup(store.Close)
	t.Cleanup(func() { close(release) })
	_, relayed := referring(r, store.URL+"/theta?signature=secret")
	c, err := client.New(r.bus, "test", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	began := time.Now()
	if _, err := c.Theta(r.ctx, metatrain.Digest(theta)); err != nil || relayed.Load() == 0 || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %v, %d chunks relayed", time.Since(began), err, relayed.Load())
	}
	if text := log.String(); !strings.Contains(text, "nothing came for 5s") || strings.Contains(text, "secret") {
		t.Errorf("log: %s", text)
	}
}
