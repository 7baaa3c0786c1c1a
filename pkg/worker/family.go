package worker

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// FamilyKind is how a family is described, configured and built.
type FamilyKind struct {
	// Options returns a new struct with the tags of pkg/strictyaml: the keys under `family:`.
	Options func() any
	// Preset is a spec (YAML) laid below the user's: what suits this family where it differs from the defaults.
	Preset string
	// Learners are specs (YAML) laid between the user's and Preset where the user chose that learner: what it needs here to
	// do well by its name alone.
	Learners map[string]string
	// Learner is the usual one, where a spec gives its keys without its name.
	Learner string
	// Build makes the family from its options (JSON of what Options returned) and its data, nil where it has none.
	Build func(options json.RawMessage, data *taskshards.DataSet) (taskshards.Family, error)
}

// Families are the kinds of tasks a worker knows, by name.
type Families map[string]FamilyKind

// Kinds are what a worker knows by name. A program of another module adds kinds of its own to the built-in ones.
type Kinds struct {
	Families Families
	Models   Models
	Engines  Engines
}

// BuiltinKinds are the families and models warmstart brings, and no engine beside lane. The maps are the caller's to
// change.
func BuiltinKinds() Kinds { return Kinds{BuiltinFamilies(), BuiltinModels(), Engines{}} }

// BuiltinFamilies are the families warmstart brings.
func BuiltinFamilies() Families {
	return Families{
		"arrays":   {Options: func() any { return new(ArraysOptions) }, Preset: arraysPreset, Learners: arraysLearners, Learner: "maml", Build: buildFamily("arrays")},
		"load":     {Options: func() any { return new(LoadOptions) }, Preset: loadPreset, Learners: loadLearners, Learner: "ridge", Build: buildFamily("load")},
		"omniglot": {Options: func() any { return new(OmniglotOptions) }, Preset: omniglotPreset, Learners: omniglotLearners, Learner: "maml", Build: buildFamily("omniglot")},
		"sinusoid": {Options: func() any { return new(SinusoidOptions) }, Preset: sinusoidPreset, Learners: sinusoidLearners, Learner: "maml", Build: buildFamily("sinusoid")},
	}
}

// Build makes the family a spec names.
func (f Families) Build(s metatrain.Section, data *taskshards.DataSet) (taskshards.Family, error) {
	kind, ok := f[s.Name]
	if !ok {
		return nil, fmt.Errorf("family %q is not known to this worker, which knows %v", s.Name, slices.Sorted(maps.Keys(f)))
	}
	family, err := kind.Build(s.Options, data)
	if err != nil {
		return nil, err
	}
	return trusted(s.Name, family), nil
}

func buildFamily(name string) func(json.RawMessage, *taskshards.DataSet) (taskshards.Family, error) {
	return func(options json.RawMessage, data *taskshards.DataSet) (taskshards.Family, error) {
		c, err := FamilyConfig(name, options)
		if err != nil {
			return nil, err
		}
		return taskshards.New(c, data)
	}
}

// FamilyConfig reads the options of a built-in family.
func FamilyConfig(name string, options json.RawMessage) (taskshards.Config, error) {
	c, err := taskshards.Default(name)
	if err != nil {
		return c, err
	}
	if len(options) > 0 {
		if err := json.Unmarshal(options, &c); err != nil {
			return c, fmt.Errorf("family %s: options: %w", name, err)
		}
	}
	c.Name = name
	return c, c.Validate()
}

// DataConfig is how the data of a spec's family is read. Integer targets of arrays are labels, unless the spec names
// losses of numbers alone and no classes.
func DataConfig(spec metatrain.RunSpec) (taskshards.Config, error) {
	c, err := FamilyConfig(spec.Family.Name, spec.Family.Options)
	numbers := false
	for _, loss := range []string{spec.Inner.Loss, spec.Outer.Loss} {
		switch loss {
		case "":
		case "softmax", "bce":
			return c, err
		default:
			numbers = true
		}
	}
	c.Numbers = numbers && c.Classes == 0
	return c, err
}

// dataOptions are the options of a family that reads files.
type dataOptions interface {
	// takePaths removes and returns where the files are: they are no part of a spec, their content is.
	takePaths() []string
	// forget removes what else only says how they are read.
	forget()
}

func (o *LoadOptions) takePaths() []string {
	paths := o.Path
	o.Path = nil
	return paths
}

func (o *LoadOptions) forget() { o.Digest, o.Strict, o.SkipBad = "", false, false }

// WithoutReading drops from a family's options what only says how its data is read: the data's digest stands for it.
func WithoutReading(s metatrain.Section) (metatrain.Section, error) {
	kind, ok := BuiltinFamilies()[s.Name]
	if !ok {
		return s, nil
	}
	o := kind.Options()
	reads, ok := o.(dataOptions)
	if !ok {
		return s, nil
	}
	if err := json.Unmarshal(s.Options, o); err != nil {
		return s, fmt.Errorf("family %s: options: %w", s.Name, err)
	}
	reads.takePaths()
	reads.forget()
	return section(s.Name, o)
}

// SinusoidOptions are the keys under `family:` of the MAML paper's regression tasks (Finn et al. 2017, section 5.1).
type SinusoidOptions struct {
	Shots     []int `json:"shots" default:"[10]" min:"1" max:"100000" unit:"samples" why:"support points of a training task; several: drawn per task"`
	TestShots []int `json:"test_shots,omitempty" min:"1" max:"100000" unit:"samples" why:"support points of validation and test tasks; empty = shots"`
	Query     int   `json:"query" default:"10" min:"1" max:"100000" unit:"samples" why:"points the adapted model is scored on"`
}

