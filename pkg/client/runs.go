package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// askPatience ends a request of people that nobody answers (G5): longer than a failover and a store's restart.
const askPatience = 2 * time.Minute

// answer asks, and asks again where the coordinator says that it starts again from its recorded state.
func (c *Client) answer(ctx context.Context, op string, header any, payload []byte) (metatrain.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	for {
		a, _, err := Ask[metatrain.Answer](ctx, c, op, header, payload, 30*time.Second)
		switch {
		case err != nil:
			return a, err
		case a.Error == "":
			return a, nil
		case !a.Retry || !again(ctx, c, op, a.Error):
			return a, errors.New(a.Error)
		}
	}
}

// again pauses before the next try; false: ctx ended.
func again(ctx context.Context, c *Client, op, why string) bool {
	c.log.Warn("asking again", "op", op, "because", why)
	select {
	case <-ctx.Done():
		return false
	case <-time.After(retryPause):
		return true
	}
}

// retryPause lies between two tries that the coordinator asked for.
const retryPause = 250 * time.Millisecond

// Submit starts a run, or finds the one this spec under this name already is.
func (c *Client) Submit(ctx context.Context, spec metatrain.RunSpec, fresh bool) (run metatrain.RunStatus, created bool, err error) {
	a, err := c.answer(ctx, "submit", metatrain.Submit{Fresh: fresh, Token: rand.Text(), User: c.User}, metatrain.EncodeSpec(spec))
	if err != nil {
		return run, false, fmt.Errorf("submit: %w", err)
	}
	if len(a.Runs) != 1 {
		return run, false, fmt.Errorf("submit: answer names %d runs, expected 1", len(a.Runs))
	}
	return a.Runs[0], a.Created, nil
}

// Control cancels, pauses or resumes a run.
func (c *Client) Control(ctx context.Context, run, action string) error {
	_, err := c.answer(ctx, "control", metatrain.Control{Run: run, Action: action}, nil)
	if err != nil {
		return fmt.Errorf("%s run: %w", action, err)
	}
	return nil
}

// Weigh sets a run's share of the workers' time beside other runs: 1 to 1,000.
func (c *Client) Weigh(ctx context.Context, run string, weight int) error {
	if _, err := c.answer(ctx, "control", metatrain.Control{Run: run, Action: "weight", Weight: weight}, nil); err != nil {
		return fmt.Errorf("weigh run: %w", err)
	}
	return nil
}

// Runs lists runs, or shows one, with the workers known.
func (c *Client) Runs(ctx context.Context, run string) ([]metatrain.RunStatus, []metatrain.WorkerStatus, error) {
	a, err := c.answer(ctx, "question", metatrain.Question{Run: run}, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("ask for runs: %w", err)
	}
	return a.Runs, a.Workers, nil
}

// Workers lists the workers known and the processes in quarantine.
func (c *Client) Workers(ctx context.Context) ([]metatrain.WorkerStatus, []metatrain.Quarantined, error) {
	a, err := c.answer(ctx, "question", metatrain.Question{}, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("ask for workers: %w", err)
	}
	return a.Workers, a.Quarantine, nil
}

// Heard lists the workers of a host that the leader knows. It costs the leader little however large the cluster is.
func (c *Client) Heard(ctx context.Context, host string) ([]metatrain.WorkerStatus, error) {
	a, err := c.answer(ctx, "question", metatrain.Question{Host: host}, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for workers of host %q: %w", host, err)
	}
	// An older leader names all it knows.
	return slices.DeleteFunc(a.Workers, func(w metatrain.WorkerStatus) bool { return w.Host != host }), nil
}

// Lift ends the quarantine of a process, named by itself or by the worker that it was found out as.
func (c *Client) Lift(ctx context.Context, name string) error {
	if _, err := c.answer(ctx, "control", metatrain.Control{Action: "lift", Worker: name}, nil); err != nil {
		return fmt.Errorf("lift quarantine: %w", err)
	}
	return nil
}

// Follow hands each status of a run to see until the run is no longer active, and returns the last one. Events may be
// lost; so it also asks now and then.
func (c *Client) Follow(ctx context.Context, run string, see func(metatrain.RunStatus)) (last metatrain.RunStatus, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := c.bus.Follow(ctx, run)
	if err != nil {
		c.log.Debug("no events; asking instead", "err", err)
		events = nil
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case data, ok := <-events:
			if !ok {
				events = nil
				continue
			}
			var s metatrain.RunStatus
			if json.Unmarshal(data, &s) != nil || s.State != metatrain.Active {
				continue // ends are asked for, not believed: a replayed one may be of an earlier life
			}
			last = s
			see(s)
		case <-ticker.C:
			runs, _, err := c.Runs(ctx, run)
			if err != nil {
				if ctx.Err() == nil {
					return last, err
				}
				continue
			}
			if len(runs) != 1 {
				return last, fmt.Errorf("follow run %s: answer names %d runs, expected 1", run, len(runs))
			}
			last = runs[0]
			see(last)
			if last.State != metatrain.Active {
				return last, nil
			}
		}
	}
}
