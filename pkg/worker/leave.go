package worker

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// errLeft ends the life of a worker that left as it was asked to.
var errLeft = errors.New("left")

// defaultGrace is how long a worker that leaves may take to finish what it began.
const defaultGrace = 20 * time.Second

// leave waits until the worker is asked to go, then sees it out: it hands back what is not begun, and waits until the
// rest is done and taken, or grace is over.
func (w *worker) leave(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-w.cfg.Leave:
	}
	back := w.handBack()
	w.cfg.Log.Info("leaving", "worker", w.cfg.ID, "handed back", back, "to finish", len(w.held()), "grace", w.cfg.Grace)
	w.say(ctx, w.held())
	grace := time.NewTimer(w.cfg.Grace)
	defer grace.Stop()
	for len(w.held()) > 0 {
		select {
		case <-ctx.Done():
			return nil
		case <-grace.C:
			w.cfg.Log.Warn("grace is over: handing back work that was begun", "worker", w.cfg.ID, "leases", len(w.held()))
			return errLeft
		case <-w.settled:
		}
	}
	return errLeft
}

// hold takes a lease in hand, unless the worker leaves.
func (w *worker) hold(j *job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.leaving {
		w.holding[j.lease.ID] = j
	}
	return !w.leaving
}

// goes says that the worker leaves.
func (w *worker) goes() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.leaving
}

// begin marks a job as begun, unless nobody wants it any more.
func (w *worker) begin(j *job) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	j.begun = !j.unwanted()
	return j.begun
}

// handBack lets go of all that is not begun, and of what is still to come.
func (w *worker) handBack() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaving = true
	for id, j := range w.holding {
		if !j.begun {
			delete(w.holding, id)
			j.drop()
			n++
		}
	}
	return n
}

// say tells the leader that this worker goes and what it still holds: all else is free at once. Where that does not
// arrive, silence frees it.
func (w *worker) say(ctx context.Context, held []uint64) {
	ctx, cancel := context.WithTimeout(ctx, farewellPatience)
	defer cancel()
	_, err := w.tell(ctx, metatrain.Beat{Worker: w.cfg.ID, Leases: held, Leaving: true})
	if err != nil && ctx.Err() == nil {
		w.cfg.Log.Debug("say that this worker leaves", "err", err)
	}
}

// overdue fires when a life that is over for good need not wait for its loops any longer: its process ends. One that is
// to begin anew waits for them, however long a single task takes.
func (w *worker) overdue(ctx, life context.Context) <-chan time.Time {
	if ctx.Err() != nil || errors.Is(context.Cause(life), errLeft) {
		return time.After(loopsPatience)
	}
	return nil
}

// loopsPatience is for loops that end at their next look round.
const loopsPatience = time.Second

// farewell ends this life by name, however it ended: what it held goes to others at once.
func (w *worker) farewell(ctx context.Context) { w.say(context.WithoutCancel(ctx), nil) }

// farewellPatience bounds a word that is a courtesy.
const farewellPatience = 300 * time.Millisecond

// release is the build this program is of: of the main module, as people know it.
func release() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}