// LoadOptions are the keys under `family:` for forecasting a job's event rate.
type LoadOptions struct {
	Path      []string         `json:"path,omitempty" why:"folders or files with traces: CSV (timestamp,value; .gz too) or the wide per-minute form; none = generated loads only"`
	Digest    string           `json:"digest,omitempty" why:"SHA-256 the traces must have, once read and packed; pins public data by content"`
	Group     string           `json:"group,omitempty" why:"regular expression on a series' name; its first capture names the siblings that must stay in one split; empty = each file is a job of its own"`
	Strict    bool             `json:"strict,omitempty" default:"false" why:"refuse duplicate, unordered and off-grid rows instead of mending them"`
	SkipBad   bool             `json:"skip_bad,omitempty" default:"false" why:"leave out and count rows and series that would be refused"`
	MinValues int              `json:"min_values" default:"120" min:"20" max:"1000000" unit:"values" why:"a shorter series is refused"`
	Active    float64          `json:"active" default:"0.5" min:"0" max:"1" unit:"share" why:"wide form: least share of non-zero minutes of a function; others are left out and counted"`
	Shots     []int            `json:"shots" default:"[0, 5, 10, 20, 50]" min:"0" max:"100000" unit:"samples" why:"support samples of a task, drawn per task, so that one model serves a cold and a warm job"`
	Query     int              `json:"query" default:"50" min:"1" max:"100000" unit:"samples" why:"at most so many later windows score a task"`
	Lags      int              `json:"lags" default:"24" min:"2" max:"4096" unit:"values" why:"past values the forecast sees"`
	Features  []string         `json:"features" default:"[scale, volatility, mean, still, season, cycle, week]" why:"inputs beside the window: its scale against its level, its volatility and level against the long run's, how much of it stands still, and what the load did one and two days and a week ago, where that is known"`
	Generator GeneratorOptions `json:"generator"`
	Mixture   MixtureOptions   `json:"mixture"`
	Split     SplitOptions     `json:"split"`
}

// GeneratorOptions say how many generated loads stand beside the traces.
type GeneratorOptions struct {
	Share  float64 `json:"share" default:"0.4" min:"0" max:"1" unit:"share of tasks" why:"training tasks drawn from generated loads; 0 turns the generator off"`
	Series int     `json:"series" default:"1024" min:"0" max:"1048576" unit:"series" why:"generated loads to draw from; more cost memory (about 27 kB each), not time"`
	Seed   uint64  `json:"seed" default:"1" why:"selects the corpus; not the run's seed, so that runs that differ in that alone see the same loads"`
}

// MixtureOptions say how many re-sampled and summed series stand beside the rest.
type MixtureOptions struct {
	Share  float64 `json:"share" default:"0.3" min:"0" max:"1" unit:"share of tasks" why:"training tasks drawn from sums and re-samplings of training series: a job's input is an aggregate"`
	Series int     `json:"series" default:"1024" min:"0" max:"1048576" unit:"series" why:"mixtures to draw from"`
}

// SplitOptions say which jobs are held out.
type SplitOptions struct {
	Validate float64 `json:"validate" default:"0.15" min:"0" max:"0.9" unit:"share of jobs" why:"jobs the published model is chosen on"`
	Test     float64 `json:"test" default:"0.15" min:"0" max:"0.9" unit:"share of jobs" why:"jobs the cold-start table is made on, never trained on"`
	Folds    int     `json:"folds,omitempty" default:"0" min:"0" max:"1000" unit:"folds" why:"cross-validation: the test jobs are those whose hash falls in fold, of so many; 0 = by the share test"`
	Fold     int     `json:"fold,omitempty" default:"0" min:"0" max:"999" why:"which fold is held out"`
}

// loadPreset was chosen on five folds of public traces and on generated loads: docs/BENCHMARKS.md. Smooth features
// matter most: ridge on relu features, which have no bound, follows outliers.
const loadPreset = `
model: {name: mlp, hidden: [48, 32, 32], activation: tanh}
learner: {name: ridge, precision: 1000, outlier: 0.5}
inner: {loss: mse}
outer: {loss: abs}
optimizer: {rate: 0.008}
validation: {every: 500}
`

// loadLearners: at the usual rate imaml's steps diverge on the first tasks.
var loadLearners = map[string]string{"imaml": "learner: {name: imaml, rate: 0.001}\n"}

// sinusoidLearners: rates learned for the steps trained with diverge in ten, and a criterion that weighs those keeps a
// model from before the training (docs/learners.md); they are validated by the learner's own number of steps instead.
var sinusoidLearners = map[string]string{
	"imaml":   "learner: {name: imaml, rate: 0.01}\nvalidation: {adapt: [], targets: []}\n",
	"mamlpp":  "optimizer: {schedule: cosine}\nvalidation: {adapt: [], targets: []}\n",
	"metasgd": "validation: {adapt: [], targets: []}\n",
	"ridge":   "validation: {adapt: [], targets: []}\n",
}

const sinusoidPreset = `
model: {name: mlp, hidden: [40, 40], skip: false}
learner: maml
inner: {loss: mse}
outer: {loss: mse}
optimizer: {rate: 0.001, schedule: constant, clip: 0}
meta_batch: 25
steps: 70000
validation: {every: 250, tasks: 1000, adapt: [1, 5, 10], targets: [0.67, 0.38, 0.35]}
evaluation: {pooled: false}
`
