package dispatchbench

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// maxHolding is that of pkg/worker: one lease at work and one fetched ahead.
const maxHolding = 2

// pollWait is how long a worker's poll waits at the leader, as in pkg/worker.
const pollWait = 5 * time.Second

// waiter is a worker that waits where others compute: pkg/worker's protocol as a machine without a goroutine, with one
// timer.
type waiter struct {
	fleet *fleet
	link  *link
	id    string
	wait  time.Duration
	spoke atomic.Int64 // Unix nanoseconds of its last message to the leader

	mu     sync.Mutex
	over   bool
	asking bool
	seq    uint64
	held   []*job // the first is at work
	timer  *time.Timer
	grants []sample // when leases came
}

// sample is a moment of a step.
type sample struct {
	step int64
	at   time.Time
}

// job is a lease in hand.
type job struct {
	metatrain.Lease
	theta   []float32
	began   time.Time // zero until it is at work
	sending bool      // waited for; its result is on its way
	result  metatrain.Result
	payload []byte
	frame   []byte // of the next chunk
}

func newWaiter(f *fleet, i int) *waiter {
	w := &waiter{fleet: f, link: f.links[i%len(f.links)], id: fmt.Sprintf("waiter-%d", i), wait: f.cfg.Wait}
	if i == 0 {
		w.wait = time.Duration(f.cfg.Straggler * float64(w.wait))
	}
	return w
}

// poll asks for a lease where there is room for one.
func (w *waiter) poll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || w.asking || len(w.held) >= maxHolding {
		return
	}
	w.asking = true
	w.seq++
	hello := metatrain.Hello{Worker: w.id, Protocol: metatrain.Protocol, Contract: metatrain.Contract, Bits: metatrain.Contract,
		Class: "cpu", Engine: "lane", Holding: w.holding(), Seq: w.seq, WaitMS: pollWait.Milliseconds()}
	w.ask("lease", metatrain.EncodeFrame(hello, nil), pollWait+2*time.Second, w.polled)
}

// ask sends a request, each of which tells the leader that this worker lives.
func (w *waiter) ask(op string, frame []byte, wait time.Duration, then func(frame []byte)) {
	w.spoke.Store(time.Now().UnixNano())
	w.link.ask(op, frame, wait, then)
}

// polled takes leases, or asks again.
func (w *waiter) polled(frame []byte) {
	reply, err := decode[metatrain.LeaseReply](frame)
	if err == nil && reply.Refused != "" {
		err = fmt.Errorf("refused: %s", reply.Refused)
	}
	if err != nil {
		w.fleet.fail(fmt.Errorf("%s: ask for a lease: %w", w.id, err))
		return
	}
	now := time.Now()
	w.mu.Lock()
	w.asking = false
	for _, l := range reply.Leases {
		if l.Work.Kind == metatrain.Train {
			w.grants = append(w.grants, sample{l.Work.Step, now})
			w.fleet.meter.reach(l.Work.Step)
		}
		w.held = append(w.held, &job{Lease: l})
	}
	w.begin()
	w.mu.Unlock()
	w.poll()
}

// begin puts the first job in hand to work, if it is not. The caller holds mu.
func (w *waiter) begin() {
	if w.over || len(w.held) == 0 || !w.held[0].began.IsZero() {
		return
	}
	j := w.held[0]
	j.began = time.Now()
	if digest := j.Work.Theta; digest != "" {
		if j.theta = w.fleet.thetas.get(digest); j.theta == nil { // it joined late: rare, so that a goroutine may wait
			go w.fetch(j)
			return
		}
	}
	w.work(j)
}

// fetch asks for parameters that no broadcast brought.
func (w *waiter) fetch(j *job) {
	data, err := w.fleet.client.Theta(w.fleet.ctx, j.Work.Theta)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil { // the step has gone on without it: a beat tells
		j.began = time.Time{}
		w.drop([]uint64{j.ID})
		return
	}
	j.theta = w.fleet.thetas.keep(j.Work.Theta, data)
	w.work(j)
}

