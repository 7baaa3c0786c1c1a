// Package storetest holds every implementation of checkpoint.Store to the same
// contract.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// Run runs the suite. open returns an empty store of its own at every call.
func Run(t *testing.T, open func(t *testing.T) checkpoint.Store) {
	for _, c := range []struct {
		name string
		test func(*suite)
	}{
		{"PutThenGet", (*suite).putThenGet},
		{"G3_ObjectsAreImmutable", (*suite).immutable},
		{"G3_ConcurrentPutsHaveOneWinner", (*suite).oneWinner},
		{"G3_ReadersSeeWholeObjects", (*suite).wholeObjects},
		{"G3_RewriteReplacesAsAWhole", (*suite).rewrites},
		{"G4_RewriteTakesNothingElse", (*suite).rewriteRefuses},
		{"GetAbsent", (*suite).getAbsent},
		{"ListIsSortedAndFiltered", (*suite).list},
		{"ListIsNotCutOff", (*suite).listMany},
		{"Delete", (*suite).deletes},
		{"G7_RefusesWhatIsNoKey", (*suite).refuses},
		{"EndedContext", (*suite).endedContext},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			c.test(&suite{T: t, ctx: ctx, store: open(t)})
		})
	}
}

type suite struct {
	*testing.T
	ctx   context.Context
	store checkpoint.Store
}

// content is size bytes that depend on seed and place.
func content(seed, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + i>>16 + seed)
	}
	return b
}

func (s *suite) put(key string, data []byte) {
	s.Helper()
	if err := s.store.Put(s.ctx, key, data); err != nil {
		s.Fatal(err)
	}
}

func (s *suite) mustHold(key string, want []byte) {
	s.Helper()
	got, err := s.store.Get(s.ctx, key)
	if err != nil {
		s.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		s.Fatalf("object %s: found %s, expected %s", key, checkpoint.Describe(got), checkpoint.Describe(want))
	}
}

func (s *suite) mustBe(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Fatalf("found error %v, expected %v", err, want)
	}
}

// large is beyond 16 MiB, where an S3 client goes multipart and may drop the
// condition of a put on the way.
const large = 17 << 20

func (s *suite) putThenGet() {
	for _, size := range []int{1, 4096, 1<<20 + 1, large} {
		key := fmt.Sprintf("runs/r/ckpt/%d", size)
		data := content(size, size)
		own := bytes.Clone(data)
		s.put(key, own)
		clear(own)
		s.mustHold(key, data)
		got, err := s.store.Get(s.ctx, key)
		if err != nil {
			s.Fatal(err)
		}
		clear(got)
		s.mustHold(key, data)
	}
}

func (s *suite) immutable() {
	for _, size := range []int{100, large} {
		key := fmt.Sprintf("models/m/1/%d", size)
		first := content(1, size)
		s.put(key, first)
		s.put(key, first)
		s.mustBe(s.store.Put(s.ctx, key, content(2, size)), checkpoint.ErrExists)
		s.mustBe(s.store.Put(s.ctx, key, first[:size-1]), checkpoint.ErrExists)
		s.mustBe(s.store.Put(s.ctx, key, append(slices.Clone(first), 0)), checkpoint.ErrExists)
		s.mustHold(key, first)
	}
}

func (s *suite) oneWinner() {
	const writers = 8
	var errs [2 * writers]error
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			if i < writers {
				errs[i] = s.store.Put(s.ctx, "same", content(0, 100_000))
			} else {
				errs[i] = s.store.Put(s.ctx, "race/key", content(i, 100_000))
			}
		})
	}
	all.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case i < writers && err != nil:
			s.Errorf("put of the same bytes: %v", err)
		case i < writers:
		case err == nil && winner >= 0:
			s.Errorf("both writer %d and %d were told that their bytes are stored", winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, checkpoint.ErrExists):
			s.Errorf("put of other bytes: found %v, expected %v", err, checkpoint.ErrExists)
		}
	}
	if winner < 0 {
		s.Fatal("no writer won")
	}
	s.mustHold("same", content(0, 100_000))
	s.mustHold("race/key", content(winner, 100_000))
}

