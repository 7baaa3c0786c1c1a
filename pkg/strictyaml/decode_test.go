package strictyaml

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

type opt struct {
	Name string  `json:"name" default:"adam" enum:"adam|sgd" why:"adam needs no tuning"`
	Rate float64 `json:"rate" default:"0.001" min:"0" max:"100" unit:"per step" why:"outer learning rate"`
	Tiny float32 `json:"tiny" default:"0.1" max:"0.1" why:"a bound that no binary fraction meets exactly"`
}

type common struct {
	Note string `json:"note" default:"" why:"words for people"`
}

type spec struct {
	common
	Name    string    `json:"name" why:"what the model is called"`
	Seed    uint64    `json:"seed" default:"1" why:"other seeds, other bits"`
	Steps   int64     `json:"steps" default:"10000" min:"1" max:"100000000" unit:"steps" why:"length of the run"`
	Small   int8      `json:"small" default:"0" why:"a narrow kind"`
	Table   bool      `json:"table" default:"true" why:"print the table"`
	Opt     opt       `json:"optimizer"`
	Second  opt       `json:"second" default:"{name: sgd, rate: 0.5}"`
	Family  Section   `json:"family" default:"load" enum:"load|sinusoid" why:"where tasks come from"`
	Model   Section   `json:"model" default:"{name: mlp, hidden: [40, 40]}" why:"what is trained"`
	Shots   []int     `json:"shots" default:"[0, 5]" min:"0" max:"1000" unit:"samples" why:"rows of the table"`
	Targets []float64 `json:"targets" min:"0.001" why:"criterion"`
	Paths   []string  `json:"paths,omitempty" why:"folders of traces"`
	Hidden  string    `json:"-"`
	private int       //lint:ignore U1000 unexported fields are no keys
}

type load struct {
	Path  []string `json:"path" default:"[]" why:"folders of CSV files"`
	Shots int      `json:"shots" default:"10" min:"0" max:"100" why:"support samples"`
}

type mlp struct {
	Name   string `json:"name" default:"mlp" why:"kind of model"`
	Hidden []int  `json:"hidden" default:"[8]" min:"1" max:"4096" unit:"units" why:"width of each layer"`
}

func parsed(t *testing.T, text string) *Doc {
	t.Helper()
	d, err := Parse("spec.yaml", []byte(text))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return d
}

func decoded(t *testing.T, text string) spec {
	t.Helper()
	var s spec
	if err := parsed(t, text).Decode(&s); err != nil {
		t.Fatalf("Decode: %v", err)
	}
	return s
}

// TestDecode_Defaults: an empty document gives every default, those of a struct's own tag above its fields'.
func TestDecode_Defaults(t *testing.T) {
	for _, text := range []string{"", "# only a comment\n", "---\n", "optimizer:\nfamily:\n"} {
		s := decoded(t, text)
		if s.Steps != 10000 || s.Seed != 1 || !s.Table || s.Opt != (opt{"adam", 0.001, 0.1}) || s.Second != (opt{"sgd", 0.5, 0.1}) ||
			s.Family.Name != "load" || s.Model.Name != "mlp" || !reflect.DeepEqual(s.Shots, []int{0, 5}) || s.Targets != nil {
			t.Errorf("%q: found %+v", text, s)
		}
	}
}

// TestDecode_Values: what is written is what arrives, to the last bit.
func TestDecode_Values(t *testing.T) {
	s := decoded(t, `
name: 2024            # text needs no quotes
note: &words "on"
seed: 18446744073709551615
steps: +7
small: -128
table: false
optimizer: {name: sgd, rate: 1e-3, tiny: -0.0}
second: {rate: 100}
family: sinusoid
shots: 3
targets: [.5, 1., 1E2, 7]
paths: [~/a, b c, *words]
`)
	want := spec{common: common{"on"}, Name: "2024", Seed: math.MaxUint64, Steps: 7, Small: -128, Opt: opt{"sgd", 0.001, 0},
		Second: opt{"sgd", 100, 0.1}, Family: s.Family, Model: s.Model, Shots: []int{3}, Targets: []float64{0.5, 1, 100, 7}, Paths: []string{"~/a", "b c", "on"}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("found %+v\nexpected %+v", s, want)
	}
	if s.Family.Name != "sinusoid" || math.Signbit(float64(s.Opt.Tiny)) {
		t.Errorf("family %q, sign of -0.0 kept: %v", s.Family.Name, math.Signbit(float64(s.Opt.Tiny)))
	}
}

