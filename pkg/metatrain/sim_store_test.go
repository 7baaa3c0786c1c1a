package metatrain

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// simStore is the object store: writes may fail, take long, or land hours after they were given up.
type simStore struct {
	w       *world
	objects map[string][]byte
	torn    map[string]bool // half of them is there
	late    []func()        // writes that land when everything is over
	down    int64           // nothing works until then
	made    map[string]bool // checkpoints by run and step, where no decision can make two
}

func (s *simStore) put(c *coord, key string, data []byte, done func(Done)) {
	w := s.w
	land := func() { s.land(key, data) }
	answer := func(after int64, d Done) { c.after(after, func() { done(d) }) }
	failing := Done{Outcome: Failing, Text: "store unreachable"}
	switch {
	case s.down > w.now, w.beyond(&c.proc):
		answer(500, failing)
	case s.torn[key] && !heals(key):
		answer(5, Done{Outcome: Conflict, Text: "other bytes are there"})
	case w.befalls("half written", 0.03) && s.tear(key, data):
		answer(500, failing)
	case w.befalls("write fails", 0.05):
		w.tell("write of %s fails", brief([]byte(key)))
		answer(500, failing)
	case w.befalls("write lands late", 0.04):
		w.tell("write of %s fails, and lands in some seconds", brief([]byte(key)))
		w.after(500+w.upTo(8000), land)
		answer(500, failing)
	case w.befalls("write lands hours late", 0.03):
		w.tell("write of %s fails, and lands in some hours", brief([]byte(key)))
		s.late = append(s.late, land)
		answer(500, failing)
	default:
		delay := 1 + w.upTo(20)
		if w.odds(0.1) {
			delay += w.upTo(2500)
		}
		w.after(delay, func() {
			land()
			answer(1, Done{})
		})
	}
}

// land makes an object visible, whole. Two writers of one key must have meant the same bytes.
func (s *simStore) land(key string, data []byte) {
	if s.torn[key] {
		if !heals(key) {
			return // it is put on condition that nothing is there
		}
		delete(s.torn, key)
		delete(s.objects, key)
	}
	if there, ok := s.objects[key]; ok && !bytes.Equal(there, data) {
		s.w.fail("%s is written with other bytes: %d then %d", key, len(there), len(data))
	}
	s.objects[key] = data
	s.w.tell("store: %s", brief([]byte(key)))
	if strings.HasSuffix(key, "/"+checkpoint.ManifestFile) {
		s.holdVersion(key)
	}
	if run, step, _, err := checkpoint.ParseCheckpointKey(key); err == nil {
		s.holdSame(run, step, key)
	}
}

// holdVersion: whoever sees a manifest sees all its files.
func (s *simStore) holdVersion(key string) {
	part := strings.Split(key, "/")
	var n int64
	fmt.Sscan(part[2], &n)
	if _, err := checkpoint.VerifyVersion(context.Background(), s, part[1], n); err != nil {
		s.w.fail("a manifest is there before its files: %v", err)
	}
}

// holdSame: without decisions or audits, and within G1, there is one checkpoint of a step, whoever makes it.
func (s *simStore) holdSame(run string, step int64, key string) {
	if p := s.w.planOf(run); p == nil || p.decisions || p.spec.OutsideG1() || p.spec.Audit > 0 {
		return
	}
	id := fmt.Sprintf("%s %d", run, step)
	if s.made[id] && !s.made[id+key] {
		s.w.fail("a second checkpoint of %s: %s", id, key)
	}
	s.made[id], s.made[id+key] = true, true
}

// holdWhole: what a pointer names is there and whole.
func (s *simStore) holdWhole(key string) {
	run, _, _, err := checkpoint.ParseCheckpointKey(key)
	if err == nil {
		p := s.w.planOf(run)
		_, err = checkpoint.DecodeCheckpoint(key, s.objects[key], Contract, p.spec.Digest())
	}
	if err != nil {
		s.w.fail("the pointer names what is not there: %v", err)
	}
}

// Get reads at once: reading is no fault's business here.
func (s *simStore) Get(_ context.Context, key string) ([]byte, error) {
	if data, ok := s.objects[key]; ok {
		return data, nil
	}
	return nil, checkpoint.ErrNotFound
}

// load is what a driver does for LoadCheckpoint.
func (s *simStore) load(e LoadCheckpoint) Done {
	if s.w.odds(0.05) {
		return Done{Outcome: Failing, Text: "store unreachable"}
	}
	if e.Pointer == "" {
		return newest(s.objects, e)
	}
	if _, err := checkpoint.DecodeCheckpoint(e.Pointer, s.objects[e.Pointer], Contract, e.Spec); err != nil {
		if read[PointerRecord](s.w.etcd.keys[pointerKey(e.Run)].Value).Key == e.Pointer {
			s.w.fail("load: %v", err)
		}
		return Done{Outcome: Absent} // asked for by a leader deposed since, after a newer one's retention
	}
	return Done{Key: e.Pointer, Data: s.objects[e.Pointer]}
}

// drop carries a retention plan out, perhaps long after it was asked for.
func (s *simStore) drop(e DropCheckpoints) {
	var there []checkpoint.Object
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		if strings.HasPrefix(key, checkpoint.CheckpointFolder(e.Run)) {
			there = append(there, checkpoint.Object{Key: key})
		}
	}
	keys, err := e.Plan(there)
	if err != nil {
		s.w.fail("plan retention: %v", err)
	}
	pointer := read[PointerRecord](s.w.etcd.keys[pointerKey(e.Run)].Value)
	for _, key := range keys {
		s.w.tell("store: %s deleted", key)
		delete(s.objects, key)
		if key == pointer.Key {
			s.w.fail("the checkpoint that the pointer of %s names is deleted", e.Run)
		}
	}
}