// wholeObjects reads and lists while objects are written.
func (s *suite) wholeObjects() {
	const size = 1 << 20
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range 20 {
			if err := s.store.Put(s.ctx, fmt.Sprintf("o/%02d", i), content(i, size)); err != nil {
				s.Error(err)
			}
		}
	}()
	for done := false; !done; {
		select {
		case <-written:
			done = true
		default:
		}
		objects, err := s.store.List(s.ctx, "")
		if err != nil {
			s.Fatal(err)
		}
		for i, o := range objects {
			if o.Size != size {
				s.Fatalf("object %s is listed with %d bytes, expected %d", o.Key, o.Size, size)
			}
			if i == len(objects)-1 {
				s.mustHold(o.Key, content(i, size))
			}
		}
		// The next one may come while we read it.
		data, err := s.store.Get(s.ctx, fmt.Sprintf("o/%02d", len(objects)))
		if err == nil && !bytes.Equal(data, content(len(objects), size)) {
			s.Fatalf("object %d was read in part", len(objects))
		}
	}
}

// checkpointOf is a checkpoint's key for the bytes.
func checkpointOf(data []byte) string {
	return checkpoint.CheckpointKey("r", 0, 10, checkpoint.Digest(data))
}

// rewrites replaces bytes that are not what the key names; a reader meanwhile sees one or the other.
func (s *suite) rewrites() {
	for _, size := range []int{100, large} {
		whole, torn := content(1, size), content(1, size)[:size/2]
		key := checkpointOf(whole)
		s.put(key, torn)
		done := make(chan error, 1)
		go func() { done <- s.store.Rewrite(s.ctx, key, whole) }()
		for written := false; !written; {
			select {
			case err := <-done:
				if err != nil {
					s.Fatal(err)
				}
				written = true
			default:
			}
			found, err := s.store.Get(s.ctx, key)
			if err != nil {
				s.Fatalf("the key is without an object: %v", err)
			}
			if !bytes.Equal(found, whole) && (written || !bytes.Equal(found, torn)) {
				s.Fatalf("found %s, expected what was there or what is", checkpoint.Describe(found))
			}
		}
		if err := s.store.Rewrite(s.ctx, key, whole); err != nil { // of a leader that is late
			s.Fatal(err)
		}
		s.mustHold(key, whole)
	}
	s.mustHold(checkpointOf(content(1, 100)), content(1, 100))
	absent := content(2, 100)
	if err := s.store.Rewrite(s.ctx, checkpointOf(absent), absent); err != nil {
		s.Fatal(err)
	}
	s.mustHold(checkpointOf(absent), absent)
}

// rewriteRefuses: other bytes, and keys that name none.
func (s *suite) rewriteRefuses() {
	whole := content(1, 100)
	s.put("models/m/1/model", whole)
	s.put(checkpointOf(whole), whole)
	for _, key := range []string{"models/m/1/model", checkpointOf(whole)} {
		if err := s.store.Rewrite(s.ctx, key, content(2, 100)); err == nil {
			s.Errorf("rewrite of %s with other bytes was taken", key)
		}
		s.mustHold(key, whole)
	}
}

func (s *suite) getAbsent() {
	s.put("a/b/c", []byte("x"))
	for _, key := range []string{"a", "a/b", "a/b/d", "a/b/c/d", "a/b/c.1", "z"} {
		data, err := s.store.Get(s.ctx, key)
		s.mustBe(err, checkpoint.ErrNotFound)
		if data != nil {
			s.Errorf("get of absent %s returned %d bytes", key, len(data))
		}
	}
}

