package coldstart

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// Base is a published model in memory.
type Base struct {
	Config  metatrain.ModelConfig
	Family  taskshards.Config
	Model   *nn.Model
	Learner learner.Config

	// Theta are the learner's parameters: the model's, then its own.
	Theta []float32

	// Pooled are the parameters of the pooled model, nil where none was trained.
	Pooled []float32

	// Unwanted, where given, is asked between pieces of a table: true ends its making
	// with ErrUnwanted.
	Unwanted func() bool
}

// ErrUnwanted ends a table that nobody waits for any more.
var ErrUnwanted = errors.New("no longer wanted")

// wanted is ErrUnwanted once nobody waits for what is made of b.
func (b *Base) wanted() error {
	if b.Unwanted != nil && b.Unwanted() {
		return ErrUnwanted
	}
	return nil
}

// Load reads a version: config.json, model.safetensors, and pooled.safetensors
// where there is one. files returns a file's bytes; an error that is
// fs.ErrNotExist or checkpoint.ErrNotFound says that it is not there. Errors name
// the file and tensor, what was found and what was expected.
func Load(files func(name string) ([]byte, error)) (*Base, error) {
	data, err := files(checkpoint.ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("load model: read %s: %w", checkpoint.ConfigFile, err)
	}
	var config metatrain.ModelConfig
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, fmt.Errorf("load model: read %s: %w", checkpoint.ConfigFile, err)
	}
	b, err := build(config)
	if err != nil {
		return nil, fmt.Errorf("load model: %s: %w", checkpoint.ConfigFile, err)
	}
	own, err := learner.New[float32](b.Learner, b.Model)
	if err != nil {
		return nil, fmt.Errorf("load model: %s: %w", checkpoint.ConfigFile, err)
	}
	if b.Theta, err = readTheta(files, checkpoint.ModelFile, own.Params()); err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	// The pooled model has the layout of the base model's file, and no use for
	// what is the learner's own.
	pooled, err := readTheta(files, checkpoint.PooledFile, own.Params())
	switch {
	case err == nil:
		b.Pooled = pooled[:b.Model.NumParams()]
	case !absent(err):
		return nil, fmt.Errorf("load model: %w", err)
	}
	return b, nil
}

func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, checkpoint.ErrNotFound)
}

// New makes a Base of parameters in memory; pooled is nil where there are none.
func New(config metatrain.ModelConfig, theta, pooled []float32) (*Base, error) {
	b, err := build(config)
	if err != nil {
		return nil, fmt.Errorf("make base model: %w", err)
	}
	own, err := learner.New[float32](b.Learner, b.Model)
	if err != nil {
		return nil, fmt.Errorf("make base model: %w", err)
	}
	if len(theta) != own.NumParams() {
		return nil, fmt.Errorf("make base model: found %d parameters, expected the %d of %s", len(theta), own.NumParams(), config.Learner.Name)
	}
	if pooled != nil && len(pooled) != b.Model.NumParams() {
		return nil, fmt.Errorf("make base model: found %d pooled parameters, expected %d", len(pooled), b.Model.NumParams())
	}
	b.Theta, b.Pooled = theta, pooled
	return b, nil
}

// build makes everything but the parameters.
func build(config metatrain.ModelConfig) (*Base, error) {
	if config.Contract != metatrain.Contract {
		return nil, fmt.Errorf("contract: found %q, expected %q; this build computes by no other", config.Contract, metatrain.Contract)
	}
	b := &Base{Config: config}
	var err error
	if b.Family, err = familyConfig(config); err != nil {
		return nil, fmt.Errorf("family: %w", err)
	}
	shape, err := b.shape()
	if err != nil {
		return nil, err
	}
	if b.Learner, err = LearnerConfig(config); err != nil {
		return nil, err
	}
	b.Model, err = BuildModel(config, shape)
	return b, err
}

// BuildModel makes the network of a model's configuration for samples of a
// shape, of which Out is the number of targets: an outer loss of several quantiles
// has more outputs.
func BuildModel(config metatrain.ModelConfig, shape nn.Shape) (*nn.Model, error) {
	net, section := nn.Config{}, config.Model
	if len(config.Network) > 0 { // the name and its options are another program's own
		section.Options = config.Network
	}
	if err := options(section, &net); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if len(config.Network) == 0 {
		net.Name = config.Model.Name
	}
	c, err := LearnerConfig(config)
	if err != nil {
		return nil, err
	}
	outer, err := c.Loss(c.OuterLoss)
	if err != nil {
		return nil, err
	}
	shape.Out = outer.Outputs(shape.Out)
	net.InnerSteps = c.InnerSteps()
	return nn.Build(net, shape)
}

