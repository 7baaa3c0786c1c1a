package coordinator

import (
	"context"
	"slices"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// dropPause lies between two tries to delete old checkpoints.
const dropPause = 5 * time.Second

// duePlan names a plan of retention that waits: at most one for each run of a machine's life.
type duePlan struct {
	pass *pass
	run  string
}

// dropCheckpoints has a plan carried out beside the machine. One that comes while its run's last waits takes its place:
// it is noted before anything runs beside, so that the latest plan is what waits.
func (p *pass) dropCheckpoints(e metatrain.DropCheckpoints) {
	due := duePlan{p, e.Run}
	if _, waits := p.due.Swap(due, e); !waits {
		go p.dropDue(due)
	}
}

// dropDue carries one plan out at a time, again and again until it is done: after a run's last checkpoint no other plan
// follows.
func (p *pass) dropDue(due duePlan) {
	p.drops.Lock()
	defer p.drops.Unlock()
	for plan, ok := p.due.LoadAndDelete(due); ok && p.ctx.Err() == nil; {
		err := p.dropPlanned(plan.(metatrain.DropCheckpoints))
		if err == nil {
			return
		}
		if p.ctx.Err() == nil {
			p.log.Warn("old checkpoints stay for now", "run", due.run, "err", err)
			pause(p.ctx, dropPause)
		}
		if newer, ok := p.due.LoadAndDelete(due); ok {
			plan = newer
		}
	}
}

// dropPlanned deletes what the plan names and nothing else, the oldest first.
func (p *pass) dropPlanned(e metatrain.DropCheckpoints) error {
	p.durable(e.Run, e.Pointer)
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.StorePatience)
	defer cancel()
	objects, err := p.store.List(ctx, checkpoint.CheckpointFolder(e.Run))
	if err != nil {
		return err
	}
	keys, err := e.Plan(objects)
	if err != nil {
		return err
	}
	for _, key := range slices.Backward(keys) {
		if err := p.store.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
