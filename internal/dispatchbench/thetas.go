package dispatchbench

import (
	"sync"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// thetas are the parameters heard, shared by all waiters: each is hashed once here, where real workers do so each.
type thetas struct {
	mu    sync.Mutex
	known map[string][]float32
	order []string
}

// keepThetas is how many are kept: that of the step, of the one before, and room.
const keepThetas = 4

func newThetas() *thetas { return &thetas{known: map[string][]float32{}} }

// ear takes the broadcast chunks of one connection, which come in order.
func (t *thetas) ear() func(data []byte) {
	var at metatrain.Theta
	var whole []byte
	return func(data []byte) {
		var head metatrain.Theta
		chunk, err := metatrain.DecodeFrame(data, &head)
		if err != nil || t.get(head.Digest) != nil {
			return
		}
		if head.Offset == 0 {
			at, whole = head, whole[:0]
		}
		if head.Digest != at.Digest || head.Offset != len(whole) {
			return
		}
		if whole = append(whole, chunk...); len(whole) == head.Total {
			t.keep(head.Digest, whole)
		}
	}
}

func (t *thetas) get(digest string) []float32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known[digest]
}

// keep takes parameters in; what is not what it says is left to be asked for.
func (t *thetas) keep(digest string, data []byte) []float32 {
	if metatrain.Digest(data) != digest {
		return nil
	}
	theta, err := metatrain.DecodeFloats(data, len(data)/4)
	if err != nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if known := t.known[digest]; known != nil {
		return known
	}
	t.known[digest] = theta
	if t.order = append(t.order, digest); len(t.order) > keepThetas {
		delete(t.known, t.order[0])
		t.order = t.order[1:]
	}
	return theta
}
