package worker

import (
	"maps"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
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

// modelOptions makes the options of each model there is.
func modelOptions() map[string]any {
	return map[string]any{"mlp": new(MLPOptions), "conv4": new(Conv4Options), "tcn": new(TCNOptions), "gru": new(GRUOptions), "layers": new(LayersOptions)}
}

func modelNames() []string { return slices.Sorted(maps.Keys(modelOptions())) }

func (f Families) modelSection(doc *strictyaml.Doc, s strictyaml.Section) (metatrain.Section, error) {
	options, ok := modelOptions()[s.Name]
	if !ok {
		return metatrain.Section{}, unknown(doc, "model", s.Name, modelNames())
	}
	if err := doc.DecodeSection(s, options); err != nil {
		return metatrain.Section{}, err
	}
	return section(s.Name, options)
}
