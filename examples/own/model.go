package main

import (
	"encoding/json"
	"fmt"

	"github.com/warmstart-ml/warmstart/pkg/nn"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// BottleneckOptions are the keys under `model:` of bottleneck.
type BottleneckOptions struct {
	Width  int `json:"width" default:"40" min:"1" max:"4096" unit:"units" why:"of the wide layers"`
	Narrow int `json:"narrow" default:"8" min:"1" max:"4096" unit:"units" why:"of the layer between them"`
}

// bottleneck is a model made of warmstart's layers: wide, narrow, wide, the last two around a residual sum.
func bottleneck() worker.ModelKind {
	return worker.ModelKind{
		Options: func() any { return new(BottleneckOptions) },
		Network: func(options json.RawMessage, s nn.Shape) (nn.Config, error) {
			var o BottleneckOptions
			if err := json.Unmarshal(options, &o); err != nil {
				return nn.Config{}, fmt.Errorf("options: %w", err)
			}
			if o.Narrow > o.Width {
				return nn.Config{}, fmt.Errorf("narrow: found %d, expected at most width, %d", o.Narrow, o.Width)
			}
			dense := func(units int) nn.LayerSpec { return nn.LayerSpec{Kind: "dense", Units: units} }
			relu := nn.LayerSpec{Kind: "relu"}
			return nn.Config{Name: "layers", Layers: []nn.LayerSpec{
				dense(o.Width), relu,
				{Kind: "residual", Layers: []nn.LayerSpec{dense(o.Narrow), relu, dense(o.Width)}}, relu,
			}}, nil
		},
	}
}
