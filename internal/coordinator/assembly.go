package coordinator

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Bounds of what is put together from chunks.
const (
	maxUpload = 256 << 20
	idleChunk = 30 * time.Second
	// partCost is what a part costs beside its bytes, so that many empty ones are bounded too.
	partCost = 512
)

// errNoRoom: nothing is wrong with the bytes, they may be offered again.
var errNoRoom = errors.New("no room at present")

// assembly puts byte strings together from chunks that come in order, within a byte budget over all of them (G6). A
// whole one counts against the budget until it is freed.
type assembly struct {
	budget int

	mu    sync.Mutex
	used  int // sum of cost over parts, and over wholes not freed yet
	parts map[[sha256.Size]byte]*part
}

type part struct {
	data  []byte
	total int
	seen  time.Time
}

func cost(total int) int { return total + partCost }

func newAssembly(budget int) *assembly {
	return &assembly{budget: budget, parts: map[[sha256.Size]byte]*part{}}
}

// add takes the chunk at offset. It returns the whole once it is there, to be given back with free, else the next
// offset wanted: a sender that is told another offset than it expects goes on from there.
func (a *assembly) add(name string, offset, total int, chunk []byte) (whole []byte, next int, err error) {
	switch {
	case total < 0 || total > a.budget-partCost:
		return nil, 0, fmt.Errorf("%d bytes announced, expected 0 to %d", total, a.budget-partCost)
	case offset < 0 || offset > total-len(chunk):
		return nil, 0, fmt.Errorf("chunk of %d bytes at %d of %d", len(chunk), offset, total)
	}
	key := sha256.Sum256([]byte(name)) // names come from outside: of any length
	a.mu.Lock()
	defer a.mu.Unlock()
	a.expire()
	p := a.parts[key]
	switch {
	case p == nil && a.used+cost(total) > a.budget:
		return nil, 0, fmt.Errorf("%w: %d bytes announced, %d of %d in use", errNoRoom, total, a.used, a.budget)
	case p == nil:
		p = &part{total: total, data: make([]byte, 0, total)} // the budget has it already
		a.parts[key] = p
		a.used += cost(total)
	case total != p.total:
		a.drop(key)
		return nil, 0, fmt.Errorf("%d bytes announced, %d before", total, p.total)
	}
	p.seen = time.Now()
	if offset == len(p.data) {
		p.data = append(p.data, chunk...)
	}
	if len(p.data) < p.total {
		return nil, len(p.data), nil
	}
	delete(a.parts, key)
	return p.data, p.total, nil
}

// free gives back the room of a whole that nobody holds any more.
func (a *assembly) free(whole []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.used -= cost(len(whole))
}

func (a *assembly) drop(key [sha256.Size]byte) {
	a.used -= cost(a.parts[key].total)
	delete(a.parts, key)
}

func (a *assembly) expire() {
	for key, p := range a.parts {
		if time.Since(p.seen) > idleChunk {
			a.drop(key)
		}
	}
}
