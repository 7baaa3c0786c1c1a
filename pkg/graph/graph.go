// Package graph is the door to engine gorgonia for programs of other modules: a model of their own, written as a graph,
// meta-trains through workers that know it. examples/graph is such a program.
//
//	kinds := worker.BuiltinKinds()
//	kinds.Models["gated"] = worker.ModelKind{Options: ..., Engine: graph.Engine}
//	kinds.Engines[graph.Engine] = graph.Kind(map[string]graph.Maker{"gated": gated})
//	warmstart.Main(kinds)
//
// The second order is exact; bits are the engine's own, so that such runs say bits: any.
package graph

import (
	"github.com/warmstart-ml/warmstart/internal/gorgoniaengine"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// Engine is the engine's name in specs.
const Engine = gorgoniaengine.Name

type (
	// Net is a model: its tensors, and the graph of its outputs.
	Net = gorgoniaengine.Net
	// Tensor names a part of a net's parameters and says how it starts.
	Tensor = gorgoniaengine.Tensor
	// Graph makes the operations, each with a gradient of its own.
	Graph = gorgoniaengine.Graph
	// Value is a matrix in a graph, [rows][cols].
	Value = gorgoniaengine.Value
	// Maker makes the net of a model's options (JSON of the keys under `model:`) for samples of a shape.
	Maker = gorgoniaengine.Maker
)

// Kind is the engine with these models beside those of pkg/nn that it can do.
func Kind(models map[string]Maker) worker.EngineKind { return gorgoniaengine.Kind(models) }
