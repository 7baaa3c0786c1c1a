package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/warmstart-ml/warmstart/internal/testservers"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

const (
	// firstAt and lastAt are the shares of the run at which the first and the last fault are due; the others spread
	// evenly between, so that the faults last as long as the run.
	firstAt, lastAt = 0.02, 0.92
	// impatience is how long after the last fault the next comes even though the run has not got that far.
	impatience = 20 * time.Second
	// stuckAfter fails a run that folded no step for so long though nothing disturbs it any more (G5).
	stuckAfter = 90 * time.Second
	// restoreWithin bounds the restoring of what a fault took away.
	restoreWithin = 2 * time.Minute
)

// injector disturbs the cluster by plan while a run of so many steps, over all tracks, trains.
type injector struct {
	*fleet
	watch *observer
	steps int64

	healing sync.WaitGroup
	mu      sync.Mutex
	active  int
	calm    time.Time // since when nothing is disturbed
}

// inject carries out the plan and returns, when all is restored, the steps folded at the first and the last fault.
func (in *injector) inject(ctx context.Context, plan []fault) (first, last int64, err error) {
	defer in.healing.Wait()
	n := len(plan)
	for i := range n {
		share := firstAt + (lastAt-firstAt)*float64(i)/float64(max(1, n-1))
		if err := in.await(ctx, int64(share*float64(in.steps)), i > 0); err != nil {
			return first, last, err
		}
		var f fault
		var victims []*member
		if f, victims, plan, err = in.claim(ctx, plan); err != nil {
			return first, last, err
		}
		if last = in.watch.step(); i == 0 {
			first = last
		}
		if s := in.watch.status(); s.State != metatrain.Active {
			return first, last, fmt.Errorf("the run is %s (%s) before fault %d of %d", s.State, s.Reason, i+1, n)
		}
		in.log.say("fault %d of %d: %v", i+1, n, f)
		if err := in.apply(ctx, f, victims); err != nil {
			return first, last, err
		}
	}
	in.healing.Wait()
	return first, last, context.Cause(ctx)
}

// await waits until the run is at a step, or for as long as the next fault waits for it.
func (in *injector) await(ctx context.Context, step int64, hurry bool) error {
	for began := time.Now(); in.watch.step() < step && !(hurry && time.Since(began) > impatience); {
		if !pause(ctx, 50*time.Millisecond) {
			return context.Cause(ctx)
		}
		if err := in.stuck(); err != nil {
			return err
		}
	}
	return nil
}

// stuck is an error where the run folds nothing though it could.
func (in *injector) stuck() error {
	in.mu.Lock()
	calm := in.active == 0 && time.Since(in.calm) > stuckAfter
	in.mu.Unlock()
	if s := in.watch.status(); calm && in.watch.rests() > stuckAfter && s.Phase == "train" {
		return fmt.Errorf("no step folded for %.0f s, and nothing is disturbed: %s; it waits for %v", in.watch.rests().Seconds(), s.Note, s.Waits)
	}
	return nil
}

// claim takes the first fault of the plan at whose victims no other is at work, waiting for one if need be.
func (in *injector) claim(ctx context.Context, plan []fault) (f fault, victims []*member, rest []fault, err error) {
	for {
		for i, f := range plan {
			if victims := in.free(f); victims != nil {
				return f, victims, slices.Delete(plan, i, i+1), nil
			}
		}
		if !pause(ctx, 20*time.Millisecond) {
			return f, nil, nil, context.Cause(ctx)
		}
	}
}

// free takes the victims of a fault, nil where another is at work on any of them.
func (in *injector) free(f fault) (victims []*member) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, name := range f.victims {
		m := in.members[name]
		if m.busy {
			return nil
		}
		victims = append(victims, m)
	}
	for _, m := range victims {
		m.busy = true
	}
	in.active++
	return victims
}

// apply begins a fault and sees to its end.
func (in *injector) apply(ctx context.Context, f fault, victims []*member) error {
	var restores []func(context.Context) error
	for _, m := range victims {
		restore, err := in.disturb(f, m)
		if err != nil {
			return err
		}
		restores = append(restores, restore)
	}
	in.healing.Go(func() {
		pause(ctx, f.lasts)
		within, cancel := context.WithTimeout(ctx, restoreWithin)
		defer cancel()
		for _, restore := range restores {
			if err := restore(within); err != nil && ctx.Err() == nil {
				in.fail(fmt.Errorf("end of %v: %w", f, err))
			}
		}
		in.release(victims)
	})
	return nil
}

func (in *injector) release(victims []*member) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, m := range victims {
		m.busy = false
	}
	in.active--
	in.calm = time.Now()
}

// disturb does to one process what a fault says, and returns what undoes it.
func (in *injector) disturb(f fault, m *member) (restore func(context.Context) error, err error) {
	launch := func(context.Context) error { return in.launch(m) }
	switch f.way {
	case kill:
		in.fell(m)
		return launch, nil
	case wipe:
		in.fell(m)
		return func(ctx context.Context) error {
			if err := in.wipe(ctx, m.Name); err != nil {
				return err
			}
			return in.launch(m)
		}, nil
	case suspend:
		if err := m.Pause(); err != nil {
			in.log.say("%v", err) // it has just ended by itself, and is started again
			return func(context.Context) error { return nil }, nil
		}
		return func(context.Context) error { return m.Resume() }, nil
	}
	return in.part(f, m), nil
}

// part cuts a process off.
func (in *injector) part(f fault, m *member) (restore func(context.Context) error) {
	cuts := []testservers.Cut{{A: m.Process, Silent: f.way == silence}}
	if len(f.from) > 0 {
		cuts = nil
	}
	for _, name := range f.from {
		cuts = append(cuts, testservers.Cut{A: m.Process, B: in.members[name].Process, Silent: f.way == silence})
	}
	var mends []func()
	for _, c := range cuts {
		mends = append(mends, in.net.Cut(c))
	}
	return func(context.Context) error {
		for _, mend := range mends {
			mend()
		}
		return nil
	}
}

// wipe deletes what an ended server has stored.
func (f *fleet) wipe(ctx context.Context, name string) error {
	for i := range nodes {
		switch name {
		case f.nats[i].Name:
			return f.nats[i].Wipe()
		case f.etcd[i].Name:
			return f.etcd[i].Wipe(ctx)
		}
	}
	return fmt.Errorf("wipe %s: found no store of its own", name)
}
