package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// driver serves one leadership. Only run touches the machine.
type driver struct {
	cfg  Config
	term metatrain.Term
	// cluster is the id that etcd and the store are bound by, "" where they are not.
	cluster string

	lead  Leadership
	bus   Bus
	store checkpoint.Store
	log   *slog.Logger
	start time.Time
	due   sync.Map // plans of retention whose turn has not come, by duePlan

	inbox     chan inbound
	uploads   *assembly
	shelf     *shelf
	fetches   chan struct{}        // one for each fetch under way
	published map[string]time.Time // when followers of a run last heard of it
	afterID   uint64
	drops     sync.Mutex // one retention pass at a time
	refusals  *refusals
	observed  time.Time // when the watch was last told
}

// inbound is a decoded request on its way to the machine.
type inbound struct {
	msg     any
	payload []byte
	request request
}

// maxInbox is how many requests wait for the machine. More wait in the bus, which bounds their bytes.
const maxInbox = 256

func newDriver(cfg Config, term metatrain.Term, l Leadership, bus Bus, store checkpoint.Store) *driver {
	log := cfg.Log.With("term", term.String())
	if _, able := store.(Presigner); !able {
		cfg.Machine.ShareBytes = 0
	}
	return &driver{
		cfg: cfg, term: term, lead: l, bus: bus, store: store, log: log, start: time.Now(), refusals: newRefusals(log),
		inbox: make(chan inbound, maxInbox), uploads: newAssembly(maxUpload),
		shelf: newShelf(store), fetches: make(chan struct{}, maxFetches), published: map[string]time.Time{},
	}
}

// run drives one machine from the truth until ctx ends, with the leadership, or the machine asks for the leadership's
// end (again = false), or it asks to be replaced.
func (d *driver) run(ctx context.Context) (again bool, err error) {
	load, cancel := context.WithTimeout(ctx, 10*time.Second)
	truth, err := d.lead.Load(load)
	cancel()
	if err != nil {
		return ctx.Err() == nil, fmt.Errorf("load state: %w", err)
	}
	cfg := d.cfg.Machine
	cfg.AfterID = d.afterID
	m, effects, err := metatrain.NewMachine(cfg, d.term, d.clock(), truth)
	if err != nil {
		return false, err
	}
	life, end := context.WithCancel(ctx)
	defer end()
	p := &pass{driver: d, ctx: life, done: make(chan metatrain.Done, 64), requests: map[uint64]request{}}
	if cfg.Spools {
		p.sweepSpool(func(run, _ string) bool { return !m.Resumable(run) })
	}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		for _, e := range effects {
			p.carryOut(e)
		}
		if m.Stopped() {
			d.afterID = m.LastID()
			return !p.resign, nil
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-ticker.C:
			effects = m.Step(d.clock(), metatrain.Tick{})
			if d.observing() {
				effects = append(effects, m.Step(d.clock(), metatrain.Asked{Req: ownRequest, Msg: metatrain.Question{}})...)
			}
		case done := <-p.done:
			effects = m.Step(d.clock(), done)
		case in := <-d.inbox:
			effects = m.Step(d.clock(), metatrain.Asked{Req: p.register(in.request), Msg: in.msg, Payload: in.payload})
		}
	}
}

func (d *driver) clock() metatrain.Clock {
	return metatrain.Clock{Mono: time.Since(d.start).Milliseconds(), Wall: time.Now().Unix()}
}

// pass is one machine's life: what its effects refer to.
type pass struct {
	*driver
	ctx      context.Context
	done     chan metatrain.Done
	requests map[uint64]request // not answered yet
	lastReq  uint64
	resign   bool
}

func (p *pass) register(r request) uint64 {
	p.lastReq++
	p.requests[p.lastReq] = r
	return p.lastReq
}

// reply answers a request, and notes where it is refused.
func (p *pass) reply(e metatrain.Reply) {
	if e.Req == ownRequest {
		p.observe(e.Msg.(metatrain.Answer))
		return
	}
	r, open := p.requests[e.Req]
	if !open {
		return
	}
	delete(p.requests, e.Req)
	switch m := e.Msg.(type) {
	case metatrain.ResultReply:
		if m.Verdict == metatrain.Refused {
			p.refusals.note(r, m.Reason)
		}
	case metatrain.LeaseReply:
		if m.Refused != "" {
			p.refusals.note(r, m.Refused)
		}
	}
	r.answer(e.Msg, e.Payload)
}

// carryOut does one effect. What takes long runs beside, and ends in a Done.
func (p *pass) carryOut(e metatrain.Effect) {
	switch e := e.(type) {
	case metatrain.Reply:
		p.reply(e)
	case metatrain.PutObject:
		go func() { p.finish(p.putObject(e)) }()
	case metatrain.Commit:
		go func() { p.finish(p.commit(e)) }()
	case metatrain.LoadCheckpoint:
		go func() { p.finish(p.loadCheckpoint(e)) }()
	case metatrain.DropCheckpoints:
		p.dropCheckpoints(e)
	case metatrain.Share:
		go func() { p.finish(p.share(e)) }()
	case metatrain.DropThetas:
		go p.dropThetas(e)
	case metatrain.Broadcast:
		p.broadcast(e)
	case metatrain.Publish:
		p.publish(e)
	case metatrain.Reload:
		p.log.Warn("starting again from the recorded state", "reason", e.Reason, "resign", e.Resign)
		p.resign = e.Resign
	}
}

func (p *pass) finish(d metatrain.Done) {
	select {
	case p.done <- d:
	case <-p.ctx.Done():
	}
}

