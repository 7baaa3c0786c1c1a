package nn

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// layerUses lists the fields of LayerSpec that each kind reads beside Kind.
var layerUses = map[string]string{
	"dense":     "units",
	"conv1d":    "filters kernel stride padding dilation causal",
	"conv2d":    "filters kernel stride padding dilation",
	"maxpool":   "kernel stride padding global",
	"avgpool":   "kernel stride padding global",
	"flatten":   "",
	"last":      "",
	"residual":  "layers",
	"gru":       "units",
	"batchnorm": "statistics per_step eps",
	"layernorm": "eps",
	"relu":      "",
	"tanh":      "",
	"sigmoid":   "",
	"gelu":      "",
}

// modelUses lists the fields of Config that each model reads beside Name.
var modelUses = map[string]string{
	"mlp":    "hidden activation skip norm statistics per_step init",
	"conv4":  "activation skip filters pool norm statistics per_step init",
	"tcn":    "activation skip norm statistics per_step channels kernel levels init",
	"gru":    "units skip init",
	"layers": "skip layers init",
}

// check refuses an unknown kind and fields that it does not use.
func (l LayerSpec) check() error {
	return unused("kind", l.Kind, l, layerUses)
}

// check refuses an unknown model or option, sizes out of range, and fields that
// the model does not use.
func (c Config) check() error {
	if err := unused("name", c.Name, c, modelUses); err != nil {
		return err
	}
	for _, f := range []struct {
		field, value string
		known        []string
	}{
		{"activation", c.Activation, activations},
		{"pool", c.Pool, []string{"stride", "max"}},
		{"norm", c.Norm, []string{"none", "batch", "layer"}},
		{"init", c.Init, []string{"he", "glorot", "normal"}},
	} {
		if f.value != "" && !slices.Contains(f.known, f.value) {
			return unknown(f.field, f.value, f.known...)
		}
	}
	for _, f := range []struct {
		field     string
		value, hi int
	}{{"filters", c.Filters, maxWidth}, {"channels", c.Channels, maxWidth}, {"kernel", c.Kernel, maxWidth}, {"levels", c.Levels, 16}, {"units", c.Units, maxWidth}} {
		if f.value < 0 || f.value > f.hi {
			return fmt.Errorf("%s: %d, expected 1 to %d, or 0 for the default", f.field, f.value, f.hi)
		}
	}
	if (c.PerStep || c.Statistics != "") && c.Norm != "batch" && !(c.Norm == "" && c.Name == "conv4") {
		return fmt.Errorf("norm: %q beside statistics or per_step, which are options of batch; set norm to batch or leave them out", c.Norm)
	}
	return nil
}

// unused refuses a name that is none of uses, and a field of v, a struct with JSON
// names, that is set although the name does not use it.
func unused(field, name string, v any, uses map[string]string) error {
	used, ok := uses[name]
	if !ok {
		return unknown(field, name, slices.Sorted(maps.Keys(uses))...)
	}
	s := reflect.ValueOf(v)
	for i := range s.NumField() {
		key, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
		if key == field || key == "-" || slices.Contains(strings.Fields(used), key) {
			continue
		}
		if !empty(s.Field(i)) {
			return fmt.Errorf("%s: %v with %s %s, which does not use it; leave it out", key, s.Field(i), field, name)
		}
	}
	return nil
}

// empty reports whether a field has nothing to say.
func empty(v reflect.Value) bool {
	return v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
}

// LayerKinds lists the kinds of layers there are, ModelNames the models, sorted.
func LayerKinds() []string { return slices.Sorted(maps.Keys(layerUses)) }

// ModelNames lists the kinds of models there are, sorted.
func ModelNames() []string { return slices.Sorted(maps.Keys(modelUses)) }
