package taskshards

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
)

// Config describes a family: the `family` section of a RunSpec. Start from
// Default, decode over it, then Validate. Fields that a family does not know
// stay at their zero value.
type Config struct {
	// Name is "sinusoid", "load", "omniglot" or "arrays".
	Name string `yaml:"name" json:"name"`

	// Shots is the set that the number of support samples is drawn from, task
	// by task; 0 is legal but for omniglot. Samples, not steps; for omniglot of
	// each class.
	Shots []int `yaml:"shots,flow" json:"shots"`

	// TestShots is that set for tasks of the validation and test splits, of
	// sinusoid and omniglot. Empty: Shots.
	TestShots []int `yaml:"test_shots,flow,omitempty" json:"test_shots,omitempty"`

	// Query is the number of query samples of a task; for load and arrays the
	// most, since a short series may hold fewer. For omniglot of each class, and 0
	// is as many as shots.
	Query int `yaml:"query" json:"query"`

	// Path lists the folders or files with the data; whoever calls Read opens
	// them. None: generated series only. It is not part of the spec's digest;
	// the content of the files is.
	Path Paths `yaml:"path,omitempty" json:"path,omitempty"`

	// Digest, where given, is the SHA-256 that the packed traces must have: it
	// pins public data by content. Whoever reads them compares.
	Digest string `yaml:"digest,omitempty" json:"digest,omitempty"`

	// Group is a regular expression on a series' name whose first capture names
	// its siblings. Empty: each file is a job of its own, and the functions of
	// one app are siblings in the wide Azure form.
	Group string `yaml:"group,omitempty" json:"group,omitempty"`

	// Strict refuses duplicate, unordered and off-grid rows instead of mending
	// them.
	Strict bool `yaml:"strict,omitempty" json:"strict,omitempty"`

	// SkipBad leaves out rows and series that would be refused, and counts them.
	SkipBad bool `yaml:"skip_bad,omitempty" json:"skip_bad,omitempty"`

	// MinValues is the least number of values of a series. Zero: DefaultMinValues.
	MinValues int `yaml:"min_values,omitempty" json:"min_values,omitempty"`

	// Active is the least share of non-zero minutes of a function in the wide
	// Azure form; others are left out and counted. Zero: DefaultActive.
	Active float64 `yaml:"active,omitempty" json:"active,omitempty"`

	// Lags is the number of values in a window.
	Lags int `yaml:"lags,omitempty" json:"lags,omitempty"`

	// Features lists inputs beside the window: see FeatureNames.
	Features []string `yaml:"features,flow,omitempty" json:"features,omitempty"`

	Generator GeneratorConfig `yaml:"generator,omitempty" json:"generator,omitzero"`
	Mixture   MixtureConfig   `yaml:"mixture,omitempty" json:"mixture,omitzero"`
	Division  DivisionConfig  `yaml:"split,omitempty" json:"split,omitzero"`

	// Ways is the number of classes of a task of omniglot, Size the pixels along a
	// side of its images, Rotations whether turned classes are classes of their
	// own, Invert whether ink is 1 and paper 0.
	Ways      int  `yaml:"ways,omitempty" json:"ways,omitempty"`
	Size      int  `yaml:"size,omitempty" json:"size,omitempty"`
	Rotations bool `yaml:"rotations,omitempty" json:"rotations,omitempty"`
	Invert    bool `yaml:"invert,omitempty" json:"invert,omitempty"`

	Characters CharactersConfig `yaml:"characters,omitempty" json:"characters,omitzero"`

	// Classes is the number of classes of arrays; 0 is one more than the largest
	// label.
	Classes int `yaml:"classes,omitempty" json:"classes,omitempty"`

	// Numbers reads integer targets of arrays as numbers, not as labels. It is no
	// option: a spec's losses say so, and a model's shape.
	Numbers bool `yaml:"-" json:"-"`
}

// GeneratorConfig says how many generated stream loads stand beside the traces.
type GeneratorConfig struct {
	// Share of the training tasks drawn from generated series, 0 to 1; 0 turns
	// the generator off. Without traces they make up all that mixtures leave.
	Share float64 `yaml:"share" json:"share"`

	// Series is the number of generated series for training. More of them cost
	// memory (about 27 kB each), not time.
	Series int `yaml:"series" json:"series"`

	// Seed selects the corpus. It is not the run's seed: runs that differ in
	// that alone see the same series.
	Seed uint64 `yaml:"seed" json:"seed"`
}