// shape is that of a sample: what the configuration says or, where it is silent,
// what the family's options do.
func (b *Base) shape() (nn.Shape, error) {
	if s := b.Config.Shape; !s.IsZero() {
		return nn.Shape{In: s.In, Extra: s.Extra, Out: s.Out}, nil
	}
	switch b.Family.Name {
	case "sinusoid":
		return nn.Flat(1, 1), nil
	case "load":
		w, err := taskshards.NewWindower(b.Family)
		if err != nil {
			return nn.Shape{}, fmt.Errorf("family: %w", err)
		}
		return nn.Shape{In: []int{w.Lags(), 1}, Extra: w.In() - w.Lags(), Out: 1}, nil
	}
	return nn.Shape{}, fmt.Errorf("shape: found none for family %s, expected in and out", b.Family.Name)
}

// familyConfig reads the options of a built-in family. Of another program's own
// only the name is known, and the shape.
func familyConfig(config metatrain.ModelConfig) (taskshards.Config, error) {
	s := config.Family
	if !slices.Contains(taskshards.FamilyNames(), s.Name) && !config.Shape.IsZero() {
		return taskshards.Config{Name: s.Name}, nil
	}
	c, err := taskshards.Default(s.Name)
	if err != nil {
		return c, err
	}
	if err := options(s, &c); err != nil {
		return c, err
	}
	c.Name = s.Name
	return c, c.Validate()
}

// LearnerConfig is how a run's learner is set up, in training and after: its own
// options, the losses, and for load the clip of the outputs.
func LearnerConfig(config metatrain.ModelConfig) (learner.Config, error) {
	var c learner.Config
	if err := options(config.Learner, &c); err != nil {
		return c, fmt.Errorf("learner: %w", err)
	}
	c.Name = config.Learner.Name
	c.InnerLoss, c.OuterLoss = config.Inner.Loss, config.Outer.Loss
	c.InnerDelta, c.HuberDelta = float32(config.Inner.Delta), float32(config.Outer.Delta)
	if config.Family.Name == "load" {
		c.Clip = taskshards.Clip
	}
	var err error
	if c.Quantiles, err = both("quantiles", config.Inner.Quantiles, config.Outer.Quantiles); err != nil {
		return c, err
	}
	if c.ClassWeights, err = both("class_weights", config.Inner.ClassWeights, config.Outer.ClassWeights); err != nil {
		return c, err
	}
	if err := c.Validate(); err != nil {
		return c, errors.New(specKeys.Replace("learner." + err.Error()))
	}
	return c, nil
}

// specKeys are the keys of a spec where learner.Config has fields of other names.
var specKeys = strings.NewReplacer("learner.inner_loss", "inner.loss", "learner.outer_loss", "outer.loss", "learner.huber_delta", "outer.delta", "learner.inner_delta", "inner.delta",
	"learner.quantiles", "outer.quantiles", "learner.class_weights", "outer.class_weights", "inner_loss", "inner.loss", "outer_loss", "outer.loss")

// both is a list of the two losses, which one of them may leave out.
func both(field string, inner, outer []float64) (list []float32, err error) {
	if len(inner) > 0 && len(outer) > 0 && !slices.Equal(inner, outer) {
		return nil, fmt.Errorf("inner.%s: found %v, expected %v as in outer.%s, or none", field, inner, outer, field)
	}
	if len(outer) == 0 {
		outer = inner
	}
	for _, v := range outer {
		list = append(list, float32(v))
	}
	return list, nil
}

func options(s metatrain.Section, into any) error {
	if len(s.Options) == 0 {
		return nil
	}
	if err := json.Unmarshal(s.Options, into); err != nil {
		return fmt.Errorf("%s: options: %w", s.Name, err)
	}
	return nil
}

// readTheta reads the tensors of params, all of them and no others, into one
// vector.
func readTheta(files func(string) ([]byte, error), name string, params []nn.Param) ([]float32, error) {
	data, err := files(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	meta, tensors, err := checkpoint.DecodeTensors(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if c := meta["contract"]; c != metatrain.Contract {
		return nil, fmt.Errorf("read %s: found contract %q, expected %q", name, c, metatrain.Contract)
	}
	if len(tensors) != len(params) {
		return nil, fmt.Errorf("read %s: found %d tensors, expected %d", name, len(tensors), len(params))
	}
	var theta []float32
	for _, p := range params {
		i := slices.IndexFunc(tensors, func(t checkpoint.Tensor) bool { return t.Name == p.Name })
		if i < 0 {
			return nil, fmt.Errorf("read %s: found no tensor %s, expected one of shape %v", name, p.Name, p.Shape)
		}
		t := tensors[i]
		if !slices.Equal(t.Shape, p.Shape) || t.F32 == nil {
			return nil, fmt.Errorf("read %s: tensor %s: found shape %v, expected float32 of shape %v", name, p.Name, t.Shape, p.Shape)
		}
		theta = append(theta, t.F32...)
	}
	return theta, nil
}