// putObject retries with back-off. Objects are immutable and their bytes follow from their key, so that a late or
// repeated write does no harm. Other bytes under the key are not retried: that is for the machine to decide.
func (p *pass) putObject(e metatrain.PutObject) metatrain.Done {
	began, wait := time.Now(), 50*time.Millisecond
	spool, taken := p.spooling(e)
	defer taken()
	for {
		err := p.putOnce(e)
		p.wrote(began, err)
		switch {
		case err == nil:
			return metatrain.Done{ID: e.ID}
		case errors.Is(err, checkpoint.ErrExists):
			pause(p.ctx, conflictPause)
			return metatrain.Done{ID: e.ID, Outcome: metatrain.Conflict, Text: err.Error()}
		case time.Since(began) > p.cfg.StorePatience || p.ctx.Err() != nil:
			spool()
			return metatrain.Done{ID: e.ID, Outcome: metatrain.Failing, Text: err.Error()}
		}
		p.log.Warn("store write failed; trying again", "key", e.Key, "since", began.Format(time.TimeOnly), "err", err)
		pause(p.ctx, wait)
		wait = min(2*wait, 5*time.Second)
	}
}

// conflictPause keeps a machine that asks for the same again from spinning.
const conflictPause = 200 * time.Millisecond

func (p *pass) putOnce(e metatrain.PutObject) error {
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.StorePatience)
	defer cancel()
	err := p.store.Put(ctx, e.Key, e.Data)
	if errors.Is(err, checkpoint.ErrExists) {
		return p.replaceBroken(ctx, e, err)
	}
	return err
}

// replaceBroken writes a checkpoint again whose stored bytes do not hash to what their own key says. Nothing is deleted
// for that: a delete that came late would take what the next leader has put there and names as durable (G3, G4).
func (p *pass) replaceBroken(ctx context.Context, e metatrain.PutObject, exists error) error {
	_, _, sha, err := checkpoint.ParseCheckpointKey(e.Key)
	if err != nil {
		return exists
	}
	there, err := p.store.Get(ctx, e.Key)
	if err != nil {
		return err
	}
	if metatrain.Digest(there) == sha {
		return exists
	}
	p.log.Warn("stored checkpoint is corrupt; writing it again", "key", e.Key)
	return p.store.Rewrite(ctx, e.Key, e.Data)
}

func (p *pass) commit(e metatrain.Commit) metatrain.Done {
	rev, err := p.lead.Commit(p.ctx, e.Txn)
	done := metatrain.Done{ID: e.ID, Rev: rev}
	switch {
	case err == nil:
	case errors.Is(err, metatrain.ErrDeposed):
		done.Outcome, done.Text = metatrain.Deposed, err.Error()
	case errors.Is(err, metatrain.ErrConflict):
		done.Outcome, done.Text = metatrain.Conflict, err.Error()
	default:
		done.Outcome, done.Text = metatrain.Ambiguous, err.Error()
	}
	return done
}

func (p *pass) loadCheckpoint(e metatrain.LoadCheckpoint) metatrain.Done {
	done := metatrain.Done{ID: e.ID}
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.StorePatience)
	defer cancel()
	if e.Spooled {
		if done, ok := p.unspool(ctx, e); ok {
			return done
		}
	}
	if e.Pointer == "" && len(e.Rewinds) == 0 {
		done.Outcome = metatrain.Absent
		return done
	}
	if e.Pointer != "" {
		data, err := p.store.Get(ctx, e.Pointer)
		if err == nil {
			_, err = checkpoint.DecodeCheckpoint(e.Pointer, data, metatrain.Contract, e.Spec)
		}
		if err == nil {
			done.Key, done.Data = e.Pointer, data
			return done
		}
	}
	_, key, passed, err := checkpoint.Newest(ctx, p.store, e.Run, metatrain.Contract, e.Spec, e.Takes)
	for _, why := range passed {
		p.log.Warn("passed over a checkpoint", "run", e.Run, "err", why)
	}
	if len(passed) > 0 {
		done.Text = "passed over: " + errors.Join(passed...).Error()
	}
	switch {
	case errors.Is(err, checkpoint.ErrNotFound):
		done.Outcome = metatrain.Absent
	case err != nil:
		done.Outcome, done.Text = metatrain.Failing, err.Error()
	default:
		if done.Data, err = p.store.Get(ctx, key); err != nil {
			done.Outcome, done.Text = metatrain.Failing, err.Error()
		}
		done.Key = key
	}
	return done
}

func (p *pass) broadcast(e metatrain.Broadcast) {
	subject := metatrain.Subject(p.cfg.Prefix, "theta")
	for offset := 0; offset < len(e.Data); offset += metatrain.MaxChunk {
		chunk := e.Data[offset:min(len(e.Data), offset+metatrain.MaxChunk)]
		head := metatrain.Theta{Term: p.term, Digest: e.Digest, Offset: offset, Total: len(e.Data)}
		if err := p.bus.Publish(subject, metatrain.EncodeFrame(head, chunk)); err != nil {
			return // workers ask for what they did not hear
		}
	}
}

// publish thins what followers need not see.
func (p *pass) publish(e metatrain.Publish) {
	if now := time.Now(); e.Milestone || now.Sub(p.published[e.Run]) > 200*time.Millisecond {
		p.published[e.Run] = now
		if data, err := json.Marshal(e.Event); err == nil {
			p.bus.PublishEvent(e.Run, data)
		}
	}
}

// Epoch is the highest epoch recorded in the store: it rises when etcd, whose revisions fence within an epoch, is rebuilt.
func Epoch(ctx context.Context, store checkpoint.Store) (int64, error) {
	objects, err := store.List(ctx, metatrain.EpochFolder())
	if err != nil {
		return 0, err
	}
	var highest int64
	for _, o := range objects {
		if n, ok := metatrain.ParseEpochObject(o.Key); ok {
			highest = max(highest, n)
		}
	}
	return highest, nil
}
