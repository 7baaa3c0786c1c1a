package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/warmstart-ml/warmstart/internal/s3store"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// openStore reads the cluster's store around the gate.
func (f *fleet) openStore(ctx context.Context) (checkpoint.Store, error) {
	return s3store.Open(ctx, s3store.Config{Endpoint: f.s3.URL, Bucket: bucket, AccessKey: f.s3.AccessKey, SecretKey: f.s3.SecretKey, Region: f.s3.Region})
}

// verifyStore reads every object there is: each must be whole, and none there that the plan of retention, keeping so
// many, would not keep. It returns how many there are.
func verifyStore(ctx context.Context, store checkpoint.Store, keep int) (int, error) {
	objects, err := store.List(ctx, "")
	if err != nil {
		return 0, err
	}
	var errs []error
	checkpoints := map[string][]checkpoint.Object{}
	for _, o := range objects {
		if run, _, _, err := checkpoint.ParseCheckpointKey(o.Key); err == nil {
			checkpoints[run] = append(checkpoints[run], o)
		}
		errs = append(errs, verifyObject(ctx, store, o.Key))
	}
	for run, list := range checkpoints {
		old, err := checkpoint.PlanRetention(list, keep)
		if len(old) > 0 {
			err = fmt.Errorf("run %s: found %d checkpoints, expected at most %d: %v", run, len(list), keep, old)
		}
		errs = append(errs, err)
	}
	return len(objects), errors.Join(errs...)
}

// verifyObject reads an object and holds it against its key; what has a place nobody writes to is an error.
func verifyObject(ctx context.Context, store checkpoint.Store, key string) error {
	part := strings.Split(key, "/")
	if part[0] == "models" && len(part) == 4 {
		var n int64
		if _, err := fmt.Sscan(part[2], &n); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		_, err := checkpoint.VerifyVersion(ctx, store, part[1], n)
		return err
	}
	data, err := store.Get(ctx, key)
	if err != nil {
		return err
	}
	if run, _, _, err := checkpoint.ParseCheckpointKey(key); err == nil {
		spec, err := specOf(ctx, store, run)
		if err == nil {
			_, err = checkpoint.DecodeCheckpoint(key, data, metatrain.Contract, spec.Digest())
		}
		return err
	}
	if part[0] == "runs" && part[len(part)-1] == "spec.yaml" {
		_, err := metatrain.DecodeSpec(data)
		return err
	}
	if key == metatrain.ClusterObject {
		return json.Unmarshal(data, &metatrain.ClusterRecord{})
	}
	return fmt.Errorf("%s: found an object of %d bytes that belongs to nothing", key, len(data))
}

func specOf(ctx context.Context, store checkpoint.Store, run string) (metatrain.RunSpec, error) {
	data, err := store.Get(ctx, "runs/"+run+"/spec.yaml")
	if err != nil {
		return metatrain.RunSpec{}, err
	}
	return metatrain.DecodeSpec(data)
}
