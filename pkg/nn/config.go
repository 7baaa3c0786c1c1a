package nn

// Config names a model. The zero value is not valid: Name is needed.
type Config struct {
	// Name is the kind of model: "mlp", dense layers with an activation between,
	// or "layers", the list Layers with a dense head after it.
	Name string `yaml:"name" json:"name"`
	// Hidden lists the widths of the hidden layers, from input to output. Empty
	// is a linear model.
	Hidden []int `yaml:"hidden" json:"hidden"`
	// Activation is "relu" (the default where empty) or "tanh". tanh is smooth and
	// bounded, which suits small regressions; relu is cheaper.
	Activation string `yaml:"activation" json:"activation"`
	// Skip adds a linear map from input to output beside the hidden layers, so
	// that what is linear in a problem need not pass through them.
	Skip bool `yaml:"skip" json:"skip"`
	// Layers are the layers of "layers", from input on; the dense head that makes
	// the outputs follows by itself.
	Layers []LayerSpec `yaml:"layers,omitempty" json:"layers,omitempty"`
	// InnerSteps is the number of inner steps that layers with parameters per step
	// have sets for; it comes from the learner, not from the model's options.
	InnerSteps int `yaml:"-" json:"-"`
}

// LayerSpec is one layer of a model of the kind "layers". Fields that a kind does
// not use must be zero.
type LayerSpec struct {
	// Kind is the layer's name: dense, batchnorm, layernorm, relu, tanh, sigmoid,
	// gelu.
	Kind string `json:"kind"`
	// Units is the width of dense.
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
}

// Limits of what Build accepts; more is a mistake of the spec.
const (
	maxWidth  = 1 << 16
	maxParams = 1 << 28
)
