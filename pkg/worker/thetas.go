package worker

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// keepThetas is how many parameter vectors a worker keeps: the one at work, the next, and, where they are small, those of
// another run.
const (
	keepThetas      = 4
	keepLargeThetas = 2
	largeTheta      = 1 << 20 // bytes
)

// thetas holds parameter vectors by digest, from the leader's broadcasts or, missing that, on request.
type thetas struct {
	client *client.Client
	log    *slog.Logger
	stop   func()

	mu      sync.Mutex
	known   map[string][]float32
	order   []string // oldest first
	partial metatrain.Theta
	bytes   []byte
	arrived chan struct{} // closed and renewed when one becomes known
	junk    int           // broadcasts that are none
}

func newThetas(c *client.Client, log *slog.Logger) (*thetas, error) {
	t := &thetas{client: c, log: log, known: map[string][]float32{}, arrived: make(chan struct{})}
	stop, err := c.Bus().Subscribe(c.Subject("theta"), t.hear)
	if err != nil {
		return nil, fmt.Errorf("listen for parameters: %w", err)
	}
	t.stop = stop
	return t, nil
}

func (t *thetas) close() { t.stop() }

// hear takes one broadcast chunk. Whatever does not fit is left to a request.
func (t *thetas) hear(data []byte) {
	var head metatrain.Theta
	chunk, err := metatrain.DecodeFrame(data, &head)
	if most := 4 * nn.MaxParams; err == nil && (head.Total < 0 || head.Total > most) {
		err = fmt.Errorf("parameters of %d bytes announced, expected 0 to %d", head.Total, most)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.doubt(err)
		return
	}
	if t.known[head.Digest] != nil {
		return
	}
	if head.Offset == 0 {
		t.partial, t.bytes = head, t.bytes[:0]
	}
	if head.Digest != t.partial.Digest || head.Total != t.partial.Total || head.Offset != len(t.bytes) || len(chunk) > head.Total-len(t.bytes) {
		return
	}
	t.bytes = append(t.bytes, chunk...)
	if len(t.bytes) < head.Total {
		return
	}
	t.partial = metatrain.Theta{}
	if found := metatrain.Digest(t.bytes); found != head.Digest {
		t.doubt(fmt.Errorf("parameters with SHA-256 %.12s, announced %.12s", found, head.Digest))
	} else if _, err := t.keep(head.Digest, t.bytes); err != nil { // reported to who asks for it
		t.doubt(err)
	}
}

// doubt counts a broadcast that is none; the log hears of the first and of each tenfold number.
func (t *thetas) doubt(err error) {
	if t.junk++; metatrain.Notable(t.junk) {
		t.log.Warn("passed over a broadcast", "count", t.junk, "err", err)
	}
}

func (t *thetas) keep(digest string, data []byte) ([]float32, error) {
	theta, err := metatrain.DecodeFloats(data, len(data)/4)
	if err != nil {
		return nil, fmt.Errorf("theta %.12s: %w", digest, err)
	}
	t.known[digest] = theta
	t.order = append(slices.DeleteFunc(t.order, func(d string) bool { return d == digest }), digest)
	most := keepThetas
	if len(data) >= largeTheta {
		most = keepLargeThetas
	}
	for len(t.order) > most {
		delete(t.known, t.order[0])
		t.order = t.order[1:]
	}
	close(t.arrived)
	t.arrived = make(chan struct{})
	return theta, nil
}

// broadcastPause without a chunk ends the wait for a broadcast that has begun.
const broadcastPause = 100 * time.Millisecond

// get returns parameters by digest. The broadcast usually precedes the lease; a request follows when it does not come.
func (t *thetas) get(ctx context.Context, digest string) ([]float32, error) {
	late, seen := time.NewTimer(20*time.Millisecond), 0
	defer late.Stop()
	for {
		theta, arrived := t.lookup(digest)
		if theta != nil {
			return theta, nil
		}
		select {
		case <-arrived:
			continue
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late.C:
		}
		if n := t.heard(digest); n > seen { // it is coming
			seen = n
			late.Reset(broadcastPause)
			continue
		}
		return t.request(ctx, digest)
	}
}

// heard is how many bytes of parameters a broadcast has brought so far.
func (t *thetas) heard(digest string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.partial.Digest != digest {
		return 0
	}
	return len(t.bytes)
}

// request asks the leader, until the broadcast comes after all: it may come from a leader the request never reaches.
func (t *thetas) request(ctx context.Context, digest string) ([]float32, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for {
			theta, arrived := t.lookup(digest)
			if theta != nil {
				cancel()
				return
			}
			select {
			case <-arrived:
			case <-ctx.Done():
				return
			}
		}
	}()
	data, err := t.client.Theta(ctx, digest)
	t.mu.Lock()
	defer t.mu.Unlock()
	if theta := t.known[digest]; theta != nil {
		return theta, nil
	}
	if err != nil {
		return nil, err
	}
	return t.keep(digest, data)
}

// lookup gives parameters, nil where they are not known, and what closes when others become known.
func (t *thetas) lookup(digest string) (theta []float32, arrived <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known[digest], t.arrived
}