// TestDecode_AbsentWithoutDefaultKept: a field with neither key nor default keeps the caller's value.
func TestDecode_AbsentWithoutDefaultKept(t *testing.T) {
	s := spec{Name: "mine", Steps: 3}
	if err := parsed(t, "").Decode(&s); err != nil || s.Name != "mine" || s.Steps != 10000 {
		t.Errorf("found name %q, steps %d, error %v", s.Name, s.Steps, err)
	}
}

// TestG7_DecodeErrors holds the text of each refusal.
func TestG7_DecodeErrors(t *testing.T) {
	keys := "known keys: name, rate, tiny"
	for text, want := range map[string]string{
		"\noptimizer:\n  rat: 1":            `spec.yaml:3: optimizer.rat: unknown key; did you mean "rate"? ` + keys,
		"optimizer: {zzzzzz: 1}":            `spec.yaml:1: optimizer.zzzzzz: unknown key; ` + keys,
		"optimizer: {\"a\\e[2J\\nb\": 1}":   `spec.yaml:1: optimizer."a\x1b[2J\nb": unknown key; ` + keys,
		"\n\nsteps: abc":                    `spec.yaml:3: steps: found "abc", expected a whole number`,
		"steps: 0":                          `spec.yaml:1: steps: 0 is out of range, expected 1 to 100000000`,
		"steps: 99999999999999999999":       `spec.yaml:1: steps: 99999999999999999999 is out of range, expected 1 to 100000000`,
		"steps: 1e3":                        `spec.yaml:1: steps: found "1e3", expected a whole number; write 1000`,
		"steps: 10.0":                       `spec.yaml:1: steps: found "10.0", expected a whole number; write 10`,
		"steps: 1_000":                      `spec.yaml:1: steps: found "1_000", expected a whole number; write 1000`,
		"steps: 0x10":                       `spec.yaml:1: steps: found "0x10", expected a whole number; write 16`,
		"steps: 010":                        `spec.yaml:1: steps: found "010", expected a whole number; write 10`,
		"steps: 1.5":                        `spec.yaml:1: steps: found "1.5", expected a whole number`,
		"steps: '5'":                        `spec.yaml:1: steps: found "5", expected a whole number; remove the quotes`,
		"steps:":                            `spec.yaml:1: steps: found nothing, expected a whole number; leave the key out for its default, 10000`,
		"steps: [1]":                        `spec.yaml:1: steps: found a list, expected a whole number`,
		"steps: {a: 1}":                     `spec.yaml:1: steps: found a mapping, expected a whole number`,
		"small: 128":                        `spec.yaml:1: small: 128 is out of range, expected -128 to 127`,
		"seed: -1":                          `spec.yaml:1: seed: -1 is out of range, expected 0 to 18446744073709551615`,
		"seed: 18446744073709551616":        `spec.yaml:1: seed: 18446744073709551616 is out of range, expected 0 to 18446744073709551615`,
		"seed: 1e3":                         `spec.yaml:1: seed: found "1e3", expected a whole number; write 1000`,
		"table: yes":                        `spec.yaml:1: table: found "yes", expected true or false; write true`,
		"table: Off":                        `spec.yaml:1: table: found "Off", expected true or false; write false`,
		"table: 7":                          `spec.yaml:1: table: found "7", expected true or false`,
		"name: null":                        `spec.yaml:1: name: found nothing, expected text; put it in quotes if it is meant as text`,
		"name: [a]":                         `spec.yaml:1: name: found a list, expected text`,
		"optimizer: {name: adm}":            `spec.yaml:1: optimizer.name: found "adm", expected one of adam, sgd; did you mean "adam"?`,
		"optimizer: {rate: .nan}":           `spec.yaml:1: optimizer.rate: found .nan, expected a finite number`,
		"optimizer: {rate: -.INF}":          `spec.yaml:1: optimizer.rate: found -.INF, expected a finite number`,
		"optimizer: {rate: 1e999}":          `spec.yaml:1: optimizer.rate: 1e999 is out of range, expected 0 to 100`,
		"optimizer: {rate: -0.1}":           `spec.yaml:1: optimizer.rate: -0.1 is out of range, expected 0 to 100`,
		"optimizer: {rate: 1e-999}":         `spec.yaml:1: optimizer.rate: 1e-999 is too small, expected 0 or at least 5e-324 in size`,
		"optimizer: {tiny: 1e-99}":          `spec.yaml:1: optimizer.tiny: 1e-99 is too small, expected 0 or at least 1e-45 in size`,
		"optimizer: {tiny: 0.2}":            `spec.yaml:1: optimizer.tiny: 0.2 is out of range, expected at most 0.1`,
		"optimizer:\n  rate: 0,1":           `spec.yaml:2: optimizer.rate: found "0,1", expected a number; write 0.1`,
		"optimizer: {rate: 0x1p-2}":         `spec.yaml:1: optimizer.rate: found "0x1p-2", expected a number`,
		"optimizer: sgd":                    `spec.yaml:1: optimizer: found "sgd", expected a mapping with keys name, rate, tiny`,
		"shots: [1, x, 2000]":               "spec.yaml:1: shots[1]: found \"x\", expected a whole number\nspec.yaml:1: shots[2]: 2000 is out of range, expected 0 to 1000",
		"shots: {a: 1}":                     `spec.yaml:1: shots: found a mapping, expected a whole number or a list`,
		"shots:":                            `spec.yaml:1: shots: found nothing, expected a whole number; leave the key out for its default; [] is the empty list`,
		"targets: [0]":                      `spec.yaml:1: targets[0]: 0 is out of range, expected 0.001 or more`,
		"family: laod":                      `spec.yaml:1: family: found "laod", expected one of load, sinusoid; did you mean "load"?`,
		"family: [load]":                    `spec.yaml:1: family: found a list, expected a name or a mapping with one`,
		"family: {name: [x]}":               `spec.yaml:1: family.name: found a list, expected a name; known names: load, sinusoid`,
		"model: {name: }":                   `spec.yaml:1: model.name: found nothing, expected a name`,
		"rate: 1":                           `did you mean "optimizer.rate"? known keys: note, name, seed, steps,`,
		"steps: " + strings.Repeat("x", 99): `found "` + strings.Repeat("x", 37) + `...", expected`,
		"shots: [" + strings.Repeat("x,", 100) + "x]": "\nand 81 more",
	} {
		var s spec
		err := parsed(t, text).Decode(&s)
		if err == nil || !matches(err.Error(), want) {
			t.Errorf("%q:\nfound    %v\nexpected %s", text, err, want)
		}
		var f *Fault
		if !errors.As(err, &f) {
			t.Errorf("%q: found a %T, expected a *Fault within", text, err)
		}
	}
}

