package workerd

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/warmstart-ml/warmstart/internal/wiring"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
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
	_, workers, err := c.Runs(ctx, "")
	if err != nil {
		return fmt.Errorf("ask the leader: %w", err)
	}
	return known(workers, host)
}

// known expects a worker of host among those the leader knows: it forgets whom it has not heard for ten beats.
func known(workers []metatrain.WorkerStatus, host string) error {
	for _, w := range workers {
		if w.Host == host {
			return nil
		}
	}
	return fmt.Errorf("the leader hears from %d workers, expected one of host %q among them", len(workers), host)
}
