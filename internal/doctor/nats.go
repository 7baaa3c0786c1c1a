package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/warmstart-ml/warmstart/internal/natsbus"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// slowTrip is a round trip from which leases and results are visibly held up.
const slowTrip = 50 * time.Millisecond

// nats looks at NATS and, over it, at who leads.
func (e *examiner) nats(ctx context.Context) {
	bus, err := e.NATS.Connect(ctx, &e.Common, fmt.Sprintf("doctor/%d", os.Getpid()), e.Log)
	switch {
	case errors.Is(err, natsbus.ErrCredentials):
		e.ok("nats reach", "a server answers at %s", redacted(e.NATS.URL))
		e.refuse("nats login", err, "check the NATS credentials")
		return
	case errors.Is(err, natsbus.ErrPayload):
		e.ok("nats reach", "a server answers at %s", redacted(e.NATS.URL))
		e.refuse("nats payload", err, "raise its max_payload")
		return
	case err != nil:
		e.refuse("nats reach", err, "check --nats")
		return
	}
	defer bus.Close()
	f := bus.Inspect(ctx)
	e.connection(f)
	e.stream(f)
	e.leads(ctx, bus)
}

func (e *examiner) connection(f natsbus.Facts) {
	if f.RoundTrip > slowTrip {
		e.warn("nats reach", "place NATS nearer: each lease and result takes a round trip", "%s at %s, round trip %v", f.Server, f.Addr, f.RoundTrip.Round(time.Microsecond))
	} else {
		e.ok("nats reach", "%s at %s, round trip %v", f.Server, f.Addr, f.RoundTrip.Round(time.Microsecond))
	}
	if f.Asks {
		e.ok("nats login", "accepted %s", f.Login)
	} else {
		e.warn("nats login", "give NATS users: who reaches it can start and cancel runs", "the server asks for no login")
	}
	const usual = 8 << 20
	if f.MaxPayload > usual {
		e.warn("nats payload", "lower max_payload: large messages hold up all others", "up to %d bytes a message, %d are used", f.MaxPayload, natsbus.MaxMessage)
	} else {
		e.ok("nats payload", "up to %d bytes a message, %d are used", f.MaxPayload, natsbus.MaxMessage)
	}
	if f.EchoErr != nil {
		e.fail("nats round trip", "check that this user may publish and subscribe below "+e.Common.Prefix+".> and _INBOX.>", "%v", f.EchoErr)
	} else {
		e.ok("nats round trip", "%d bytes there and back in %v", natsbus.MaxMessage, f.Echo.Round(time.Microsecond))
	}
}

func (e *examiner) stream(f natsbus.Facts) {
	switch {
	case f.JetStreamErr != nil:
		found, remedy, _ := strings.Cut(f.JetStreamErr.Error(), "; ")
		e.warn("nats jetstream", remedy, "%s: followers see no history of a run, and ask for its status each second", found)
	case !f.Events:
		e.ok("nats jetstream", "is on; the stream of events is made when a coordinator starts")
	default:
		e.ok("nats jetstream", "is on, with the stream of events")
		e.read("NATS", f.Clock, f.ClockAt, f.ClockSlop)
	}
}

// gatherFor is how long all who say that they lead are listened to.
const gatherFor = 500 * time.Millisecond

// leads says who leads, and what it and its workers are.
func (e *examiner) leads(ctx context.Context, bus *natsbus.Bus) {
	leaders, err := settled(ctx, bus, e.Common.Prefix)
	switch {
	case err != nil:
		e.refuse("leader", err, "check the connection to NATS")
		return
	case len(leaders) == 0:
		e.fail("leader", "start a coordinator against the same NATS and --prefix; its log says what it waits for", "no coordinator leads on prefix %q", e.Common.Prefix)
		return
	case !e.alone(leaders):
		return
	}
	e.leader = leaders[0].Leader
	e.fleet(ctx, bus)
}

