package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
	"github.com/warmstart-ml/warmstart/pkg/strictyaml"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// SpecFile is a RunSpec as people write it. Everything has a default but the name.
type SpecFile struct {
	Name       string                   `json:"name" default:"load" why:"names the model; 1 to 63 of a-z, 0-9, '_', '-'"`
	Seed       uint64                   `json:"seed" default:"1" why:"same seed, same spec, same data: same bits"`
	Family     strictyaml.Section       `json:"family" default:"load" why:"where tasks come from"`
	Model      strictyaml.Section       `json:"model" default:"mlp" why:"what is trained"`
	Learner    strictyaml.Section       `json:"learner" default:"ridge" why:"how the base model adapts to a member's samples, and is trained to"`
	Inner      metatrain.LossSpec       `json:"inner"`
	Outer      metatrain.LossSpec       `json:"outer"`
	Optimizer  metatrain.OptimizerSpec  `json:"optimizer"`
	MetaBatch  int                      `json:"meta_batch" default:"32" min:"1" max:"65536" unit:"tasks" why:"tasks averaged in one outer step; a power of two divides evenly among workers"`
	Steps      int64                    `json:"steps" default:"4000" min:"1" max:"1000000000" unit:"outer steps" why:"length of the training"`
	Checkpoint metatrain.CheckpointSpec `json:"checkpoint"`
	Validation metatrain.ValidationSpec `json:"validation"`
	Evaluation metatrain.EvaluationSpec `json:"evaluation"`
	OnBadTask  string                   `json:"on_bad_task" default:"stop" enum:"stop|skip" why:"a task that fails alike on two workers stops the run, or is left out by a recorded decision"`
	Audit      float64                  `json:"audit,omitempty" default:"0" min:"0" max:"1" unit:"share" why:"of all work, computed again by a worker of another process: one that answers wrongly is found out, and what it gave is undone; needs three processes to say who is wrong; 0 = never. Bits stay the same"`
	Bits       string                   `json:"bits,omitempty" default:"contract" enum:"contract|any" why:"any: workers that declare bits none, such as python/worker.py, count too; the same spec need not give the same model then"`
	Engine     string                   `json:"engine,omitempty" default:"lane" why:"lane: our own kernels, the same bits everywhere; gorgonia: symbolic differentiation, for graphs of one's own and as a reference, slower and with bits: any only"`
	Results    metatrain.ResultsSpec    `json:"results,omitempty"`
	Workers    metatrain.WorkersSpec    `json:"workers,omitempty"`
	Stall      int64                    `json:"stall_seconds" default:"900" min:"1" max:"10000000" unit:"seconds" why:"a run that folds no result for so long is paused, with the reason"`
}

// Override is one --set PATH=VALUE.
type Override struct {
	Path, Value string
	// From is what gave it where that was another flag: errors begin with it.
	From string
}

// ReadSpec reads a spec file, with the overrides on it and the family's preset below it, and refuses whatever no
// worker of these kinds could run. Paths of data come back apart: they are read by the caller, whose digest of
// their content makes the spec complete.
func (k Kinds) ReadSpec(file string, data []byte, overrides []Override) (spec metatrain.RunSpec, paths []string, err error) {
	doc, err := strictyaml.Parse(file, data)
	if err != nil {
		return spec, nil, err
	}
	for _, o := range overrides {
		set := doc.Set
		if o.From != "" {
			set = func(path, value string) error { return doc.SetAs(o.From, path, value) }
		}
		if err := set(o.Path, o.Value); err != nil {
			return spec, nil, err
		}
	}
	if err := k.underlay(doc); err != nil {
		return spec, nil, err
	}
	return k.decode(doc)
}

// underlay lays the presets of the document's family below it, that of its learner on top. A section given without its name gets the usual one.
func (k Kinds) underlay(doc *strictyaml.Doc) error {
	unnamed := func(section, usual string, name func(*SpecFile) string) string {
		var s SpecFile
		_ = doc.Decode(&s) // what is wrong is reported when the whole is decoded
		if found := name(&s); found != "" || !doc.Has(section) {
			return found
		}
		_ = doc.Set(section+".name", usual)
		return usual
	}
	kind, ok := k.Families[unnamed("family", "load", func(s *SpecFile) string { return s.Family.Name })]
	if !ok {
		return nil
	}
	unnamed("model", "mlp", func(s *SpecFile) string { return s.Model.Name })
	chosen := unnamed("learner", kind.Learner, func(s *SpecFile) string { return s.Learner.Name })
	for _, text := range []string{kind.Learners[chosen], kind.Preset} {
		if text == "" {
			continue
		}
		preset, err := strictyaml.Parse("preset", []byte(text))
		if err != nil {
			return err
		}
		doc.Underlay(preset)
	}
	return nil
}

