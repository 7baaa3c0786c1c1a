package coordinator

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// Bounds of what is read from the store for others.
const (
	maxFetches = 256       // fetches under way; one more goes unanswered, and is asked again
	maxReads   = 2         // objects read at once
	maxShelf   = 256 << 20 // bytes kept
	idleObject = 30 * time.Second
)

// shelf reads objects for those who fetch them chunk by chunk: each once from the store, though a hundred workers ask
// for a thousand chunks of it, few at a time, and within a budget of bytes (G6). Objects are immutable.
type shelf struct {
	store checkpoint.Store
	turns chan struct{}

	mu      sync.Mutex
	reading map[string]chan struct{}
	kept    []volume // latest use last
	bytes   int
}

type volume struct {
	key  string
	data []byte
	used time.Time
}

func newShelf(store checkpoint.Store) *shelf {
	return &shelf{store: store, turns: make(chan struct{}, maxReads), reading: map[string]chan struct{}{}}
}

// get returns an object, which is read-only.
func (s *shelf) get(ctx context.Context, key string) ([]byte, error) {
	for {
		data, ok, other, mine := s.claim(key)
		if ok {
			return data, nil
		}
		if mine != nil {
			defer mine()
			return s.read(ctx, key)
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// claim finds an object (ok), or who reads it at present (other closes when that is over), or leaves it to the caller
// to read, who then calls mine.
func (s *shelf) claim(key string) (data []byte, ok bool, other <-chan struct{}, mine func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if data, ok := s.find(key); ok {
		return data, true, nil, nil
	}
	if other := s.reading[key]; other != nil {
		return nil, false, other, nil
	}
	over := make(chan struct{})
	s.reading[key] = over
	return nil, false, nil, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.reading, key)
		close(over)
	}
}

func (s *shelf) read(ctx context.Context, key string) ([]byte, error) {
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	data, err := s.store.Get(ctx, key)
	if err == nil {
		s.keep(key, data)
	}
	return data, err
}

func (s *shelf) find(key string) ([]byte, bool) {
	for len(s.kept) > 0 && time.Since(s.kept[0].used) > idleObject {
		s.discard(0)
	}
	i := slices.IndexFunc(s.kept, func(v volume) bool { return v.key == key })
	if i < 0 {
		return nil, false
	}
	v := s.kept[i]
	v.used = time.Now()
	s.kept = append(slices.Delete(s.kept, i, i+1), v)
	return v.data, true
}

func (s *shelf) keep(key string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(data) > maxShelf {
		return
	}
	s.kept = append(s.kept, volume{key, data, time.Now()})
	for s.bytes += len(data); s.bytes > maxShelf; {
		s.discard(0)
	}
}

func (s *shelf) discard(i int) {
	s.bytes -= len(s.kept[i].data)
	s.kept = slices.Delete(s.kept, i, i+1)
}
