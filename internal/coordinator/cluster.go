package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// bindCluster holds that etcd and the store are one cluster's, and records it where that is not done yet.
func bindCluster(ctx context.Context, cfg Config, l Leadership, truth []metatrain.KV, store checkpoint.Store) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, epochPatience)
	defer cancel()
	stored, err := clusterObject(ctx, store)
	if err != nil {
		return "", err
	}
	b, err := metatrain.BindCluster(truth, stored, metatrain.ClusterRecord{ID: cfg.NewCluster(), Created: time.Now().Unix()})
	if err != nil {
		return "", err
	}
	if b.Etcd {
		txn := metatrain.Txn{Expect: []metatrain.Expect{{Key: metatrain.ClusterKey}}, Puts: []metatrain.Put{{Key: metatrain.ClusterKey, Value: b.Value}}}
		if _, err := l.Commit(ctx, txn); err != nil {
			return "", fmt.Errorf("record cluster %s in etcd: %w", b.ID, err)
		}
	}
	if b.Store {
		return b.ID, claim(ctx, store, b)
	}
	return b.ID, nil
}

// claim records the cluster in the store, and reads it back: where conditional puts race, two clusters may both have
// been told that they came first.
func claim(ctx context.Context, store checkpoint.Store, b metatrain.Binding) error {
	if err := store.Put(ctx, metatrain.ClusterObject, b.Value); err != nil {
		return fmt.Errorf("record cluster %s in the store: %w", b.ID, err)
	}
	stored, err := clusterObject(ctx, store)
	if err == nil && !bytes.Equal(stored, b.Value) {
		err = fmt.Errorf("record cluster %s in the store: found %s, by another cluster just now", b.ID, stored)
	}
	return err
}

// clusterObject is nil where the store has none.
func clusterObject(ctx context.Context, store checkpoint.Store) ([]byte, error) {
	stored, err := store.Get(ctx, metatrain.ClusterObject)
	if errors.Is(err, checkpoint.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the cluster's id from the store: %w", err)
	}
	return stored, nil
}
