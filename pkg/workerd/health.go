package workerd

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/warmstart-ml/warmstart/internal/wiring"
)

// healthWithin bounds `worker health`: shorter than what a container's health check allows.
const healthWithin = 4 * time.Second

// health is `worker health`: whether the leader hears from a worker on this host.
func health(ctx context.Context, common *wiring.Common, nats *wiring.NATS, host string) error {
	ctx, cancel := context.WithTimeout(ctx, healthWithin)
	defer cancel()
	common.Wait = healthWithin
	log := slog.New(slog.DiscardHandler)
	c, end, err := nats.Client(ctx, common, "health of worker "+host, log)
	if err != nil {
		return err
	}
	defer end()
	workers, err := c.Heard(ctx, host) // the leader forgets whom it has not heard for ten beats
	if err != nil {
		return fmt.Errorf("ask the leader: %w", err)
	}
	if len(workers) == 0 {
		return fmt.Errorf("the leader hears from 0 workers of host %q, expected one or more", host)
	}
	return nil
}
