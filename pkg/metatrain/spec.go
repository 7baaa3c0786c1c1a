package metatrain

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
)

// Contract names the numerical contract every bit of a run rests on.
const Contract = "lane/1"

// Section is a polymorphic part of a RunSpec: a family, model or learner, chosen by Name, with the options its
// owner understands. This package never looks inside Options: the coordinator knows families and models by name only.
type Section struct {
	Name    string          `json:"name"`
	Options json.RawMessage `json:"options,omitempty"`
}

// LossSpec chooses a loss and its parameters.
type LossSpec struct {
	Loss  string  `json:"loss" enum:"mse|huber|abs|pinball|softmax|bce" why:"mse: squared error; huber: squared near zero, linear beyond delta; abs: absolute error (no curvature, so outer only); pinball: of the quantiles, inside rounded off by delta; softmax, bce: cross-entropy of classes; left out = softmax where the family's targets are classes, else mse"`
	Delta float64 `json:"delta" default:"1" min:"0.000001" max:"1000000" unit:"target units" why:"where huber, and pinball inside, turns from square to linear"`

	// Both losses of a spec have one list of each.
	Quantiles    []float64 `json:"quantiles,omitempty" min:"0.0001" max:"0.9999" why:"pinball: what it forecasts, ascending, such as [0.1, 0.5, 0.9]; the model has an output for each, and tables score the one nearest the median"`
	ClassWeights []float64 `json:"class_weights,omitempty" min:"0" max:"1000000" unit:"weight" why:"softmax, bce: what an error on each class weighs, one for each; left out = 1"`
}

// OptimizerSpec is the outer optimizer.
type OptimizerSpec struct {
	Name     string  `json:"name" default:"adam" enum:"adam|sgd" why:"adam needs no tuning on most families; sgd takes momentum"`
	Rate     float64 `json:"rate" default:"0.001" min:"0.000000000001" max:"100" why:"outer learning rate at the top of the schedule"`
	Momentum float64 `json:"momentum" default:"0.9" min:"0" max:"0.9999" why:"sgd only: share of the last update kept"`
	Beta1    float64 `json:"beta1" default:"0.9" min:"0" max:"0.9999" why:"adam: decay of the mean of gradients"`
	Beta2    float64 `json:"beta2" default:"0.999" min:"0" max:"0.99999999" why:"adam: decay of the mean of squared gradients"`
	Epsilon  float64 `json:"epsilon" default:"0.00000001" min:"0.000000000001" max:"1" why:"adam: keeps the division finite"`
	Clip     float64 `json:"clip" default:"10" min:"0" max:"1000000000" unit:"Euclidean norm" why:"a longer meta-gradient is scaled down to this length; 0 = never"`
	Schedule string  `json:"schedule" default:"cosine" enum:"constant|cosine" why:"cosine ends at rate x final, which settles the last steps"`
	Warmup   int64   `json:"warmup" default:"0" min:"0" max:"100000000" unit:"steps" why:"steps over which the rate rises linearly from 0"`
	Final    float64 `json:"final" default:"0.01" min:"0" max:"1" unit:"share of rate" why:"where the cosine schedule ends"`

	// StatisticsRate is left out of a spec's bytes where it is 0, as in specs from before there was one.
	StatisticsRate float64 `json:"statistics_rate,omitempty" default:"0" min:"0" max:"1" unit:"share" why:"how far tracked statistics (batch norm by stored ones) follow those of a step's tasks, outside Adam and clip; 0 = the usual 0.1"`
}

// CheckpointSpec says when state is saved. It cannot change bits and is outside the spec digest.
type CheckpointSpec struct {
	Every int64 `json:"every" default:"500" min:"1" max:"100000000" unit:"steps" why:"after a crash at most this many steps are computed again"`
	Keep  int   `json:"keep" default:"2" min:"1" max:"1000" unit:"checkpoints" why:"older ones are deleted"`
}

// ValidationSpec says how the published model is chosen: it is the one that validates best, not the last.
type ValidationSpec struct {
	Every    int64     `json:"every" default:"250" min:"1" max:"100000000" unit:"steps" why:"how often the base model is scored on validation tasks"`
	Tasks    int       `json:"tasks" default:"256" min:"1" max:"1000000" unit:"tasks" why:"the same unseen tasks each time, so that scores compare"`
	Adapt    []int     `json:"adapt" min:"0" max:"1000" unit:"inner steps" why:"score after each of these numbers of inner steps; empty = the learner's own way to adapt, once"`
	Targets  []float64 `json:"targets" min:"0.000000001" max:"1000000000" unit:"loss" why:"criterion = sum of loss after adapt[i] / targets[i]; empty = all 1"`
	Loss     string    `json:"loss" default:"outer" enum:"outer|mse|error" why:"outer: the run's outer loss; mse: mean squared error; error: share of samples given the wrong class"`
	Patience int       `json:"patience" default:"0" min:"0" max:"1000000" unit:"validations" why:"stop after so many without a better one; 0 = never"`
}

