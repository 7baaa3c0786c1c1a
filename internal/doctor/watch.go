package doctor

import (
	"context"
	"slices"
	"time"

	"github.com/warmstart-ml/warmstart/internal/natsbus"
	"github.com/warmstart-ml/warmstart/internal/s3store"
)

// Watch tells a coordinator's log, from its start on, what harms its cluster and stops nothing: clocks that are apart and
// whose is off, two clusters on one prefix, a store whose conditional puts race. None of it keeps a coordinator from
// leading: nothing rests on races and clocks, and a message on the bus, which anyone there may forge, must not.
type Watch struct {
	Config
	Bus *natsbus.Bus
	// Every is how often it looks, but for races, which are looked for once. 0 means five minutes.
	Every time.Duration

	raced bool
	told  map[string]telling
}

// telling is what the log was last told of a check.
type telling struct {
	level Level
	at    time.Time
}

// tellAgain is when the log hears again of what has not changed.
const tellAgain = time.Hour

// soon is when it looks for the second time: what starts together is there by then.
const soon = 20 * time.Second

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	if w.Every == 0 {
		w.Every = 5 * time.Minute
	}
	w.told = map[string]telling{}
	for wait := min(w.Every, soon); ; wait = w.Every {
		w.tell(w.look(ctx))
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (w *Watch) look(ctx context.Context) Report {
	e := &examiner{Config: w.Config}
	e.readClocks(ctx)
	if theirs, ours, slop, ok := w.Bus.Clock(ctx); ok {
		e.read("NATS", theirs, ours, slop)
	}
	if len(e.clocks) > 0 { // else the servers' own troubles are told elsewhere
		e.judgeClocks(e.clocks)
	}
	if leaders, err := settled(ctx, w.Bus, w.Common.Prefix); err == nil {
		e.alone(leaders)
	}
	if !w.raced && w.Store.S3 != "" {
		if s, err := e.look(); err == nil {
			e.race(ctx, s)
			w.raced = find(e.Report, "s3 race").Level != Fail // its trouble may pass
		}
	}
	return e.Report
}

// readClocks asks the servers that tell the time without a login.
func (e *examiner) readClocks(ctx context.Context) {
	config := e.Etcd.Config(&e.Common)
	_ = config.Clocks(ctx, func(endpoint string, theirs, ours time.Time, slop time.Duration) {
		e.read("etcd at "+endpoint, theirs, ours, slop)
	})
	if s, err := e.look(); err == nil {
		e.storeClock(ctx, s)
	}
}

func (e *examiner) storeClock(ctx context.Context, s *s3store.Store) {
	if theirs, ours, slop, err := s.Clock(ctx); err == nil {
		e.read("S3 at "+e.Store.S3, theirs, ours, slop)
	}
}

func find(r Report, name string) Check {
	if i := slices.IndexFunc(r.Checks, func(c Check) bool { return c.Name == name }); i >= 0 {
		return r.Checks[i]
	}
	return Check{}
}

// tell logs what is not well: at once, then each hour, and when it is well again.
func (w *Watch) tell(r Report) {
	for _, c := range r.Checks {
		last := w.told[c.Name]
		if c.Level == OK {
			if last.level != "" {
				w.Log.Info("well again", "check", c.Name, "found", c.Found)
				delete(w.told, c.Name)
			}
			continue
		}
		if c.Level == last.level && time.Since(last.at) < tellAgain {
			continue
		}
		w.told[c.Name] = telling{c.Level, time.Now()}
		w.Log.Warn("not well", "check", c.Name, "found", c.Found, "remedy", c.Remedy)
	}
}

// NameClocks tells the log whose clock is off, where one is: for who is refused for it.
func NameClocks(ctx context.Context, c Config) {
	e := &examiner{Config: c}
	e.readClocks(ctx)
	e.judgeClocks(e.clocks)
	w := &Watch{Config: c, told: map[string]telling{}}
	w.tell(e.Report)
}