// settled gives who leads, by their own word; where several do, perhaps for a change of leadership just now, a moment
// later.
func settled(ctx context.Context, bus *natsbus.Bus, prefix string) ([]metatrain.Announce, error) {
	leaders, err := announced(ctx, bus, prefix)
	if len(leaders) > 1 {
		time.Sleep(gatherFor)
		leaders, err = announced(ctx, bus, prefix)
	}
	return leaders, err
}

// alone reports where more than one leads.
func (e *examiner) alone(leaders []metatrain.Announce) bool {
	switch len(leaders) {
	case 0:
		return true
	case 1:
		e.ok("leader", "%s, term %s", leaders[0].Leader, leaders[0].Term)
		return true
	}
	var who []string
	for _, a := range leaders {
		by := fmt.Sprintf("%s (term %s)", a.Leader, a.Term)
		if a.Cluster != "" {
			by = fmt.Sprintf("%s (term %s, cluster %s)", a.Leader, a.Term, a.Cluster)
		}
		who = append(who, by)
	}
	e.fail("leader", "give one of the clusters another --prefix, or stop the one whose etcd is not to be used",
		"%d coordinators lead on prefix %q: %s: two clusters share it", len(leaders), e.Common.Prefix, strings.Join(who, ", "))
	return false
}

// announced gives all who say at once that they lead, by term.
func announced(ctx context.Context, bus *natsbus.Bus, prefix string) ([]metatrain.Announce, error) {
	answers, err := bus.Gather(ctx, metatrain.Subject(prefix, "find"), gatherFor)
	var all []metatrain.Announce
	seen := map[metatrain.Announce]bool{}
	for _, data := range answers {
		var a metatrain.Announce
		if _, err := metatrain.DecodeFrame(data, &a); err == nil && !seen[a] {
			seen[a] = true
			all = append(all, a)
		}
	}
	return all, err
}

// fleet asks the leader for its runs and workers.
func (e *examiner) fleet(ctx context.Context, bus *natsbus.Bus) {
	ctx, cancel := context.WithTimeout(ctx, max(e.Common.Wait, time.Second))
	defer cancel()
	c, err := client.New(bus, e.Common.Prefix, e.Log)
	if err != nil {
		e.refuse("coordinator", err, "check the connection to NATS")
		return
	}
	defer c.Close()
	runs, workers, err := c.Runs(ctx, "")
	if err != nil {
		e.fail("coordinator", "see its log", "%v", err)
		return
	}
	e.waiting(runs)
	e.workers(workers)
}

// waiting reports runs that are at work and wait for a worker.
func (e *examiner) waiting(runs []metatrain.RunStatus) {
	active, starved := 0, []string{}
	for _, r := range runs {
		if r.State != metatrain.Active {
			continue
		}
		active++
		if r.Workers == 0 {
			starved = append(starved, r.Run)
		}
	}
	if len(starved) > 0 {
		e.warn("runs", "start workers that can do them; `warmstart runs show RUN` says what is lacking", "%d of %d active runs have no worker: %s", len(starved), active, strings.Join(starved, ", "))
		return
	}
	e.ok("runs", "%d known, %d active", len(runs), active)
}

// silentFor is how long a worker may be silent before that is worth a word.
const silentFor = 10 * time.Second

func (e *examiner) workers(workers []metatrain.WorkerStatus) {
	var silent []string
	for _, w := range workers {
		if d := time.Duration(w.SilentMS) * time.Millisecond; d > silentFor {
			silent = append(silent, fmt.Sprintf("%s since %v", w.ID, d.Round(time.Second)))
		}
	}
	switch {
	case len(workers) == 0:
		e.warn("workers", "start `worker --nats ...` where there is CPU to spare", "no worker is known")
	case len(silent) > 0:
		e.warn("workers", "see their logs", "%d known, silent: %s", len(workers), strings.Join(silent, ", "))
	default:
		e.ok("workers", "%d known", len(workers))
	}
}