// work waits as long as the work takes, and makes its result half way: real workers have cores of their own for that, here
// it would stand in the way of messages. The caller holds mu.
func (w *waiter) work(j *job) {
	wait := time.Duration(0)
	if j.Work.Kind == metatrain.Train {
		wait = w.wait
	}
	w.timer = time.AfterFunc(wait/2, func() {
		if err := w.make(j, wait); err != nil {
			w.fleet.fail(fmt.Errorf("%s: %s of step %d: %w", w.id, j.Work.Kind, j.Work.Step, err))
			return
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if !w.over {
			w.timer = time.AfterFunc(time.Until(j.began.Add(wait)), func() { w.finish(j) })
		}
	})
}

// finish offers the result, if it is wanted still.
func (w *waiter) finish(j *job) {
	w.mu.Lock()
	j.sending = !w.over && slices.Contains(w.held, j)
	w.mu.Unlock()
	if j.sending {
		w.offer(j)
	}
}

// make computes what the piece of work comes to.
func (w *waiter) make(j *job, wait time.Duration) error {
	res := metatrain.Result{Worker: w.id, Lease: j.ID, Work: j.Work, Bits: metatrain.Contract, Tasks: 1, Micros: max(1, wait.Microseconds())}
	switch j.Work.Kind {
	case metatrain.Init:
		res.Layout, j.payload = layout(w.fleet.cfg.Parameters), metatrain.EncodeFloats(initial(w.fleet.cfg.Parameters))
	case metatrain.Validate:
		res.Metrics = []float64{score(j.Work.Step)}
	case metatrain.Train:
		part, err := sum(j.theta, j.Work.Step, j.Work.Node, j.Tasks)
		if err != nil {
			return err
		}
		res.Tasks, res.Metrics, j.payload = part.Tasks, part.Metrics, metatrain.EncodeFloats(part.Vec)
	default:
		return errors.New("a bench has no such work")
	}
	res.Total, res.SHA256 = len(j.payload), metatrain.Digest(j.payload)
	j.result = res
	j.frame = j.encode()
	return nil
}

// encode gives the frame of the result's next chunk.
func (j *job) encode() []byte {
	at := j.result.Offset
	return metatrain.EncodeFrame(j.result, j.payload[at:min(len(j.payload), at+metatrain.MaxChunk)])
}

// offer sends the next chunk of a result, until there is a verdict.
func (w *waiter) offer(j *job) {
	sent := time.Now()
	w.ask("result", j.frame, 5*time.Second, func(frame []byte) { w.offered(j, sent, frame) })
}

func (w *waiter) offered(j *job, sent time.Time, frame []byte) {
	reply, err := decode[metatrain.ResultReply](frame)
	if err == nil && reply.Verdict == metatrain.Refused {
		err = fmt.Errorf("refused: %s", reply.Reason)
	}
	switch {
	case err != nil:
		w.fleet.fail(fmt.Errorf("%s: result of %s, step %d: %w", w.id, j.Work.Kind, j.Work.Step, err))
		return
	case reply.Verdict == metatrain.More:
		j.result.Offset = reply.Offset
		j.frame = j.encode()
		w.offer(j)
		return
	case reply.Verdict == metatrain.Hold:
		j.result.Offset = 0
		j.frame = j.encode()
		time.AfterFunc(time.Duration(max(reply.RetryMS, 5))*time.Millisecond, func() { w.offer(j) })
		return
	case reply.Verdict == metatrain.Accepted:
		w.fleet.meter.accepted(j.Work, sent, time.Now())
	}
	w.mu.Lock()
	w.held = slices.DeleteFunc(w.held, func(o *job) bool { return o == j })
	w.begin()
	w.mu.Unlock()
	w.poll()
}

// beat says that this worker lives while it holds leases.
func (w *waiter) beat() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || len(w.held) == 0 {
		return
	}
	w.ask("beat", metatrain.EncodeFrame(metatrain.Beat{Worker: w.id, Leases: w.holding()}, nil), time.Minute, func(frame []byte) {
		if ack, err := decode[metatrain.Ack](frame); err == nil && len(ack.Drop) > 0 {
			w.mu.Lock()
			w.drop(ack.Drop)
			w.mu.Unlock()
			w.poll()
		}
	})
}

// drop forgets work that nobody wants any more, but for a result that is on its way. The caller holds mu.
func (w *waiter) drop(ids []uint64) {
	w.held = slices.DeleteFunc(w.held, func(j *job) bool { return !j.sending && slices.Contains(ids, j.ID) })
	w.begin()
}

// holding lists the leases in hand. The caller holds mu.
func (w *waiter) holding() []uint64 {
	ids := make([]uint64, len(w.held))
	for i, j := range w.held {
		ids[i] = j.ID
	}
	return ids
}

// stop ends the worker.
func (w *waiter) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	if w.timer != nil {
		w.timer.Stop()
	}
}