// matches wants the whole text where want begins with a place, a part of it otherwise.
func matches(found, want string) bool {
	if strings.HasPrefix(want, "spec.yaml") || strings.HasPrefix(want, "--set") {
		return found == want
	}
	return strings.Contains(found, want)
}

// TestDecode_AllAtOnce: one run shows every mistake, in the order of the lines.
func TestDecode_AllAtOnce(t *testing.T) {
	var s spec
	err := parsed(t, "step: 1\nseed: x\noptimizer:\n  rate: y\ntable: no\n").Decode(&s)
	if got := fmt.Sprint(err); strings.Count(got, "\n") != 3 || strings.Index(got, ":1:") > strings.Index(got, ":2:") || strings.Index(got, ":4:") > strings.Index(got, ":5:") {
		t.Errorf("found:\n%v\nexpected one line each for lines 1, 2, 4, 5", err)
	}
}

// TestDecode_Target: a wrong Go value is an error, not a panic.
func TestDecode_Target(t *testing.T) {
	d := parsed(t, "a: 1")
	for _, into := range []any{nil, spec{}, (*spec)(nil), new(int)} {
		if err := d.Decode(into); err == nil {
			t.Errorf("%T: found no error", into)
		}
	}
	var odd struct {
		A map[string]int `json:"a" why:"no kind of ours"`
	}
	if err := d.Decode(&odd); err == nil || !strings.Contains(err.Error(), "Go type map[string]int cannot be decoded") {
		t.Errorf("found %v", err)
	}
}

