// Command graph is warmstart with a model of its own, written as a gorgonia graph: a gated hidden layer, (x A + a) *
// sigmoid(x B + b), which pkg/nn has not. The same program trains on the embedded stack, submits to a cluster, and is a
// worker of one:
//
//	go run ./examples/graph train examples/graph/gated.yaml
//	go run ./examples/graph worker --nats nats://HOST:4222
package main

import (
	"encoding/json"
	"fmt"

	"github.com/warmstart-ml/warmstart/pkg/graph"
	"github.com/warmstart-ml/warmstart/pkg/nn"
	"github.com/warmstart-ml/warmstart/pkg/warmstart"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// options are the keys under `model:`.
type options struct {
	Units int `json:"units" default:"40" min:"1" max:"4096" unit:"units" why:"width of the gated layer"`
}

// gated makes the net. Each operation writes its own gradient into the graph, so that the meta-gradient through the
// inner steps is exact.
func gated(raw json.RawMessage, s nn.Shape) (graph.Net, error) {
	var o options
	if err := json.Unmarshal(raw, &o); err != nil {
		return graph.Net{}, fmt.Errorf("options: %w", err)
	}
	in, hidden, out := s.Size(), o.Units, s.Out
	return graph.Net{
		In: in, Out: out,
		Tensors: []graph.Tensor{
			{Name: "value.w", Rows: in, Cols: hidden, Fan: in}, {Name: "value.b", Rows: 1, Cols: hidden, Fan: in},
			{Name: "gate.w", Rows: in, Cols: hidden, Fan: in}, {Name: "gate.b", Rows: 1, Cols: hidden, Fan: in},
			{Name: "head.w", Rows: hidden, Cols: out, Fan: hidden}, {Name: "head.b", Rows: 1, Cols: out},
		},
		Forward: func(g *graph.Graph, p []*graph.Value, x *graph.Value) *graph.Value {
			linear := func(x, w, b *graph.Value) *graph.Value {
				return g.Add(g.MatMul(x, w), g.Spread(b, x.Rows))
			}
			hidden := g.Times(linear(x, p[0], p[1]), g.Sigmoid(linear(x, p[2], p[3])))
			return linear(hidden, p[4], p[5])
		},
	}, nil
}

func main() {
	kinds := worker.BuiltinKinds()
	kinds.Models["gated"] = worker.ModelKind{Options: func() any { return new(options) }, Engine: graph.Engine}
	kinds.Engines[graph.Engine] = graph.Kind(map[string]graph.Maker{"gated": gated})
	warmstart.Main(kinds)
}