// MixtureConfig says how many re-sampled and summed series stand beside the
// traces and the generated series they are made from.
type MixtureConfig struct {
	// Share of the training tasks drawn from mixtures, 0 to 1.
	Share float64 `yaml:"share" json:"share"`

	// Series is the number of mixtures.
	Series int `yaml:"series" json:"series"`
}

// DivisionConfig says which jobs are held out. Jobs are groups: siblings stay
// together.
type DivisionConfig struct {
	// Validate and Test are shares of the jobs, 0 to 1 each, at least one job
	// where the share is not 0.
	Validate float64 `yaml:"validate" json:"validate"`
	Test     float64 `yaml:"test" json:"test"`

	// Folds, where not 0, makes the test split the jobs with FoldOf(job, Folds)
	// == Fold, in place of Test.
	Folds int `yaml:"folds,omitempty" json:"folds,omitempty"`
	Fold  int `yaml:"fold,omitempty" json:"fold,omitempty"`
}

// Paths is a list of folders or files; in YAML and JSON a single string stands
// for a list of one.
type Paths []string

// UnmarshalYAML takes a string or a list of strings.
func (p *Paths) UnmarshalYAML(decode func(any) error) error {
	var one string
	if decode(&one) == nil {
		*p = Paths{one}
		return nil
	}
	return decode((*[]string)(p))
}

// UnmarshalJSON takes a string or a list of strings.
func (p *Paths) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*p = Paths{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(p))
}

// Default returns the configuration of a family before the user's own fields
// are decoded over it.
func Default(name string) (Config, error) {
	switch name {
	case "sinusoid":
		return Config{Name: name, Shots: []int{10}, Query: 10}, nil
	case "load":
		return Config{
			Name: name, Lags: 24, Features: FeatureNames(), Shots: []int{0, 5, 10, 20, 50}, Query: 50,
			MinValues: DefaultMinValues, Active: DefaultActive,
			Generator: GeneratorConfig{Share: 0.4, Series: 1024, Seed: 1},
			Mixture:   MixtureConfig{Share: 0.3, Series: 1024},
			Division:  DivisionConfig{Validate: 0.15, Test: 0.15},
		}, nil
	case "omniglot":
		return Config{
			Name: name, Ways: 5, Shots: []int{1}, Size: 28, Rotations: true, Invert: true,
			Characters: CharactersConfig{Train: 1200, Validate: 100, Seed: 1},
		}, nil
	case "arrays":
		return Config{Name: name, Shots: []int{5}, Query: 15, Division: DivisionConfig{Validate: 0.15, Test: 0.15}}, nil
	}
	return Config{}, unknownFamily(name)
}

// FamilyNames lists the families there are.
func FamilyNames() []string { return []string{"arrays", "load", "omniglot", "sinusoid"} }

func unknownFamily(name string) error {
	return fmt.Errorf("build family: found %q, expected one of %s", name, strings.Join(FamilyNames(), ", "))
}

// Defaults of the data rules, also where a Config or IngestOptions leaves them 0.
const (
	// DefaultMinValues is the least length of a series: enough for a window, 50
	// samples of support and as many to score on.
	DefaultMinValues = 120

	// DefaultActive is the least share of non-zero minutes of a function.
	DefaultActive = 0.5
)

// ShotsOf is what the number of support samples of a split's tasks is drawn from.
func (c Config) ShotsOf(split Split) []int {
	if split != Train && len(c.TestShots) > 0 {
		return c.TestShots
	}
	return c.Shots
}

// shotsBySplit is ShotsOf for each.
func (c Config) shotsBySplit() [3][]int {
	return [3][]int{Train: c.ShotsOf(Train), Validate: c.ShotsOf(Validate), Test: c.ShotsOf(Test)}
}

// Bounds of what a configuration may ask for: enough for any use, small enough
// that a slip of the pen does not fill the memory.
const (
	maxLags    = 4096
	maxSamples = 100_000
	maxSeries  = 1 << 20
)

// Validate checks every field that the family reads. Errors name the field, what
// was found and what was expected.
func (c Config) Validate() error {
	if !slices.Contains(FamilyNames(), c.Name) {
		return unknownFamily(c.Name)
	}
	if len(c.Shots) == 0 {
		return fmt.Errorf("check family.shots: found none, expected one or more numbers of samples")
	}
	for _, k := range append(slices.Clone(c.Shots), c.TestShots...) {
		if err := inRange("shots", k, 0, maxSamples); err != nil {
			return err
		}
	}
	if c.Name == "omniglot" {
		return c.validateOmniglot()
	}
	if err := inRange("query", c.Query, 1, maxSamples); err != nil {
		return err
	}
	if c.Name == "arrays" {
		return c.validateArrays()
	}
	if c.Name == "sinusoid" {
		if len(c.Path) > 0 {
			return fmt.Errorf("check family.path: found %q, expected none: sinusoid reads no traces; use family.name: load", c.Path)
		}
		return nil
	}
	return c.validateLoad()
}

