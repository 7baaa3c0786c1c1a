package coordinator

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warmstart-ml/warmstart/internal/membus"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

func openDir(t *testing.T) *checkpoint.Dir {
	t.Helper()
	dir, err := checkpoint.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// An operation that nobody knows becomes no label of a metric, whatever bytes it is of.
func TestUnknownOperationsCountAsOther(t *testing.T) {
	r := newRefusals(slog.New(slog.DiscardHandler))
	r.note(request{op: "\xff"}, "x")
	r.note(request{op: "mine"}, "x")
	r.note(request{op: "beat"}, "x")
	if found, want := r.byOp(), map[string]int{"other": 2, "beat": 1}; !maps.Equal(found, want) {
		t.Errorf("found %v, expected %v", found, want)
	}
}

// Room for uploads and turns of fetches come back, whatever became of what took them.
func TestG6_RoomAndTurnsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := membus.New()
		defer bus.Close()
		d := newDriver(Config{}.withDefaults(), metatrain.Term{Revision: 1}, nil, bus, openDir(t))
		answered := 0
		ask := request{reply: func([]byte) { answered++ }}
		for _, digest := range []string{metatrain.Digest([]byte("abc")), metatrain.Digest([]byte("other"))} {
			d.upload(t.Context(), ask, metatrain.Upload{Digest: digest, Total: 3}, []byte("abc"))
			synctest.Wait()
		}
		for _, f := range []metatrain.Fetch{{Object: metatrain.DataObject(metatrain.Digest([]byte("abc")))}, {Object: "tasks/none"}, {List: "runs/"}} {
			d.fetch(t.Context(), ask, f, nil)
			synctest.Wait()
		}
		if answered != 5 || d.uploads.used != 0 || len(d.fetches) != 0 {
			t.Errorf("%d of 5 answered, %d bytes and %d turns still taken", answered, d.uploads.used, len(d.fetches))
		}
	})
}

// slowStore counts reads under way, each of which takes a second.
type slowStore struct {
	checkpoint.Store
	now, most atomic.Int64
}

func (s *slowStore) Get(context.Context, string) ([]byte, error) {
	s.most.Store(max(s.most.Load(), s.now.Add(1)))
	time.Sleep(time.Second)
	s.now.Add(-1)
	return []byte("x"), nil
}

// Whoever may fetch cannot have the leader hold more than a budget, or read more than a few objects at once.
func TestG6_TheShelfKeepsItsBudget(t *testing.T) {
	s := newShelf(nil)
	big := make([]byte, 200<<20) // never touched: it takes no room
	s.keep("a", big)
	s.keep("b", big)
	if _, there := s.find("a"); there || s.bytes != len(big) {
		t.Errorf("a is kept: %v, %d bytes in all, expected the latest alone", there, s.bytes)
	}
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{}
		s := newShelf(store)
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			go func() { _, _ = s.get(t.Context(), key) }()
		}
		time.Sleep(10 * time.Second)
		if most := store.most.Load(); most != maxReads {
			t.Errorf("%d objects were read at once, expected %d", most, maxReads)
		}
	})
}

// A leader that slept may come with an old state after the next one: the later stays.
func TestSpool_KeepsTheLater(t *testing.T) {
	s, err := OpenSpool(t.Context(), t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rewinds, step int64
		newest        string
	}{{0, 30, "0 30"}, {0, 60, "0 60"}, {0, 40, "0 60"}, {1, 10, "1 10"}, {0, 90, "1 10"}, {1, 20, "1 20"}} {
		data := []byte{byte('0' + c.rewinds), ' ', byte('0' + c.step/10), '0'}
		if err := s.keep(t.Context(), checkpoint.CheckpointKey("r", c.rewinds, c.step, metatrain.Digest(data)), data); err != nil {
			t.Fatal(err)
		}
		if _, found, err := s.newest(t.Context(), "r"); err != nil || !bytes.Equal(found, []byte(c.newest)) {
			t.Errorf("after rewinds %d, step %d: the spool has %q, %v, expected %q", c.rewinds, c.step, found, err, c.newest)
		}
	}
	if all, err := s.dir.List(t.Context(), "runs/"); err != nil || len(all) != 1 {
		t.Errorf("%d states are kept, %v, expected 1", len(all), err)
	}
}
