package metatrain

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestG7_SpecIsRefusedByField(t *testing.T) {
	good := testSpec()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for field, alter := range map[string]func(*RunSpec){
		"name":                  func(s *RunSpec) { s.Name = "No/Name" },
		"contract":              func(s *RunSpec) { s.Contract = "lane/0" },
		"family.name":           func(s *RunSpec) { s.Family.Name = "" },
		"learner":               func(s *RunSpec) { s.Learner.Options = []byte("{") },
		"meta_batch":            func(s *RunSpec) { s.MetaBatch = 0 },
		"steps":                 func(s *RunSpec) { s.Steps = 2e9 },
		"checkpoint.every":      func(s *RunSpec) { s.Checkpoint.Every = 0 },
		"checkpoint.keep":       func(s *RunSpec) { s.Checkpoint.Keep = 0 },
		"validation.every":      func(s *RunSpec) { s.Validation.Every = -1 },
		"validation.tasks":      func(s *RunSpec) { s.Validation.Tasks = 0 },
		"validation.patience":   func(s *RunSpec) { s.Validation.Patience = -1 },
		"validation.targets":    func(s *RunSpec) { s.Validation.Targets = []float64{1, 2} },
		"validation.targets[0]": func(s *RunSpec) { s.Validation.Adapt, s.Validation.Targets = []int{1}, []float64{0} },
		"stall_seconds":         func(s *RunSpec) { s.StallSeconds = 0 },
		"on_bad_task":           func(s *RunSpec) { s.OnBadTask = "retry" },
		"engine":                func(s *RunSpec) { s.Engine = "gorgonia" },
		"data":                  func(s *RunSpec) { s.Data = "abc" },
		"optimizer.name":        func(s *RunSpec) { s.Optimizer.Name = "lion" },
		"optimizer.rate":        func(s *RunSpec) { s.Optimizer.Rate = math.NaN() },
		"optimizer.clip":        func(s *RunSpec) { s.Optimizer.Clip = math.Inf(1) },
		"optimizer.final":       func(s *RunSpec) { s.Optimizer.Final = -1 },
		"optimizer.momentum":    func(s *RunSpec) { s.Optimizer.Momentum = 1 },
		"optimizer.beta1":       func(s *RunSpec) { s.Optimizer.Beta1 = 1 },
		"optimizer.beta2":       func(s *RunSpec) { s.Optimizer.Beta2 = 1 },
		"optimizer.epsilon":     func(s *RunSpec) { s.Optimizer.Epsilon = 0 },
		"optimizer.schedule":    func(s *RunSpec) { s.Optimizer.Schedule = "step" },
		"optimizer.warmup":      func(s *RunSpec) { s.Optimizer.Warmup = -1 },
	} {
		s := testSpec()
		alter(&s)
		err := s.Validate()
		if !errors.Is(err, ErrSpec) || !strings.Contains(err.Error(), field+": found") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// The digest covers what can change bits and nothing else; the run's id is name and digest.
func TestG1_DigestCoversWhatChangesBits(t *testing.T) {
	base := testSpec()
	for name, alter := range map[string]func(*RunSpec){
		"name":       func(s *RunSpec) { s.Name = "other" },
		"paths":      func(s *RunSpec) { s.Paths = []string{"a"} },
		"checkpoint": func(s *RunSpec) { s.Checkpoint = CheckpointSpec{9, 9} },
		"stall":      func(s *RunSpec) { s.StallSeconds = 5 },
		"empty": func(s *RunSpec) {
			s.Validation.Adapt, s.Validation.Targets, s.Evaluation.Shots = []int{}, []float64{}, []int{}
		},
	} {
		s := testSpec()
		alter(&s)
		if s.Digest() != base.Digest() {
			t.Errorf("%s changes the digest", name)
		}
	}
	for name, alter := range map[string]func(*RunSpec){
		"seed":       func(s *RunSpec) { s.Seed++ },
		"contract":   func(s *RunSpec) { s.Contract = "lane/2" },
		"family":     func(s *RunSpec) { s.Family.Options = []byte(`{"a":1}`) },
		"optimizer":  func(s *RunSpec) { s.Optimizer.Rate *= 2 },
		"meta_batch": func(s *RunSpec) { s.MetaBatch++ },
		"steps":      func(s *RunSpec) { s.Steps++ },
		"validation": func(s *RunSpec) { s.Validation.Every++ },
		"adapt":      func(s *RunSpec) { s.Validation.Adapt = []int{1} },
		"pooled":     func(s *RunSpec) { s.Evaluation.Pooled = true },
		"on_bad":     func(s *RunSpec) { s.OnBadTask = "stop" },
		"data":       func(s *RunSpec) { s.Data = Digest(nil) },
	} {
		s := testSpec()
		alter(&s)
		if s.Digest() == base.Digest() {
			t.Errorf("%s does not change the digest", name)
		}
	}
	if id := base.RunID(0); id != "base-"+base.Digest()[:10] || base.RunID(2) != id+"-g2" {
		t.Errorf("ids %s, %s", id, base.RunID(2))
	}
}

func TestSpec_StoredFormKeepsDigestAndRefusesTheUnknown(t *testing.T) {
	s := testSpec()
	s.Family.Options = []byte(`{"b": 1, "a" : [1, 2]}`)
	s.Paths = []string{"x"}
	back, err := DecodeSpec(EncodeSpec(s))
	if err != nil || back.Digest() != s.Digest() || string(EncodeSpec(back)) != string(EncodeSpec(s)) {
		t.Errorf("%v, %v", back, err)
	}
	stored := string(EncodeSpec(s))
	for name, text := range map[string]string{
		"unknown key":   strings.Replace(stored, `"seed"`, `"sead"`, 1),
		"nested key":    strings.Replace(stored, `"every"`, `"evry"`, 1),
		"two documents": stored + "{}",
		"torn":          stored[:len(stored)/2],
		"wrong type":    strings.Replace(stored, `"seed": 5`, `"seed": "five"`, 1),
		"":              "",
	} {
		if _, err := DecodeSpec([]byte(text)); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSpec_CriterionWeighsByTargets(t *testing.T) {
	s := testSpec()
	s.Validation.Adapt, s.Validation.Targets = []int{1, 5}, []float64{0.5, 2}
	if got := s.Criterion([]float64{8, 8}, 4); got != 2/0.5+2/2.0 {
		t.Errorf("criterion %v", got)
	}
	if got := (&RunSpec{}).Criterion([]float64{8, 4}, 4); got != 3 {
		t.Errorf("without targets %v", got)
	}
}

func FuzzDecodeSpec(f *testing.F) {
	f.Add(EncodeSpec(testSpec()))
	f.Add([]byte(`{"name":"a"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeSpec(data)
		if err != nil {
			return
		}
		back, err := DecodeSpec(EncodeSpec(s))
		if err != nil || back.Digest() != s.Digest() {
			t.Errorf("%v: %q came back as %q", err, EncodeSpec(s), EncodeSpec(back))
		}
	})
}