func (c Config) validateOmniglot() error {
	const most = 1000 // drawings of a character; Omniglot has 20
	checks := []error{
		inRange("ways", c.Ways, 2, 1000),
		inRange("query", c.Query, 0, most),
		inRange("size", c.Size, 1, maxImageSize),
		inRange("characters.train", c.Characters.Train, 1, maxImageClass),
		inRange("characters.validate", c.Characters.Validate, 0, maxImageClass),
	}
	for _, k := range c.Shots {
		checks = append(checks, inRange("shots", k, 1, most))
	}
	for _, k := range c.TestShots {
		checks = append(checks, inRange("test_shots", k, 1, most))
	}
	return firstOf(checks)
}

func (c Config) validateArrays() error {
	checks := []error{
		inRange("classes", c.Classes, 0, maxTargets),
		isShare("split.validate", c.Division.Validate),
		isShare("split.test", c.Division.Test),
		c.validateDivision(),
	}
	if _, err := c.groupPattern(); err != nil {
		checks = append(checks, err)
	}
	return firstOf(checks)
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c Config) validateLoad() error {
	checks := []error{
		inRange("lags", c.Lags, 2, maxLags),
		inRange("min_values", c.MinValues, 0, math.MaxInt32),
		inRange("generator.series", c.Generator.Series, 0, maxSeries),
		inRange("mixture.series", c.Mixture.Series, 0, maxSeries),
		isShare("active", c.Active),
		isShare("generator.share", c.Generator.Share),
		isShare("mixture.share", c.Mixture.Share),
		isShare("split.validate", c.Division.Validate),
		isShare("split.test", c.Division.Test),
		c.validateSums(),
	}
	if err := firstOf(checks); err != nil {
		return err
	}
	for _, f := range c.Features {
		if !slices.Contains(FeatureNames(), f) {
			return fmt.Errorf("check family.features: found %q, expected some of %s", f, strings.Join(FeatureNames(), ", "))
		}
	}
	_, err := c.groupPattern()
	return err
}

// validateSums checks what more than one field decides.
func (c Config) validateSums() error {
	if s := c.Generator.Share + c.Mixture.Share; s > 1 {
		return fmt.Errorf("check family: generator.share and mixture.share add up to %g, expected at most 1", s)
	}
	if c.Generator.Share > 0 && c.Generator.Series == 0 {
		return fmt.Errorf("check family.generator.series: found 0 with a share of %g, expected 1 or more; share 0 turns the generator off", c.Generator.Share)
	}
	if c.Mixture.Share > 0 && c.Mixture.Series == 0 {
		return fmt.Errorf("check family.mixture.series: found 0 with a share of %g, expected 1 or more; share 0 turns mixtures off", c.Mixture.Share)
	}
	return c.validateDivision()
}

func (c Config) validateDivision() error {
	d := c.Division
	if s := d.Validate + d.Test; s >= 1 {
		return fmt.Errorf("check family.split: validate and test add up to %g, expected less than 1: nothing is left to train on", s)
	}
	if d.Folds == 0 && d.Fold != 0 || d.Folds != 0 && (d.Folds < 2 || d.Fold < 0 || d.Fold >= d.Folds) {
		return fmt.Errorf("check family.split: found fold %d of %d, expected 2 folds or more, numbered from 0", d.Fold, d.Folds)
	}
	return nil
}

// groupPattern compiles Group; nil where it is empty.
func (c Config) groupPattern() (*regexp.Regexp, error) {
	if c.Group == "" {
		return nil, nil
	}
	re, err := regexp.Compile(c.Group)
	if err != nil {
		return nil, fmt.Errorf("check family.group: %w", err)
	}
	if re.NumSubexp() == 0 {
		return nil, fmt.Errorf("check family.group: found %q, expected a capture in parentheses: what it matches names the siblings", c.Group)
	}
	return re, nil
}

func inRange(field string, v, lo, hi int) error {
	if v < lo || v > hi {
		return fmt.Errorf("check family.%s: found %d, expected %d to %d", field, v, lo, hi)
	}
	return nil
}

func isShare(field string, v float64) error {
	if !(v >= 0 && v <= 1) {
		return fmt.Errorf("check family.%s: found %g, expected a share from 0 to 1", field, v)
	}
	return nil
}