func (s *suite) list() {
	keys := []string{"a", "b-c", "b.c", "b/c", "b/c-1", "b/d/e", "b0", "models/load/1/x", "models/load/10/x", "models/load2/1/x"}
	if got := s.keys(""); len(got) != 0 {
		s.Fatalf("an empty store lists %v", got)
	}
	for i, key := range slices.Backward(keys) {
		s.put(key, content(i, i+1))
	}
	for _, prefix := range []string{"", "a", "b", "b/", "b/c", "b/d", "b/d/", "b/d/e", "b/d/e/", "models/lo", "models/load/1", "models/load/1/", "c", "a/"} {
		var want []string
		for _, k := range keys {
			if len(k) >= len(prefix) && k[:len(prefix)] == prefix {
				want = append(want, k)
			}
		}
		if got := s.keys(prefix); !slices.Equal(got, want) {
			s.Errorf("prefix %q lists %v, expected %v", prefix, got, want)
		}
	}
	objects, err := s.store.List(s.ctx, "b")
	if err != nil || objects[2].Size != 4 {
		s.Errorf("found %v with error %v, expected a size of 4 for the third", objects, err)
	}
}

func (s *suite) keys(prefix string) []string {
	s.Helper()
	objects, err := s.store.List(s.ctx, prefix)
	if err != nil {
		s.Fatal(err)
	}
	var keys []string
	for _, o := range objects {
		keys = append(keys, o.Key)
	}
	return keys
}

// listMany goes beyond the 1,000 keys that one answer of S3 holds.
func (s *suite) listMany() {
	const n = 1001
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := w; i < n; i += 16 {
				if err := s.store.Put(s.ctx, fmt.Sprintf("many/%04d", i), []byte("x")); err != nil {
					s.Error(err)
				}
			}
		})
	}
	all.Wait()
	got := s.keys("many/")
	if len(got) != n || !slices.IsSorted(got) {
		s.Errorf("found %d keys (sorted: %t), expected %d", len(got), slices.IsSorted(got), n)
	}
}

func (s *suite) deletes() {
	s.put("a/b", []byte("1"))
	s.put("a/c", []byte("2"))
	for range 2 {
		if err := s.store.Delete(s.ctx, "a/b"); err != nil {
			s.Fatal(err)
		}
	}
	if err := s.store.Delete(s.ctx, "never/was"); err != nil {
		s.Fatal(err)
	}
	_, err := s.store.Get(s.ctx, "a/b")
	s.mustBe(err, checkpoint.ErrNotFound)
	if got := s.keys(""); !slices.Equal(got, []string{"a/c"}) {
		s.Fatalf("found %v, expected only a/c", got)
	}
	s.put("a/b", []byte("3"))
	s.mustHold("a/b", []byte("3"))
	for _, key := range []string{"a/b", "a/c"} {
		if err := s.store.Delete(s.ctx, key); err != nil {
			s.Fatal(err)
		}
	}
	if got := s.keys(""); len(got) != 0 {
		s.Errorf("all objects are deleted, but %v are listed", got)
	}
}

func (s *suite) refuses() {
	for _, key := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", ".a", `a\b`, "a b", "ä"} {
		if err := s.store.Put(s.ctx, key, []byte("x")); err == nil {
			s.Errorf("put under %q was taken", key)
		}
		if _, err := s.store.Get(s.ctx, key); err == nil || errors.Is(err, checkpoint.ErrNotFound) {
			s.Errorf("get of %q: found error %v, expected one about the key", key, err)
		}
		if err := s.store.Delete(s.ctx, key); err == nil {
			s.Errorf("delete of %q was taken", key)
		}
	}
	if _, err := s.store.List(s.ctx, "../"); err == nil {
		s.Error("list of ../ was taken")
	}
	if err := s.store.Put(s.ctx, "empty", nil); err == nil {
		s.Error("an empty object was taken")
	}
	if got := s.keys(""); len(got) != 0 {
		s.Errorf("refused puts left %v", got)
	}
}

func (s *suite) endedContext() {
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	s.mustBe(s.store.Put(ended, "a", []byte("x")), context.Canceled)
	s.mustBe(s.store.Rewrite(ended, checkpointOf([]byte("x")), []byte("x")), context.Canceled)
	_, err := s.store.Get(ended, "a")
	s.mustBe(err, context.Canceled)
	_, err = s.store.List(ended, "")
	s.mustBe(err, context.Canceled)
	s.mustBe(s.store.Delete(ended, "a"), context.Canceled)
	if got := s.keys(""); len(got) != 0 {
		s.Errorf("a put with an ended context left %v", got)
	}
}
