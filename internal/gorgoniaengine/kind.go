package gorgoniaengine

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// Name is the engine's name in a spec.
const Name = "gorgonia"

// Maker makes the net of a model of the user's own from its options (JSON) for
// samples of a shape.
type Maker func(options json.RawMessage, s nn.Shape) (Net, error)

// Kind is the engine for a worker: it computes the models of pkg/nn that it can,
// and the graphs given, by the names of their models.
func Kind(graphs map[string]Maker) worker.EngineKind {
	return worker.EngineKind{Learner: func(c learner.Config, model metatrain.Section, network *nn.Model, shape nn.Shape) (learner.Learner[float32], error) {
		if network != nil {
			net, err := Of(network)
			if err != nil {
				return nil, fmt.Errorf("model %s: %w", model.Name, err)
			}
			return NewLearner(c, net, network.Params(), network.Init)
		}
		graph, ok := graphs[model.Name]
		if !ok {
			return nil, fmt.Errorf("model %s: found no graph of that name, expected one of %v", model.Name, slices.Sorted(maps.Keys(graphs)))
		}
		net, err := graph(model.Options, shape)
		if err != nil {
			return nil, fmt.Errorf("model %s: %w", model.Name, err)
		}
		if net.In != shape.Size() || net.Out != shape.Out {
			return nil, fmt.Errorf("model %s: its graph maps %d numbers to %d, the family's samples have %d and %d", model.Name, net.In, net.Out, shape.Size(), shape.Out)
		}
		return try(c, net)
	}}
}

// try makes the learner, and one graph of it: what a Forward gets wrong is refused
// with the spec.
func try(c learner.Config, net Net) (learner.Learner[float32], error) {
	l, err := NewLearner(c, net, nil, nil)
	if err != nil {
		return nil, err
	}
	e, err := New[float32](net, l.inner, 2, 2)
	if err != nil {
		return nil, err
	}
	return l, e.Close()
}

// With adds this engine to kinds that have none of its name.
func With(kinds worker.Kinds) worker.Kinds {
	engines := worker.Engines{Name: Kind(nil)}
	maps.Copy(engines, kinds.Engines)
	kinds.Engines = engines
	return kinds
}
