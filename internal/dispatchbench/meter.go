package dispatchbench

import (
	"context"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// meter holds what was seen of a run.
type meter struct {
	cfg      Config
	requests atomic.Int64
	step     atomic.Int64 // the highest leased
	waiters  []*waiter    // each keeps its own grants

	mu      sync.Mutex
	began   time.Time     // the result that let step 0 begin was sent
	results int64         // accepted, of training
	all     chan struct{} // closed when all are
	sent    []time.Time
	ended   []time.Time // the last answer to a result of each step
	cost    [2]usage    // at the beginning and the end
	pid     int
}

func newMeter(c Config) *meter {
	return &meter{cfg: c, all: make(chan struct{}), sent: make([]time.Time, c.Steps), ended: make([]time.Time, c.Steps)}
}

func (m *meter) reach(step int64) {
	for old := m.step.Load(); step > old && !m.step.CompareAndSwap(old, step); old = m.step.Load() {
	}
}

// accepted notes a result that counted.
func (m *meter) accepted(w metatrain.Work, sent, answered time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case w.Kind == metatrain.Validate && w.Step == 0:
		m.began, m.cost[0] = sent, m.usage()
	case w.Kind == metatrain.Train:
		m.results++
		m.sent[w.Step] = latest(m.sent[w.Step], sent)
		m.ended[w.Step] = latest(m.ended[w.Step], answered)
		if m.results == int64(m.cfg.Steps)*int64(m.cfg.shards()) {
			m.cost[1] = m.usage()
			close(m.all)
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// usage is processor time and messages so far.
type usage struct {
	coordinator, fleet time.Duration
	requests           int64
}

func (m *meter) usage() usage {
	return usage{processCPU(m.pid), ownCPU(), m.requests.Load()}
}

// grantTimes are, for each lease after step 0's, the milliseconds from the sending of the last result of the step
// before.
func (m *meter) grantTimes() []float64 {
	var all []float64
	for _, w := range m.waiters {
		for _, g := range w.grants {
			if g.step > 0 {
				all = append(all, g.at.Sub(m.sent[g.step-1]).Seconds()*1000)
			}
		}
	}
	slices.Sort(all)
	return all
}

// stepTimes are the seconds of each step.
func (m *meter) stepTimes() []float64 {
	all := make([]float64, len(m.ended))
	before := m.began
	for i, end := range m.ended {
		all[i], before = end.Sub(before).Seconds(), end
	}
	slices.Sort(all)
	return all
}

// quantile of sorted values; NaN where there are none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// memory is the coordinator's resident memory over the run, in megabytes.
type memory struct{ warm, end, peak float64 }

// watch samples the coordinator until the function it returns is called.
func (m *meter) watch(ctx context.Context) (stop func() memory) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	var warm, end []float64
	go func() {
		defer close(done)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			switch share := float64(m.step.Load()) / float64(m.cfg.Steps); {
			case share >= 0.05 && share < 0.15:
				warm = append(warm, resident(m.pid, "VmRSS"))
			case share >= 0.9:
				end = append(end, resident(m.pid, "VmRSS"))
			}
		}
	}()
	return func() memory {
		cancel()
		<-done
		slices.Sort(warm)
		slices.Sort(end)
		return memory{quantile(warm, 0.5), quantile(end, 0.5), resident(m.pid, "VmHWM")}
	}
}