// EvaluationSpec is the cold-start table at the end of a run.
type EvaluationSpec struct {
	Table  bool    `json:"table" default:"true" why:"score the finished model on unseen members against the comparators"`
	Pooled bool    `json:"pooled" default:"true" why:"train the pooled model (no adaptation) with an equal budget, for two rows of the table; doubles the time"`
	Shots  []int   `json:"shots" default:"[0, 5, 10, 20, 50]" min:"0" max:"100000" unit:"samples" why:"rows of the table"`
	Tasks  int     `json:"tasks" default:"600" min:"1" max:"1000000" unit:"tasks" why:"families without series (sinusoid): unseen tasks scored"`
	Steps  []int   `json:"steps" default:"[1, 5, 10]" min:"0" max:"1000" unit:"inner steps" why:"families without series: score after these numbers of inner steps"`
	Score  float64 `json:"score" default:"0" min:"0" max:"1" unit:"share" why:"score only this last share of each series; 0 = all windows after the support"`
}

// RunSpec is one meta-training. It pins everything that can change a bit of the base model.
type RunSpec struct {
	Name       string         `json:"name"`
	Seed       uint64         `json:"seed"`
	Contract   string         `json:"contract"`
	Family     Section        `json:"family"`
	Model      Section        `json:"model"`
	Learner    Section        `json:"learner"`
	Inner      LossSpec       `json:"inner"`
	Outer      LossSpec       `json:"outer"`
	Optimizer  OptimizerSpec  `json:"optimizer"`
	MetaBatch  int            `json:"meta_batch"`
	Steps      int64          `json:"steps"`
	Checkpoint CheckpointSpec `json:"checkpoint"`
	Validation ValidationSpec `json:"validation"`
	Evaluation EvaluationSpec `json:"evaluation"`
	OnBadTask  string         `json:"on_bad_task"`
	// Audit is the share of shards that are computed twice, by workers of different processes, to find those that answer
	// wrongly. It cannot change bits and is outside the digest.
	Audit float64 `json:"audit,omitempty"`
	// Bits says whose results count: "" or "contract" those of workers that compute by Contract; BitsAny everybody's,
	// which puts the run outside G1.
	Bits string `json:"bits,omitempty"`
	// Engine computes the run: "" or "lane", which keeps the contract, or another by name, which needs BitsAny.
	Engine string `json:"engine,omitempty"`
	// Results says in what form the sums of shards travel; zero is float32.
	Results ResultsSpec `json:"results,omitzero"`
	// Workers says what the run wants of workers. Outside the digest.
	Workers WorkersSpec `json:"workers,omitzero"`
	// StallSeconds ends a run that folds no result for so long (G5). Outside the digest.
	StallSeconds int64 `json:"stall_seconds"`
	// Data is the SHA-256 of the packed data set, "" for a family that makes its own. Paths tells people where it came from.
	Data  string   `json:"data,omitempty"`
	Paths []string `json:"paths,omitempty"`
	// Shape is that of a sample, where the family's name and options alone don't tell it: it comes from the data, or from
	// a program of the user's own. Zero for load and sinusoid.
	Shape Shape `json:"shape,omitzero"`
	// Network is the model in full, where its name is of a program's own: so that the published model needs no such program.
	Network json.RawMessage `json:"network,omitempty"`
}

// Shape is what a sample of a family looks like. The zero value says nothing.
type Shape struct {
	In      []int `json:"in"`              // [features], [time][channels] or [height][width][channels]
	Extra   int   `json:"extra,omitempty"` // plain features after these
	Out     int   `json:"out"`             // targets of a sample, or classes
	Classes bool  `json:"classes,omitempty"`
}

// IsZero reports that nothing is said.
func (s Shape) IsZero() bool { return len(s.In) == 0 && s.Extra == 0 && s.Out == 0 && !s.Classes }

// Equal reports whether two shapes are the same.
func (s Shape) Equal(o Shape) bool {
	return slices.Equal(s.In, o.In) && s.Extra == o.Extra && s.Out == o.Out && s.Classes == o.Classes
}

