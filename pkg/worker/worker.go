// Package worker is the worker as a library: it asks the leader for work, computes it, and offers the result until
// somebody has it. A program outside this module is a worker with families of its own by calling Run.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Config of a worker.
type Config struct {
	// ID is unique to one life of one process; "" makes one from host, process and chance.
	ID string
	// Process is what all workers of a process share: audits do not ask a process to check on itself, and a quarantine is
	// for all of it. "" makes one from host and process number, so that in a container it outlasts a restart.
	Process string
	// Host is shown to people; "" asks the system.
	Host string
	// Class lets runs ask for a kind of machine. Default "cpu".
	Class string
	// BeatEvery is how often a worker with leases says that it lives. Default 500 ms; three missed free its leases.
	BeatEvery time.Duration
	// Memory is how much one piece of work may take; 0 is no limit. A run that needs more is not for this worker, which
	// says so instead of dying of it.
	Memory Bytes
	// Slots is how many workers this one's process has, for people; RunSlots fills it in.
	Slots int
	// Leave, when closed, asks the worker to go: what it has not begun is handed back at once, what it has is finished,
	// and its results are offered until they are taken. nil: never.
	Leave <-chan struct{}
	// Grace is how long that may take; what is left then is handed back. Default 20 s.
	Grace time.Duration
	Log   *slog.Logger
}

// ErrRestart asks whoever started this worker to start another life of it: work failed here, and whether the work or
// this process is at fault shows in a process that remembers nothing.
var ErrRestart = errors.New("work failed: start this worker again")

// maxHolding is how many leases are in hand at once: one at work, one fetched ahead or on its way out.
const maxHolding = 2

// worker is one life.
type worker struct {
	cfg     Config
	client  *client.Client
	engines *engines
	thetas  *thetas
	jobs    chan *job
	done    chan *job
	spoke   atomic.Int64 // Unix nanoseconds of the last request that tells the leader that this worker lives, but for beats

	mu      sync.Mutex
	holding map[uint64]*job // by lease; guards their lease ids too
	leaving bool            // nothing more is taken or begun
	room    chan struct{}   // signalled when holding shrinks, for fetch
	settled chan struct{}   // the same, for leave
}

// job is one lease in hand, until its result has a final verdict.
type job struct {
	lease   metatrain.Lease
	engine  *engine
	theta   []float32
	pooled  []float32
	dropped <-chan struct{}
	drop    context.CancelFunc
	result  metatrain.Result
	payload []byte
	retry   time.Duration // until it is offered again
	begun   bool          // by compute; guarded by the worker's mu
}

// unwanted says that the leader dropped the work, or that this life ends.
func (j *job) unwanted() bool {
	select {
	case <-j.dropped:
		return true
	default:
		return false
	}
}

// Run works until ctx ends or it has left (nil), or the worker should begin another life (ErrRestart). c stays the
// caller's.
func Run(ctx context.Context, cfg Config, c *client.Client, kinds Kinds) error {
	cfg = cfg.withDefaults()
	thetas, err := newThetas(c, cfg.Log)
	if err != nil {
		return err
	}
	defer thetas.close()
	w := &worker{
		cfg: cfg, client: c, engines: newEngines(c, kinds).within(cfg.Memory), thetas: thetas,
		jobs: make(chan *job, maxHolding), done: make(chan *job, maxHolding),
		holding: map[uint64]*job{}, room: make(chan struct{}, 1), settled: make(chan struct{}, 1),
	}
	life, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var loops sync.WaitGroup
	for _, loop := range []func(context.Context) error{w.fetch, w.engines.ahead.run, w.compute, w.offer, w.beat, w.leave} {
		loops.Go(func() {
			if err := loop(life); err != nil {
				cancel(err)
			}
		})
	}
	over := make(chan struct{})
	go func() {
		loops.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-life.Done():
	}
	select {
	case <-over:
	case <-w.overdue(ctx, life):
		w.cfg.Log.Warn("going while a piece of work is computed that can't be interrupted", "worker", w.cfg.ID)
	}
	w.farewell(ctx)
	if ctx.Err() != nil || errors.Is(context.Cause(life), errLeft) {
		return nil
	}
	return context.Cause(life)
}

