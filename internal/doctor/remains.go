package doctor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// remains reads a store, one object at a time, and what it passed over. Where the store fails it ends with that error,
// rather than pass over what may be whole.
func remains(ctx context.Context, store checkpoint.Store, log *slog.Logger) (r metatrain.Remains, passed []string, err error) {
	r = metatrain.Remains{Specs: map[string][]byte{}, Checkpoints: map[string][]metatrain.RemainingCheckpoint{}}
	if r.Versions, passed, err = remainingVersions(ctx, store, log); err != nil {
		return r, passed, err
	}
	specs := map[string][]byte{}
	for _, v := range r.Versions {
		specs[v.Manifest.Run] = []byte(v.Manifest.Spec)
	}
	objects, err := store.List(ctx, "runs/")
	if err != nil {
		return r, passed, fmt.Errorf("list runs: %w", err)
	}
	for _, o := range objects {
		if part := strings.Split(o.Key, "/"); len(part) == 3 && o.Key == metatrain.SpecObject(part[1]) {
			data, err := store.Get(ctx, o.Key)
			if err != nil {
				return r, passed, err
			}
			r.Specs[part[1]], specs[part[1]] = data, data
		}
	}
	for _, run := range slices.Sorted(maps.Keys(specs)) {
		spec, err := metatrain.DecodeSpec(specs[run])
		if err != nil {
			continue // the plan says so
		}
		log.Info("reading checkpoints", "run", run)
		found, missed, err := remainingCheckpoints(ctx, store, run, spec.Digest())
		if err != nil {
			return r, passed, err
		}
		r.Checkpoints[run], passed = found, append(passed, missed...)
	}
	return r, passed, nil
}

// remainingCheckpoints reads and verifies those of one run.
func remainingCheckpoints(ctx context.Context, store checkpoint.Store, run, spec string) (all []metatrain.RemainingCheckpoint, passed []string, err error) {
	objects, err := store.List(ctx, checkpoint.CheckpointFolder(run))
	if err != nil {
		return nil, nil, fmt.Errorf("list checkpoints of run %s: %w", run, err)
	}
	for _, o := range objects {
		data, err := store.Get(ctx, o.Key)
		if errors.Is(err, checkpoint.ErrNotFound) { // dropped since it was listed
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read checkpoints of run %s: %w", run, err)
		}
		c, err := checkpoint.DecodeCheckpoint(o.Key, data, metatrain.Contract, spec)
		if err != nil {
			passed = append(passed, err.Error())
			continue
		}
		all = append(all, metatrain.RemainingCheckpoint{Key: o.Key, Rewinds: c.Rewinds, Step: c.Step, Meta: c.Meta})
	}
	return all, passed, nil
}

// remainingVersions reads every manifest and verifies the files it names.
func remainingVersions(ctx context.Context, store checkpoint.Store, log *slog.Logger) (all []metatrain.RemainingVersion, passed []string, err error) {
	models, err := checkpoint.ListModels(ctx, store)
	if err != nil {
		return nil, nil, err
	}
	for _, model := range slices.Sorted(maps.Keys(models)) {
		for _, n := range models[model] {
			log.Info("verifying", "model", model, "version", n)
			data, err := store.Get(ctx, checkpoint.VersionFolder(model, n)+checkpoint.ManifestFile)
			if err != nil {
				return nil, nil, err
			}
			man, err := checkpoint.DecodeManifest(data, model, n)
			if err != nil {
				passed = append(passed, err.Error())
				continue
			}
			_, err = checkpoint.VerifyVersion(ctx, store, model, n)
			if err != nil {
				passed = append(passed, err.Error())
			}
			all = append(all, metatrain.RemainingVersion{Manifest: man, Whole: err == nil})
		}
	}
	return all, passed, nil
}