var (
	nameForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ErrSpec is wrapped by every refusal of a RunSpec.
var ErrSpec = errors.New("spec refused")

// Validate refuses what no worker could run. Families, models and learners are checked by those who know them.
func (s *RunSpec) Validate() error {
	var errs []error
	bad := func(field, found, expected string) {
		errs = append(errs, fmt.Errorf("%w: %s: found %s, expected %s", ErrSpec, field, found, expected))
	}
	if !nameForm.MatchString(s.Name) {
		bad("name", fmt.Sprintf("%q", s.Name), "1 to 63 of a-z, 0-9, '_', '-', a letter or digit first")
	}
	if s.Contract != Contract {
		bad("contract", fmt.Sprintf("%q", s.Contract), fmt.Sprintf("%q; this build speaks no other", Contract))
	}
	for _, p := range []struct {
		name string
		sec  Section
	}{{"family", s.Family}, {"model", s.Model}, {"learner", s.Learner}} {
		if !nameForm.MatchString(p.sec.Name) {
			bad(p.name+".name", fmt.Sprintf("%q", p.sec.Name), "a name")
		}
		if len(p.sec.Options) > 0 && !json.Valid(p.sec.Options) {
			bad(p.name, "options that are no JSON", "an object")
		}
	}
	if len(s.Network) > 0 && !json.Valid(s.Network) {
		bad("network", "what is no JSON", "an object")
	}
	count := func(field string, v, lo, hi int64) {
		if v < lo || v > hi {
			bad(field, fmt.Sprint(v), fmt.Sprintf("%d to %d", lo, hi))
		}
	}
	count("meta_batch", int64(s.MetaBatch), 1, 1<<16)
	count("steps", s.Steps, 1, 1e9)
	count("checkpoint.every", s.Checkpoint.Every, 1, 1e9)
	count("checkpoint.keep", int64(s.Checkpoint.Keep), 1, 1000)
	count("validation.every", s.Validation.Every, 1, 1e9)
	count("validation.tasks", int64(s.Validation.Tasks), 1, 1e6)
	count("stall_seconds", s.StallSeconds, 1, 1e7)
	if n := len(s.Validation.Targets); n != 0 && n != len(s.Validation.Adapt) {
		bad("validation.targets", fmt.Sprintf("%d numbers", n), fmt.Sprintf("as many as validation.adapt has: %d", len(s.Validation.Adapt)))
	}
	if s.OnBadTask != "stop" && s.OnBadTask != "skip" {
		bad("on_bad_task", fmt.Sprintf("%q", s.OnBadTask), "stop or skip")
	}
	if s.Bits != "" && s.Bits != BitsContract && s.Bits != BitsAny {
		bad("bits", fmt.Sprintf("%q", s.Bits), BitsContract+" or "+BitsAny)
	}
	if s.Engine != "" && s.Engine != "lane" && s.Bits != BitsAny {
		bad("engine", fmt.Sprintf("%q with bits: %s", s.Engine, cmp.Or(s.Bits, BitsContract)), "bits: any beside it: only lane computes by "+Contract)
	}
	switch {
	case !(s.Audit >= 0 && s.Audit <= 1): // NaN too
		bad("audit", fmt.Sprint(s.Audit), "0 to 1")
	case s.Audit > 0 && s.OutsideG1():
		bad("audit", fmt.Sprintf("%v with bits: %s", s.Audit, BitsAny), "0, or no bits: any: results of unlike bits cannot be compared")
	}
	if c := s.Workers.Class; c != "" && !nameForm.MatchString(c) {
		bad("workers.class", fmt.Sprintf("%q", c), "a name, such as cpu or gpu")
	}
	s.Results.validate(bad)
	count("workers.weight", int64(s.Workers.Weight), 0, maxWeight)
	if s.Data != "" && !digestForm.MatchString(s.Data) {
		bad("data", fmt.Sprintf("%q", s.Data), "a SHA-256 in hex")
	}
	for _, d := range append(slices.Clone(s.Shape.In), s.Shape.Out) {
		if !s.Shape.IsZero() && (d < 1 || d > 1<<16 || len(s.Shape.In) > 3 || s.Shape.Extra < 0) {
			bad("shape", fmt.Sprintf("%+v", s.Shape), "one to three axes of 1 to 65536 and as many targets")
			break
		}
	}
	for i, v := range s.Validation.Targets {
		if !(v > 0 && v <= 1e9) {
			bad(fmt.Sprintf("validation.targets[%d]", i), fmt.Sprint(v), "above 0, up to 1e9")
		}
	}
	count("validation.patience", int64(s.Validation.Patience), 0, 1e6)
	s.Optimizer.validate(bad)
	return errors.Join(errs...)
}

// validate refuses what would make a step undefined.
func (o OptimizerSpec) validate(bad func(field, found, expected string)) {
	for _, p := range []struct {
		field  string
		v      float64
		lo, hi float64
	}{
		{"rate", o.Rate, 0, 100}, {"clip", o.Clip, 0, 1e9}, {"final", o.Final, 0, 1}, {"momentum", o.Momentum, 0, 0.9999},
		{"beta1", o.Beta1, 0, 0.9999}, {"beta2", o.Beta2, 0, 0.99999999}, {"warmup", float64(o.Warmup), 0, 1e8},
		{"statistics_rate", o.StatisticsRate, 0, 1},
	} {
		if !(p.v >= p.lo && p.v <= p.hi) { // NaN too
			bad("optimizer."+p.field, fmt.Sprint(p.v), fmt.Sprintf("%g to %g", p.lo, p.hi))
		}
	}
	if o.Rate == 0 {
		bad("optimizer.rate", "0", "above 0: nothing would be learned")
	}
	switch {
	case o.Name != "adam" && o.Name != "sgd":
		bad("optimizer.name", fmt.Sprintf("%q", o.Name), "adam or sgd")
	case o.Name == "adam" && !(o.Epsilon >= 1e-12 && o.Epsilon <= 1):
		bad("optimizer.epsilon", fmt.Sprint(o.Epsilon), "1e-12 to 1")
	}
	if o.Schedule != "constant" && o.Schedule != "cosine" {
		bad("optimizer.schedule", fmt.Sprintf("%q", o.Schedule), "constant or cosine")
	}
}

// Digest is the SHA-256 of everything in the spec that can change bits: no name, paths or saving habits.
func (s RunSpec) Digest() string {
	s.Name, s.Paths, s.Checkpoint, s.StallSeconds, s.Workers, s.Audit = "", nil, CheckpointSpec{}, 0, WorkersSpec{}, 0
	for _, list := range []*[]int{&s.Validation.Adapt, &s.Evaluation.Shots, &s.Evaluation.Steps} {
		if len(*list) == 0 {
			*list = nil // null and [] are the same spec
		}
	}
	if len(s.Validation.Targets) == 0 {
		s.Validation.Targets = nil
	}
	if s.Bits == BitsContract {
		s.Bits = ""
	}
	if s.Engine == "lane" {
		s.Engine = ""
	}
	data, err := json.Marshal(s)
	if err != nil { // every field is plain data and Options was validated
		panic(fmt.Sprintf("metatrain: marshal a validated spec: %v", err))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// RunID names the run of this spec: the same spec under the same name is one run. Generation counts `--fresh`, from 0.
func (s RunSpec) RunID(generation int) string {
	id := s.Name + "-" + s.Digest()[:10]
	if generation > 0 {
		id = fmt.Sprintf("%s-g%d", id, generation)
	}
	return id
}

// EncodeSpec gives the stored form of a spec: one JSON document, which is YAML too.
func EncodeSpec(s RunSpec) []byte {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("metatrain: marshal a validated spec: %v", err))
	}
	return append(data, '\n')
}

// DecodeSpec reads the stored form and validates it.
func DecodeSpec(data []byte) (RunSpec, error) {
	var s RunSpec
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("%w: decode: %v", ErrSpec, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return s, fmt.Errorf("%w: decode: more than one document", ErrSpec)
	}
	for name, raw := range map[string]*json.RawMessage{"family": &s.Family.Options, "model": &s.Model.Options, "learner": &s.Learner.Options, "network": &s.Network} {
		if len(*raw) == 0 {
			continue
		}
		var tight bytes.Buffer
		if err := json.Compact(&tight, *raw); err != nil {
			return s, fmt.Errorf("%w: options of %s: %v", ErrSpec, name, err)
		}
		*raw = tight.Bytes()
	}
	return s, s.Validate()
}

// Tracks is how many models the run trains one after another: the base model and, where asked for, the pooled one.
func (s *RunSpec) Tracks() int {
	if s.Evaluation.Table && s.Evaluation.Pooled {
		return 2
	}
	return 1
}

// metrics is how many metrics a result of this kind carries; 0: it does not matter.
func (s *RunSpec) metrics(kind Kind, track int) int {
	switch {
	case kind == Validate && track == 0:
		return max(1, len(s.Validation.Adapt))
	case kind == Train || kind == Validate: // the pooled model is scored as it is
		return 1
	}
	return 0
}

// Criterion folds the validation metrics (sums over tasks) into the number by which models are compared: lower is better.
func (s *RunSpec) Criterion(sums []float64, tasks int) float64 {
	total := 0.0
	for i, sum := range sums {
		target := 1.0
		if i < len(s.Validation.Targets) {
			target = s.Validation.Targets[i]
		}
		total += float64(sum / float64(tasks) / target)
	}
	return total
}
