package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/warmstart-ml/warmstart/internal/backends"
	"github.com/warmstart-ml/warmstart/internal/wiring"
)

// healthWithin bounds `coordinator health`: shorter than what a container's health check allows.
const healthWithin = 4 * time.Second

// health is `coordinator health`: whether a coordinator with these flags can do its part, leading or standing by. NATS and
// etcd answer with its credentials, and somebody leads and answers. It writes nothing; the store, whose loss training
// outlives, has a health of its own.
func health(ctx context.Context, common *wiring.Common, nats *wiring.NATS, etcd *backends.Etcd) error {
	ctx, cancel := context.WithTimeout(ctx, healthWithin)
	defer cancel()
	common.Wait = healthWithin
	log := slog.New(slog.DiscardHandler)
	state, err := etcd.Connect(ctx, common, log)
	if err != nil {
		return err
	}
	defer state.Close()
	c, end, err := nats.Client(ctx, common, "health of coordinator", log)
	if err != nil {
		return err
	}
	defer end()
	host, _ := os.Hostname() // of whose workers there may be none: that there is an answer is enough
	if _, err := c.Heard(ctx, host); err != nil {
		return fmt.Errorf("ask the leader: %w", err)
	}
	return nil
}
