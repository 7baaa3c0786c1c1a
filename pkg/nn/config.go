package nn

import (
	"encoding/json"
	"fmt"
)

// Config names a model. The zero value is not valid: Name is needed. A field that
// the model does not use must be zero.
type Config struct {
	// Name is the kind of model:
	//
	//	mlp     dense layers with an activation after each
	//	conv4   for [height width channels]: four convolutions of 3x3
	//	tcn     for [time channels]: residual blocks of causal dilated convolutions
	//	gru     for [time channels]: the last state of a gated recurrent unit
	//	layers  the list Layers
	//
	// All end in a dense head that makes the outputs. A model over time or space
	// gives the head its features and, beside them, the sample's Extra ones.
	Name string `yaml:"name" json:"name"`
	// Hidden lists the widths of the hidden layers of mlp, from input to output.
	// Empty is a linear model.
	Hidden []int `yaml:"hidden" json:"hidden"`
	// Activation is "relu" (the default where empty) or "tanh", or another of the
	// layers without options. tanh is smooth and bounded, which suits small
	// regressions; relu is cheaper. Not for layers, whose list has its own.
	Activation string `yaml:"activation" json:"activation"`
	// Skip adds a linear map from the whole input to the output beside the other
	// layers, so that what is linear in a problem need not pass through them.
	Skip bool `yaml:"skip" json:"skip"`
	// Layers are the layers of "layers", from input on; the dense head that makes
	// the outputs follows by itself.
	Layers []LayerSpec `yaml:"layers,omitempty" json:"layers,omitempty"`
	// Filters is the number of channels of each convolution of conv4; 0 is 64, as
	// in the MAML paper.
	Filters int `yaml:"filters,omitempty" json:"filters,omitempty"`
	// Pool says how each convolution of conv4 halves height and width: "stride" (the
	// default where empty), by every second position, or "max", by a maximum over
	// 2x2, which costs about four times the work.
	Pool string `yaml:"pool,omitempty" json:"pool,omitempty"`
	// Norm is the normalisation between a linear layer and its activation: "none",
	// "batch" or "layer". Empty is batch for conv4 and none for others.
	Norm string `yaml:"norm,omitempty" json:"norm,omitempty"`
	// Statistics and PerStep are batchnorm's options of the same names, where Norm is
	// batch.
	Statistics string `yaml:"statistics,omitempty" json:"statistics,omitempty"`
	PerStep    bool   `yaml:"per_step,omitempty" json:"per_step,omitempty"`
	// Channels is the width of tcn; 0 is 16.
	Channels int `yaml:"channels,omitempty" json:"channels,omitempty"`
	// Kernel is the number of times that a convolution of tcn reads; 0 is 3.
	Kernel int `yaml:"kernel,omitempty" json:"kernel,omitempty"`
	// Levels is the number of blocks of tcn, the dilation doubling from 1 on: the
	// last time sees 1 + 2*(kernel-1)*(2^levels-1) times. 0 is 3.
	Levels int `yaml:"levels,omitempty" json:"levels,omitempty"`
	// Units is the width of gru's state; 0 is 32.
	Units int `yaml:"units,omitempty" json:"units,omitempty"`
	// Init is how parameters start: "" (weights and biases uniform in +-1/sqrt(fan
	// in)), or with biases of zero "he" (normal of variance 2/fan in), "glorot"
	// (uniform in +-sqrt(6/(fan in + fan out))) or "normal" (of deviation 0.01, cut
	// at two deviations, as in the MAML paper). See Model.Init.
	Init string `yaml:"init,omitempty" json:"init,omitempty"`
	// InnerSteps is the number of inner steps that layers with parameters per step
	// have sets for; it comes from the learner, not from the model's options.
	InnerSteps int `yaml:"-" json:"-"`
}

// LayerSpec is one layer of a model of the kind "layers". Fields that a kind does
// not use must be zero.
//
// Layers over positions take [time channels] or [height width channels] and keep
// the order of axes; dense takes [features].
type LayerSpec struct {
	// Kind is the layer's name:
	//
	//	dense      units
	//	conv1d     filters, kernel, stride, padding, dilation, causal
	//	conv2d     filters, kernel, stride, padding, dilation
	//	maxpool    kernel, stride, padding, global
	//	avgpool    kernel, stride, padding, global
	//	flatten    [position... channels] to [features]
	//	last       the last position: [time channels] to [features]
	//	gru        units: a gated recurrent unit, [time channels] to [time units]
	//	residual   layers: x + f(x), x mapped by a learned 1x1 convolution of the
	//	           stride that fits where f changes the shape
	//	batchnorm  statistics, per_step, eps
	//	layernorm  eps
	//	relu, tanh, sigmoid, gelu
	Kind string `json:"kind"`
	// Units is the width of dense, and of gru.
	Units int `json:"units,omitempty"`
	// Statistics says what batchnorm normalises by: "batch" (where empty), the
	// batch's own mean and variance, or "stored", those kept with the parameters.
	Statistics string `json:"statistics,omitempty"`
	// PerStep gives batchnorm parameters, and stored statistics, of their own for
	// every number of inner steps.
	PerStep bool `json:"per_step,omitempty"`
	// Eps is added to a variance before its root is taken: 1e-3 in batchnorm and
	// 1e-5 in layernorm where zero.
	Eps float32 `json:"eps,omitempty"`
	// Filters is the number of channels that a convolution makes.
	Filters int `json:"filters,omitempty"`
	// Kernel is how many positions a convolution or pool reads, along each axis.
	Kernel Dims `json:"kernel,omitempty"`
	// Stride is the step from one window to the next along each axis: 1 where
	// empty; for a pool the kernel's size.
	Stride Dims `json:"stride,omitempty"`
	// Padding widens the input by so many positions on either side of each axis.
	// They are skipped, not read as zeros; an average is over what is there.
	Padding Dims `json:"padding,omitempty"`
	// Dilation is the step from one position that a convolution reads to the next;
	// 1 where empty.
	Dilation Dims `json:"dilation,omitempty"`
	// Causal makes conv1d read its own time and earlier ones only: it pads before
	// the first time by dilation*(kernel-1) and nowhere else.
	Causal bool `json:"causal,omitempty"`
	// Global makes a pool one window over all positions, which ends in [features].
	Global bool `json:"global,omitempty"`
	// Layers are the layers of residual.
	Layers []LayerSpec `json:"layers,omitempty"`
}

// Dims is a size per axis: [time], [height width], or one number for both axes.
// In JSON one number may stand without brackets.
type Dims []int

// UnmarshalJSON reads a number or a list of numbers.
func (d *Dims) UnmarshalJSON(data []byte) error {
	var one int
	if json.Unmarshal(data, &one) == nil {
		*d = Dims{one}
		return nil
	}
	var list []int
	if err := json.Unmarshal(data, &list); err != nil {
		return fmt.Errorf("read sizes: %s, expected a number or one per axis", data)
	}
	*d = list
	return nil
}

// MaxParams bounds the parameters of a model, and of a learner with its own: a vector of them is one result, of which
// the coordinator must be able to hold more than one.
const MaxParams = 32 << 20

// Limits of what Build accepts; more is a mistake of the spec.
const (
	maxWidth  = 1 << 16
	maxSample = 1 << 24 // elements that one layer makes of one sample
	maxLinks  = 1 << 22 // pairs of output and input positions of one layer
	maxLayers = 1000
	maxDepth  = 16 // of residuals within residuals
)
