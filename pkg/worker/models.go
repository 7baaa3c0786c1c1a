package worker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
	"github.com/warmstart-ml/warmstart/pkg/strictyaml"
)

// MLPOptions are the keys under `model:` for a multi-layer perceptron.
type MLPOptions struct {
	Hidden     []int  `json:"hidden" default:"[64, 64]" min:"1" max:"65536" unit:"units" why:"widths of the hidden layers"`
	Activation string `json:"activation" default:"relu" enum:"relu|tanh|sigmoid|gelu" why:"relu is faster; tanh is smooth and bounded, which suits small regressions"`
	Skip       bool   `json:"skip" default:"true" why:"a linear map from input to output beside the hidden layers: what is linear need not be learned by them"`
	Norm       string `json:"norm,omitempty" enum:"none|batch|layer" why:"normalisation before each activation: batch by the samples at hand (as the MAML paper has it for images), layer within a sample; left out = none"`
	Statistics string `json:"statistics,omitempty" enum:"batch|stored" why:"norm: batch only: normalise by the batch's own mean and variance, or by those kept with the parameters; left out = batch"`
	PerStep    bool   `json:"per_step,omitempty" why:"norm: batch only: parameters, and stored statistics, of their own for every number of inner steps, as in MAML++"`
	Init       string `json:"init,omitempty" enum:"he|glorot|normal" why:"how weights start, with biases of 0: he suits relu, glorot tanh, normal is the MAML paper's (deviation 0.01); left out = uniform in 1/sqrt(inputs), biases too"`
}

// Conv4Options are the keys under `model:` for four convolutions (Vinyals et al. 2016, as in the MAML paper).
type Conv4Options struct {
	Filters    int    `json:"filters" default:"64" min:"1" max:"65536" unit:"channels" why:"width of each convolution; time and memory go with its square"`
	Pool       string `json:"pool" default:"stride" enum:"stride|max" why:"how each halves height and width: by every second position, or by a maximum over 2x2 at four times the work"`
	Norm       string `json:"norm" default:"batch" enum:"none|batch|layer" why:"normalisation before each activation; batch uses the samples at hand, the query's among themselves"`
	Activation string `json:"activation" default:"relu" enum:"relu|tanh|sigmoid|gelu" why:"relu is faster"`
	Skip       bool   `json:"skip,omitempty" default:"false" why:"a linear map from the whole input to the output beside the convolutions"`
	Statistics string `json:"statistics,omitempty" enum:"batch|stored" why:"norm: batch only: normalise by the batch's own mean and variance, or by those kept with the parameters; left out = batch"`
	PerStep    bool   `json:"per_step,omitempty" why:"norm: batch only: parameters, and stored statistics, of their own for every number of inner steps, as in MAML++"`
	Init       string `json:"init,omitempty" enum:"he|glorot|normal" why:"how weights start, with biases of 0; left out = uniform in 1/sqrt(inputs), biases too"`
}

// TCNOptions are the keys under `model:` for residual blocks of causal dilated convolutions over time.
type TCNOptions struct {
	Channels   int    `json:"channels" default:"16" min:"1" max:"65536" unit:"channels" why:"width of each convolution"`
	Kernel     int    `json:"kernel" default:"3" min:"1" max:"65536" unit:"times" why:"times that a convolution reads"`
	Levels     int    `json:"levels" default:"3" min:"1" max:"16" unit:"blocks" why:"blocks, the dilation doubling from one to the next: the last time sees 1 + 2 (kernel-1) (2^levels - 1) times"`
	Activation string `json:"activation" default:"relu" enum:"relu|tanh|sigmoid|gelu" why:"relu is faster; tanh is bounded, which ridge on its features prefers"`
	Norm       string `json:"norm,omitempty" enum:"none|batch|layer" why:"normalisation before each activation; left out = none"`
	Skip       bool   `json:"skip" default:"true" why:"a linear map from the whole input to the output beside the blocks: what is linear need not be learned by them"`
	Statistics string `json:"statistics,omitempty" enum:"batch|stored" why:"norm: batch only: normalise by the batch's own mean and variance, or by those kept with the parameters; left out = batch"`
	PerStep    bool   `json:"per_step,omitempty" why:"norm: batch only: parameters, and stored statistics, of their own for every number of inner steps, as in MAML++"`
	Init       string `json:"init,omitempty" enum:"he|glorot|normal" why:"how weights start, with biases of 0; left out = uniform in 1/sqrt(inputs), biases too"`
}

// GRUOptions are the keys under `model:` for a gated recurrent unit over time.
type GRUOptions struct {
	Units int    `json:"units" default:"32" min:"1" max:"65536" unit:"units" why:"width of its state; time goes with its square"`
	Skip  bool   `json:"skip" default:"true" why:"a linear map from the whole input to the output beside the unit: what is linear need not be learned by it"`
	Init  string `json:"init,omitempty" enum:"he|glorot|normal" why:"how weights start, with biases of 0; left out = uniform in 1/sqrt(units), biases too"`
}

