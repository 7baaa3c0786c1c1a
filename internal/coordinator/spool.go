package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Spool keeps on this machine's disk, whole or not at all, the newest state of each run that the store did not take in
// time. In memory a run's machine keeps two at most (the one on its way and the newest), and they end with the process;
// from the spool the coordinator that next leads with the same folder resumes, where else the fleet would compute
// everything since the last durable state again. Nothing in it counts as durable. A state goes once the pointer has
// reached it, or its run cannot go on.
type Spool struct {
	dir   *checkpoint.Dir
	path  string
	limit int64 // bytes

	mu sync.Mutex // one change at a time, so that the limit holds
}

// OpenSpool opens the spool in a folder, which is made where it is not there and must take files. Coordinators of one
// cluster may share it.
func OpenSpool(ctx context.Context, path string, limit int64) (*Spool, error) {
	dir, err := checkpoint.OpenDir(path)
	if err == nil {
		if err = dir.Put(ctx, "probe", []byte("probe")); err == nil {
			err = dir.Delete(ctx, "probe")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	return &Spool{dir: dir, path: path, limit: limit}, nil
}

// keep writes a state in place of its run's last one, unless that is the later one: a leader that slept may come with an
// old one after the next leader. For a moment both are there; the limit is of what stays.
func (s *Spool) keep(ctx context.Context, key string, data []byte) error {
	run, _, _, err := checkpoint.ParseCheckpointKey(key)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.dir.List(ctx, "runs/")
	if err != nil {
		return err
	}
	size := int64(len(data))
	for _, o := range all {
		of, _, _, _ := checkpoint.ParseCheckpointKey(o.Key)
		switch {
		case of != run:
			size += o.Size
		case checkpoint.KeyOrder(o.Key) > checkpoint.KeyOrder(key):
			return nil
		}
	}
	if size > s.limit {
		return fmt.Errorf("spool %s would hold %d bytes, expected at most %d: give it a higher limit", s.path, size, s.limit)
	}
	if err := s.dir.Put(ctx, key, data); err != nil {
		return err
	}
	return s.drop(ctx, all, func(of, other string) bool { return of == run && other != key })
}

// drop deletes those of objects that are needless.
func (s *Spool) drop(ctx context.Context, objects []checkpoint.Object, needless func(run, key string) bool) error {
	for _, o := range objects {
		if run, _, _, err := checkpoint.ParseCheckpointKey(o.Key); err != nil || !needless(run, o.Key) {
			continue
		}
		if err := s.dir.Delete(ctx, o.Key); err != nil {
			return err
		}
	}
	return nil
}

// sweep deletes what is needless of all that is there.
func (s *Spool) sweep(ctx context.Context, needless func(run, key string) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	all, err := s.dir.List(ctx, "runs/")
	if err != nil {
		return err
	}
	return s.drop(ctx, all, needless)
}

// newest gives the run's latest state, or checkpoint.ErrNotFound.
func (s *Spool) newest(ctx context.Context, run string) (key string, data []byte, err error) {
	all, err := s.dir.List(ctx, checkpoint.CheckpointFolder(run))
	if err != nil {
		return "", nil, err
	}
	if len(all) == 0 {
		return "", nil, checkpoint.ErrNotFound
	}
	key = all[len(all)-1].Key // keys sort by rewinds and step
	data, err = s.dir.Get(ctx, key)
	return key, data, err
}

// spoolAfter is how long the store may take for a state before that is kept in the spool, and spoolPace, in bytes a second,
// what it has to take of a large one.
const (
	spoolAfter = 2 * time.Second
	spoolPace  = 10 << 20
)

// spooling keeps a state in the spool if the store does not take it: soon, or at once when now is called, as those do who
// give it up. taken ends that.
func (p *pass) spooling(e metatrain.PutObject) (now, taken func()) {
	if _, _, _, err := checkpoint.ParseCheckpointKey(e.Key); err != nil || p.cfg.Spool == nil {
		return func() {}, func() {}
	}
	now = sync.OnceFunc(func() {
		if err := p.cfg.Spool.keep(context.WithoutCancel(p.ctx), e.Key, e.Data); err != nil {
			p.log.Warn("state not kept in the spool", "key", e.Key, "err", err)
			return
		}
		p.log.Warn("the store does not take a state; kept in the spool", "key", e.Key, "spool", p.cfg.Spool.path)
	})
	timer := time.AfterFunc(spoolAfter+time.Duration(len(e.Data))*time.Second/spoolPace, now)
	return now, func() { timer.Stop() }
}

// unspool resumes from the spool, where that holds a state beyond what the pointer names: it is put to the store
// first, as any that a pointer may name. false: there is none.
func (p *pass) unspool(ctx context.Context, e metatrain.LoadCheckpoint) (metatrain.Done, bool) {
	key, data, err := p.cfg.Spool.newest(ctx, e.Run)
	if errors.Is(err, checkpoint.ErrNotFound) {
		return metatrain.Done{}, false
	}
	if err == nil {
		_, err = checkpoint.DecodeCheckpoint(key, data, metatrain.Contract, e.Spec)
	}
	if err != nil {
		p.log.Warn("passed over what the spool holds", "run", e.Run, "err", err)
		return metatrain.Done{}, false
	}
	if !e.Beyond(key) {
		return metatrain.Done{}, false
	}
	if err := p.putOnce(metatrain.PutObject{Key: key, Data: data}); err != nil {
		return metatrain.Done{ID: e.ID, Outcome: metatrain.Failing, Text: fmt.Sprintf("put %s from the spool: %v", key, err)}, true
	}
	p.log.Info("put from the spool", "key", key)
	return metatrain.Done{ID: e.ID, Key: key, Data: data}, true
}

// durable takes out of the spool what the run's pointer has reached.
func (p *pass) durable(run, pointer string) {
	order := checkpoint.KeyOrder(pointer)
	if p.cfg.Spool == nil || order == "" {
		return
	}
	p.sweepSpool(func(of, key string) bool { return of == run && checkpoint.KeyOrder(key) <= order })
}

func (p *pass) sweepSpool(needless func(run, key string) bool) {
	if err := p.cfg.Spool.sweep(p.ctx, needless); err != nil && p.ctx.Err() == nil {
		p.log.Warn("the spool keeps what it need not", "spool", p.cfg.Spool.path, "err", err)
	}
}
