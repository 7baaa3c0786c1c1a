package worker

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// lane is the engine that every worker has: pkg/learner on pkg/nn.
const lane = "lane"

// EngineKind is an engine beside lane, which promises no bits: only runs with `bits: any` may choose it.
type EngineKind struct {
	// Learner makes what computes a run. network is the model by the layers of pkg/nn, nil where the model's kind names this
	// engine as the only one that knows it; then model has its name and options. What the engine cannot do is an error: the
	// spec is refused with it.
	Learner func(c learner.Config, model metatrain.Section, network *nn.Model, shape nn.Shape) (learner.Learner[float32], error)
}

// Engines are the engines beside lane that a worker has, by name.
type Engines map[string]EngineKind

// names lists the engines, lane among them.
func (e Engines) names() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(e)), lane)))
}

// checkEngine says why a spec's choice of an engine can't be.
func (k Kinds) checkEngine(spec metatrain.RunSpec) error {
	name := cmp.Or(spec.Engine, lane)
	if _, ok := k.Engines[name]; !ok && name != lane {
		return fmt.Errorf("engine %q is not known to this worker, which has %v", name, k.Engines.names())
	}
	if only := k.Models[spec.Model.Name].Engine; only != "" && only != name {
		return fmt.Errorf("model %s is a graph of engine %s, the spec's engine is %s; set engine: %s and bits: any", spec.Model.Name, only, name, only)
	}
	return nil
}

// learners makes the learners of both tracks, of c and its pooled form, on a network: nil for a model that only an engine knows.
func (k Kinds) learners(spec metatrain.RunSpec, c learner.Config, model *nn.Model, shape taskshards.Shape) (tracks []learner.Learner[float32], err error) {
	engine := cmp.Or(spec.Engine, lane)
	for _, c := range []learner.Config{c, c.Pooled()} {
		var l learner.Learner[float32]
		if engine == lane {
			l, err = learner.New[float32](c, model)
		} else {
			l, err = k.Engines[engine].Learner(c, spec.Model, model, modelShape(shape))
		}
		if err != nil {
			return nil, fmt.Errorf("engine %s: %w", engine, err)
		}
		tracks = append(tracks, l)
	}
	return tracks, nil
}