// LayersOptions are the keys under `model:` for a list of layers; a dense layer to the outputs follows by itself.
type LayersOptions struct {
	Layers []LayerOptions `json:"layers" why:"from input on; sizes that do not fit are refused with the layer and both shapes"`
	Skip   bool           `json:"skip,omitempty" default:"false" why:"a linear map from the whole input to the output beside the layers"`
	Init   string         `json:"init,omitempty" enum:"he|glorot|normal" why:"how weights start, with biases of 0; left out = uniform in 1/sqrt(inputs), biases too"`
}

// LayerOptions are the keys of one layer. Those a kind does not use are refused.
type LayerOptions struct {
	Kind       string         `json:"kind" enum:"dense|conv1d|conv2d|maxpool|avgpool|flatten|last|residual|gru|batchnorm|layernorm|relu|tanh|sigmoid|gelu" why:"what it computes"`
	Units      int            `json:"units,omitempty" min:"1" max:"65536" unit:"units" why:"dense, gru: width"`
	Filters    int            `json:"filters,omitempty" min:"1" max:"65536" unit:"channels" why:"conv1d, conv2d: channels it makes"`
	Kernel     []int          `json:"kernel,omitempty" min:"1" max:"65536" unit:"positions" why:"conv, pool: positions it reads along each axis; one number stands for both"`
	Stride     []int          `json:"stride,omitempty" min:"1" max:"65536" unit:"positions" why:"conv, pool: from one window to the next; left out = 1, for a pool its kernel"`
	Padding    []int          `json:"padding,omitempty" min:"0" max:"65536" unit:"positions" why:"conv, pool: widens the input on either side; skipped, not read as zeros"`
	Dilation   []int          `json:"dilation,omitempty" min:"1" max:"65536" unit:"positions" why:"conv: from one position it reads to the next; left out = 1"`
	Causal     bool           `json:"causal,omitempty" why:"conv1d: reads its own time and earlier ones only"`
	Global     bool           `json:"global,omitempty" why:"pool: one window over all positions, which ends in plain features"`
	Statistics string         `json:"statistics,omitempty" enum:"batch|stored" why:"batchnorm: normalise by the batch's own mean and variance, or by those kept with the parameters; left out = batch"`
	PerStep    bool           `json:"per_step,omitempty" why:"batchnorm: parameters, and stored statistics, of their own for every number of inner steps, as in MAML++"`
	Eps        float64        `json:"eps,omitempty" min:"0" max:"1" why:"norms: added to a variance before its root is taken; left out = 0.001 in batchnorm, 0.00001 in layernorm"`
	Layers     []LayerOptions `json:"layers,omitempty" why:"residual: the layers that are added to what came in"`
}

// ModelKind is how a model is described, configured and built.
type ModelKind struct {
	// Options returns a new struct with the tags of pkg/strictyaml: the keys under `model:`.
	Options func() any
	// Network says what the options (JSON of what Options returned) mean for samples of a shape. The spec and the published
	// model record it, so that whoever reads them later needs no more than the layers of pkg/nn. nil: the name is a model
	// of pkg/nn and the options are fields of nn.Config.
	Network func(options json.RawMessage, s nn.Shape) (nn.Config, error)
	// Engine names the only engine that knows the model, which is then no network of pkg/nn: a graph of the user's own.
	Engine string
}

// Models are the kinds of models a worker knows, by name.
type Models map[string]ModelKind

// BuiltinModels are the models warmstart brings.
func BuiltinModels() Models {
	return Models{
		"mlp":    {Options: func() any { return new(MLPOptions) }},
		"conv4":  {Options: func() any { return new(Conv4Options) }},
		"tcn":    {Options: func() any { return new(TCNOptions) }},
		"gru":    {Options: func() any { return new(GRUOptions) }},
		"layers": {Options: func() any { return new(LayersOptions) }},
	}
}

// modelSection reads the model of a spec.
func (k Kinds) modelSection(doc *strictyaml.Doc, s strictyaml.Section) (metatrain.Section, error) {
	kind, ok := k.Models[s.Name]
	if !ok {
		return metatrain.Section{}, unknown(doc, "model", s.Name, slices.Sorted(maps.Keys(k.Models)))
	}
	options := kind.Options()
	if err := doc.DecodeSection(s, options); err != nil {
		return metatrain.Section{}, err
	}
	return section(s.Name, options)
}

// network is what a spec records of its model: nothing for one of pkg/nn. What is recorded already must be it.
func (k Kinds) network(spec metatrain.RunSpec, s nn.Shape) (json.RawMessage, error) {
	kind, ok := k.Models[spec.Model.Name]
	if !ok {
		return nil, fmt.Errorf("model %q is not known to this worker, which knows %v", spec.Model.Name, slices.Sorted(maps.Keys(k.Models)))
	}
	var found json.RawMessage
	if kind.Network != nil {
		c, err := kind.Network(spec.Model.Options, s)
		if err != nil {
			return nil, fmt.Errorf("model %s: %w", spec.Model.Name, err)
		}
		if found, err = json.Marshal(c); err != nil {
			return nil, fmt.Errorf("model %s: %w", spec.Model.Name, err)
		}
	}
	if len(spec.Network) > 0 && !bytes.Equal(spec.Network, found) {
		return nil, fmt.Errorf("model %s is %s here, the spec says %s: this worker's is of another release", spec.Model.Name, found, spec.Network)
	}
	return found, nil
}