// fetch asks for leases and prepares them while the one before is computed, until the worker leaves.
func (w *worker) fetch(life context.Context) error {
	ctx, cancel := context.WithCancel(life)
	defer cancel()
	go func() {
		select {
		case <-w.cfg.Leave:
			cancel()
		case <-ctx.Done():
		}
	}()
	const wait = 5 * time.Second
	for seq := uint64(1); w.awaitRoom(ctx); seq++ {
		hello := metatrain.Hello{Worker: w.cfg.ID, Process: w.cfg.Process, Host: w.cfg.Host, Protocol: metatrain.Protocol, Contract: metatrain.Contract,
			Bits: metatrain.Contract, Skills: w.engines.skills(), Class: w.cfg.Class, Engine: "lane",
			Memory: int64(w.cfg.Memory), Slots: w.cfg.Slots, Release: release(), Holding: w.held(), Seq: seq, WaitMS: wait.Milliseconds()}
		w.spoke.Store(time.Now().UnixNano())
		reply, _, err := client.Ask[metatrain.LeaseReply](ctx, w.client, "lease", hello, nil, wait+2*time.Second)
		if err != nil {
			return nil // only ctx ends the asking
		}
		if reply.Refused != "" {
			return fmt.Errorf("the leader gives this worker no work: %s", reply.Refused)
		}
		for _, l := range reply.Leases {
			if err := w.take(life, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// take prepares a lease and queues it. Its error ends this life.
func (w *worker) take(ctx context.Context, l metatrain.Lease) error {
	if w.adopt(l) {
		return nil
	}
	jobCtx, drop := context.WithCancel(ctx)
	j := &job{lease: l, dropped: jobCtx.Done(), drop: drop}
	if !w.hold(j) {
		drop()
		return nil
	}
	if err := w.prepare(jobCtx, j); err != nil {
		return w.unprepared(ctx, j, err)
	}
	select {
	case w.jobs <- j:
	case <-ctx.Done():
	}
	return nil
}

// unprepared lets a lease go that could not be prepared. Where that may be the work's own fault, this worker is barred
// from it: another life tells whether it fails there too.
func (w *worker) unprepared(ctx context.Context, j *job, err error) error {
	if j.unwanted() {
		w.forget(j)
		return nil
	}
	w.cfg.Log.Warn("cannot prepare work", "run", j.lease.Work.Run, "step", j.lease.Work.Step, "err", err)
	var own *TaskError
	transient := !errors.As(err, &own)
	w.fail(ctx, j, err, transient)
	if transient {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrRestart, err)
}

// adopt moves work in hand to a newer lease of the same work: a new leader grants what the old one did.
func (w *worker) adopt(l metatrain.Lease) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, j := range w.holding {
		if j.lease.Work == l.Work && !j.unwanted() {
			delete(w.holding, id)
			j.lease.ID = l.ID
			w.holding[l.ID] = j
			return true
		}
	}
	return false
}

func (w *worker) prepare(ctx context.Context, j *job) (err error) {
	if j.engine, err = w.engines.get(ctx, j.lease.Work.Run, j.lease.Work.Spec); err != nil {
		return err
	}
	if tasks, ok := keyOf(j.engine, j.lease.Work, j.lease.Tasks); ok {
		w.engines.ahead.coming(tasks) // while theta is on its way
	}
	if j.lease.Work.Theta != "" {
		if j.theta, err = w.thetas.get(ctx, j.lease.Work.Theta); err != nil {
			return err
		}
	}
	if j.lease.Pooled != "" {
		j.pooled, err = w.thetas.get(ctx, j.lease.Pooled)
	}
	return err
}

// compute does one job after the other.
func (w *worker) compute(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case j := <-w.jobs:
			if !w.begin(j) {
				w.forget(j)
				continue
			}
			began := time.Now()
			if err := j.engine.do(j); errors.Is(err, errDropped) {
				w.forget(j)
				continue
			} else if err != nil {
				w.cfg.Log.Error("work failed", "run", j.lease.Work.Run, "kind", j.lease.Work.Kind, "step", j.lease.Work.Step, "err", err)
				w.fail(ctx, j, err, false)
				return fmt.Errorf("%w: %w", ErrRestart, err)
			}
			j.result.Micros = time.Since(began).Microseconds()
			w.over(j)
			select {
			case w.done <- j:
			case <-ctx.Done():
			}
		}
	}
}

// beat says that this worker lives while it holds leases, and drops what nobody wants any more. Asking for work and
// offering a result say so too: it is for the time between.
func (w *worker) beat(ctx context.Context) error {
	timer := time.NewTimer(w.cfg.BeatEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if quiet := time.Since(time.Unix(0, w.spoke.Load())); quiet >= 0 && quiet < w.cfg.BeatEvery {
			timer.Reset(w.cfg.BeatEvery - quiet)
			continue
		}
		timer.Reset(w.cfg.BeatEvery)
		held := w.held()
		if len(held) == 0 {
			continue
		}
		once, cancel := context.WithTimeout(ctx, w.cfg.BeatEvery)
		ack, err := w.tell(once, metatrain.Beat{Worker: w.cfg.ID, Leases: held, Leaving: w.goes()})
		cancel()
		if err != nil {
			continue
		}
		for _, id := range ack.Drop {
			w.mu.Lock()
			// A newer leader does not know older leases; their results are as good, so only its own are dropped.
			if j := w.holding[id]; j != nil && id>>32 == uint64(ack.Term.Revision) {
				j.drop()
			}
			w.mu.Unlock()
		}
	}
}

// tell sends a beat.
func (w *worker) tell(ctx context.Context, b metatrain.Beat) (metatrain.Ack, error) {
	ack, _, err := client.Ask[metatrain.Ack](ctx, w.client, "beat", b, nil, w.cfg.BeatEvery)
	return ack, err
}

func (w *worker) held() []uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]uint64, 0, len(w.holding))
	for id := range w.holding {
		ids = append(ids, id)
	}
	return ids
}

// over says that a job's tasks are needed no more.
func (w *worker) over(j *job) {
	if tasks, ok := keyOf(j.engine, j.lease.Work, j.lease.Tasks); ok {
		w.engines.ahead.finished(tasks)
	}
}

func (w *worker) forget(j *job) {
	w.mu.Lock()
	delete(w.holding, j.lease.ID)
	w.mu.Unlock()
	w.over(j)
	j.drop()
	for _, hears := range []chan struct{}{w.room, w.settled} {
		select {
		case hears <- struct{}{}:
		default:
		}
	}
}

func (w *worker) awaitRoom(ctx context.Context) bool {
	for {
		w.mu.Lock()
		n := len(w.holding)
		w.mu.Unlock()
		if n < maxHolding {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-w.room:
		}
	}
}
