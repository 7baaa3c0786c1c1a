package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// busPoll is how often the connection to the bus is looked at.
const busPoll = 100 * time.Millisecond

// awaitBus waits until there is a connection: whom nobody hears must not lead. False: ctx ended.
func awaitBus(ctx context.Context, bus Bus) bool {
	for ctx.Err() == nil && bus.Err() != nil {
		pause(ctx, busPoll)
	}
	return ctx.Err() == nil
}

// whileConnected gives a context that ends with ctx, or when there was no connection to the bus for as long as the
// patience: a leader that alone is cut off would hold up the cluster for as long as it reaches etcd, while another
// coordinator could lead.
func whileConnected(ctx context.Context, patience time.Duration, bus Bus, log *slog.Logger) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		ticker := time.NewTicker(busPoll)
		defer ticker.Stop()
		for last := time.Now(); ; {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			err := bus.Err()
			if err == nil {
				last = time.Now()
			} else if time.Since(last) > patience {
				log.Warn("giving way: others may reach the bus", "err", err)
				cancel(fmt.Errorf("no connection to the bus for %v: %w", patience, err))
				return
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}
