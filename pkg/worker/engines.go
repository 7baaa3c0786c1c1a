package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// errUnable: this worker can do none of the run's work; others may.
var errUnable = errors.New("not for this worker")

// keepEngines is how many runs a worker keeps ready.
const keepEngines = 4

// keepUnable bounds what is remembered of runs that are not for this worker.
const keepUnable = 256

// engines holds the engines of the runs at hand.
type engines struct {
	client *client.Client
	kinds  Kinds
	ahead  *ahead

	memory Bytes // of one piece of work; 0: no limit

	mu    sync.Mutex
	ready map[string]*engine // by spec digest
	order []string           // oldest first
	// unable says of specs why they are not for this worker, so that a second lease of one costs no fetching of its data.
	unable map[string]error
}

func newEngines(c *client.Client, kinds Kinds) *engines {
	return &engines{client: c, kinds: kinds, ahead: newAhead(), ready: map[string]*engine{}, unable: map[string]error{}}
}

// within limits the memory of a run.
func (es *engines) within(memory Bytes) *engines {
	es.memory = memory
	return es
}

// skills are what this worker knows by name: a run of another program's own family is not for it.
func (es *engines) skills() metatrain.Skills {
	return metatrain.Skills{
		Families: slices.Sorted(maps.Keys(es.kinds.Families)), Models: slices.Sorted(maps.Keys(es.kinds.Models)), Learners: slices.Sorted(maps.Keys(learnerOptions())),
		Engines: es.kinds.Engines.names(),
	}
}

// get returns a run's engine, building it from the run's spec and data on first use.
func (es *engines) get(ctx context.Context, run, digest string) (*engine, error) {
	es.mu.Lock()
	defer es.mu.Unlock()
	if e := es.ready[digest]; e != nil {
		return e, nil
	}
	if err := es.unable[digest]; err != nil {
		return nil, err
	}
	e, err := es.prepare(ctx, run, digest)
	if errors.Is(err, errUnable) {
		if len(es.unable) >= keepUnable {
			clear(es.unable)
		}
		es.unable[digest] = err
	}
	if err != nil {
		return nil, err
	}
	es.ready[digest] = e
	es.order = append(es.order, digest)
	if len(es.order) > keepEngines {
		delete(es.ready, es.order[0])
		es.order = es.order[1:]
	}
	return e, nil
}

// prepare fetches a run's spec and data, and builds its engine.
func (es *engines) prepare(ctx context.Context, run, digest string) (*engine, error) {
	spec, err := es.client.Spec(ctx, run)
	if errors.Is(err, metatrain.ErrSpec) { // of a later release
		return nil, fmt.Errorf("%w: %w", errUnable, err)
	}
	if err != nil {
		return nil, err
	}
	if found := spec.Digest(); found != digest {
		return nil, fmt.Errorf("%w: spec of run %s has digest %.12s, the lease names %.12s: coordinator and worker differ in release", errUnable, run, found, digest)
	}
	var packed []byte
	if spec.Data != "" {
		if packed, err = es.client.Data(ctx, spec.Data); err != nil {
			return nil, err
		}
	}
	e, err := es.build(spec, packed)
	if errors.Is(err, errUnable) {
		return nil, err
	}
	if err != nil {
		return nil, &TaskError{-1, err}
	}
	e.ahead = es.ahead
	return e, nil
}

// build makes an engine, unless it needs more memory than there is. A panic of a family's is an error like any other: the process outlives it.
func (es *engines) build(spec metatrain.RunSpec, packed []byte) (e *engine, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	var data *taskshards.DataSet
	if packed != nil {
		if data, err = taskshards.Unpack(packed); err != nil {
			return nil, err
		}
	}
	if e, err = planEngine(spec, es.kinds, data); err != nil {
		return nil, err
	}
	if err := e.checkMemory(len(packed), es.memory); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnable, err)
	}
	return e, e.equip(es.kinds)
}