// TestSection_Decode: a section's keys are decoded by who knows its name, name allowed with or without a field.
func TestSection_Decode(t *testing.T) {
	d := parsed(t, "family:\n  name: load\n  path: data\n  shots: 3\nmodel:\n  hidden: [5]\n")
	var s spec
	var l load
	var m mlp
	if err := errors.Join(d.Decode(&s), d.DecodeSection(s.Family, &l), d.DecodeSection(s.Model, &m)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(l, load{[]string{"data"}, 3}) || !reflect.DeepEqual(m, mlp{"mlp", []int{5}}) {
		t.Errorf("found %+v, %+v", l, m)
	}
	if err := d.DecodeSection(Section{Name: "load"}, &l); err != nil || l.Shots != 10 {
		t.Errorf("made by hand: %+v, %v", l, err)
	}
	s = decoded(t, "model: gru\nfamily: load")
	if err := d.DecodeSection(s.Model, &m); err != nil || !reflect.DeepEqual(m, mlp{"gru", []int{8}}) {
		t.Errorf("the default's options went to another name: %+v, %v", m, err)
	}
}

// TestSection_Errors: the path of the section and the line of the key.
func TestSection_Errors(t *testing.T) {
	for text, want := range map[string]string{
		"family:\n  name: load\n  shot: 3":     `spec.yaml:3: family.shot: unknown key for load; did you mean "shots"? known keys: name, path, shots`,
		"family:\n  shots: 101":                `spec.yaml:2: family.shots: 101 is out of range, expected 0 to 100`,
		"family:\n  name: load\n  path: [[a]]": `spec.yaml:3: family.path[0]: found a list, expected text or a list`,
	} {
		d := parsed(t, text)
		var s spec
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		if err := d.DecodeSection(s.Family, new(load)); fmt.Sprint(err) != want {
			t.Errorf("%q:\nfound    %v\nexpected %s", text, err, want)
		}
	}
	var open struct {
		Learner Section `json:"learner" why:"no default"`
	}
	err := parsed(t, "learner:\n  steps: 3").Decode(&open)
	if fmt.Sprint(err) != "spec.yaml:1: learner: found a mapping without name, expected one" {
		t.Errorf("found %v", err)
	}
	if err := parsed(t, "").Decode(&open); err != nil || open.Learner.Name != "" {
		t.Errorf("absent: %+v, %v", open, err)
	}
}

// TestDecode_UnsignedBounds: both bounds of an unsigned field hold, and the missing one reads as 0.
func TestDecode_UnsignedBounds(t *testing.T) {
	var s struct {
		Cap  uint16 `json:"cap" max:"9" why:"one bound"`
		Both uint64 `json:"both" min:"2" max:"4" why:"two bounds"`
	}
	for text, want := range map[string]string{
		"cap: 9\nboth: 4": "<nil>",
		"cap: -0":         "<nil>",
		"cap: 10":         "spec.yaml:1: cap: 10 is out of range, expected 0 to 9",
		"cap: 65536":      "spec.yaml:1: cap: 65536 is out of range, expected 0 to 9",
		"both: 1":         "spec.yaml:1: both: 1 is out of range, expected 2 to 4",
		"both: 5":         "spec.yaml:1: both: 5 is out of range, expected 2 to 4",
	} {
		if err := parsed(t, text).Decode(&s); fmt.Sprint(err) != want {
			t.Errorf("%q:\nfound    %v\nexpected %s", text, err, want)
		}
	}
}
