package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Presigner is a store that gives addresses to read single objects at, which hold all the access that takes (G8).
type Presigner interface {
	Presign(ctx context.Context, key string, life time.Duration) (address string, err error)
}

const (
	// sharePatience bounds a put of parameters, for which all workers wait.
	sharePatience = 10 * time.Second
	// shareLife is how long an address is good for: longer than a step. Who comes later has the bytes from here.
	shareLife = 12 * time.Hour
)

// share puts parameters into the store and gives the address to read them at.
func (p *pass) share(e metatrain.Share) metatrain.Done {
	ctx, cancel := context.WithTimeout(p.ctx, min(sharePatience, p.cfg.StorePatience))
	defer cancel()
	failing := func(err error) metatrain.Done {
		p.log.Warn("the store does not take parameters; workers have them from here for a while", "key", e.Key, "err", err)
		return metatrain.Done{ID: e.ID, Outcome: metatrain.Failing, Text: err.Error()}
	}
	if err := p.store.Put(ctx, e.Key, e.Data); err != nil && !errors.Is(err, checkpoint.ErrExists) {
		return failing(err)
	}
	address, err := p.store.(Presigner).Presign(ctx, e.Key, shareLife)
	if err != nil {
		return failing(err)
	}
	return metatrain.Done{ID: e.ID, Key: address}
}

// dropThetas deletes what nobody reads any more. What stays is found by the next plan.
func (p *pass) dropThetas(e metatrain.DropThetas) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), p.cfg.StorePatience)
	defer cancel()
	objects, err := p.store.List(ctx, metatrain.ThetaFolder(e.Run))
	var keys []string
	for _, o := range objects {
		keys = append(keys, o.Key)
	}
	for _, key := range e.Plan(keys) {
		if err == nil {
			err = p.store.Delete(ctx, key)
		}
	}
	if err != nil {
		p.log.Warn("old parameters stay for now", "run", e.Run, "err", err)
	}
}