func (k Kinds) decode(doc *strictyaml.Doc) (spec metatrain.RunSpec, paths []string, err error) {
	var s SpecFile
	if err := doc.Decode(&s); err != nil {
		return spec, nil, err
	}
	spec = metatrain.RunSpec{
		Name: s.Name, Seed: s.Seed, Contract: metatrain.Contract, Inner: s.Inner, Outer: s.Outer, Optimizer: s.Optimizer,
		MetaBatch: s.MetaBatch, Steps: s.Steps, Checkpoint: s.Checkpoint, Validation: s.Validation, Evaluation: s.Evaluation,
		OnBadTask: s.OnBadTask, Audit: s.Audit, Results: s.Results.Stored(), StallSeconds: s.Stall,
	}
	if spec.Workers = s.Workers; s.Workers.Weight == 1 { // likewise
		spec.Workers.Weight = 0
	}
	if s.Engine != lane {
		spec.Engine = s.Engine
	}
	if s.Bits != metatrain.BitsContract { // so that a spec's stored form is as before there was a choice
		spec.Bits = s.Bits
	}
	if known := k.Engines.names(); !slices.Contains(known, s.Engine) {
		return spec, nil, unknown(doc, "engine", s.Engine, known)
	}
	kind, ok := k.Families[s.Family.Name]
	if !ok {
		return spec, nil, unknown(doc, "family", s.Family.Name, slices.Sorted(maps.Keys(k.Families)))
	}
	options := kind.Options()
	errs := []error{doc.DecodeSection(s.Family, options)}
	if reads, ok := options.(dataOptions); ok {
		paths = reads.takePaths()
	}
	spec.Family, err = section(s.Family.Name, options)
	errs = append(errs, err)
	var e error
	spec.Model, e = k.modelSection(doc, s.Model)
	errs = append(errs, e)
	spec.Learner, e = learnerSection(doc, s.Learner)
	errs = append(errs, e)
	if err := errors.Join(errs...); err != nil {
		return spec, nil, err
	}
	return spec, paths, spec.Validate()
}

func section(name string, options any) (metatrain.Section, error) {
	data, err := json.Marshal(options)
	return metatrain.Section{Name: name, Options: data}, err
}

func unknown(doc *strictyaml.Doc, path, found string, known []string) error {
	hint := ""
	if near := strictyaml.Nearest(found, known); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return doc.Errorf(path, "found %q, expected one of %v%s", found, known, hint)
}

// groups describes every key of a spec.
func (k Kinds) groups() []strictyaml.Group {
	g := []strictyaml.Group{{Title: "RunSpec", Struct: SpecFile{}}}
	for _, name := range slices.Sorted(maps.Keys(k.Families)) {
		g = append(g, strictyaml.Group{Path: "family", Name: name, Title: "family: " + name, Struct: k.Families[name].Options()})
	}
	for _, name := range slices.Sorted(maps.Keys(k.Models)) {
		g = append(g, strictyaml.Group{Path: "model", Name: name, Title: "model: " + name, Struct: k.Models[name].Options()})
	}
	for _, name := range slices.Sorted(maps.Keys(learnerOptions())) {
		g = append(g, strictyaml.Group{Path: "learner", Name: name, Title: "learner: " + name, Struct: learnerOptions()[name]})
	}
	return g
}

// Explain writes every key with its unit, default and reason, then what each family changes in the defaults.
func (k Kinds) Explain(w io.Writer) error {
	if err := strictyaml.Explain(w, k.groups()...); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(k.Families)) {
		if _, err := fmt.Fprintf(w, "\nfamily %s puts these in place of the defaults above\n%s", name, k.Families[name].Preset); err != nil {
			return err
		}
		for _, learner := range slices.Sorted(maps.Keys(k.Families[name].Learners)) {
			if _, err := fmt.Fprintf(w, "\nfamily %s with learner %s, before those\n\n%s", name, learner, k.Families[name].Learners[learner]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Schema is the JSON schema of a spec file.
func (k Kinds) Schema() ([]byte, error) { return strictyaml.Schema(k.groups()...) }

// modelShape is a family's shape as a model takes it.
func modelShape(s taskshards.Shape) nn.Shape {
	return nn.Shape{In: s.In, Extra: s.Extra, Out: s.Out}
}
