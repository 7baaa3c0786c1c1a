package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/client"
)

// RunSlots runs several workers side by side in one process, each with a life of its own: one whose work failed begins
// another, which remembers nothing. Each life has an id of its own, which begins with cfg.ID or the host's name. It
// returns nil when ctx ends or all have left, else the first error that a new life does not mend.
func RunSlots(ctx context.Context, cfg Config, slots int, c *client.Client, kinds Kinds) error {
	cfg.Slots = slots
	together, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for range slots {
		all.Go(func() {
			if err := lives(together, cfg, c, kinds); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(together)
}

// lives runs one worker life after another. One after a long life begins soon, after short ones ever later.
func lives(ctx context.Context, cfg Config, c *client.Client, kinds Kinds) error {
	name, rest := cfg.ID, time.Duration(0)
	for ctx.Err() == nil && !cfg.leaves() {
		began := time.Now()
		cfg.ID = ""
		if name != "" {
			cfg.ID = newID(name)
		}
		if err := Run(ctx, cfg, c, kinds); !errors.Is(err, ErrRestart) {
			return err
		}
		rest = nextRest(rest, time.Since(began))
		select {
		case <-ctx.Done():
		case <-cfg.Leave:
		case <-time.After(rest):
		}
	}
	return nil
}

// leaves says that the worker is asked to go.
func (c Config) leaves() bool {
	select {
	case <-c.Leave:
		return true
	default:
		return false
	}
}

// Rests between the lives of a worker.
const (
	firstRest, lastRest = 200 * time.Millisecond, 5 * time.Second
	longLife            = 10 * time.Second
)

// nextRest is the rest after a life, given the one before it, 0 where that was the first.
func nextRest(last, lived time.Duration) time.Duration {
	if last == 0 || lived > longLife {
		return firstRest
	}
	return min(2*last, lastRest)
}
