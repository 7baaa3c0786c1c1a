package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
)

func set(t *testing.T, d *Doc, path, value string) {
	t.Helper()
	if err := d.Set(path, value); err != nil {
		t.Fatalf("Set(%q, %q): %v", path, value, err)
	}
}

// TestSet_Values: a value stands above the document's, parents are made, flow values are YAML, others literal.
func TestSet_Values(t *testing.T) {
	d := parsed(t, "steps: 5\nfamily: load\n")
	set(t, d, "steps", " 7 ")
	set(t, d, "optimizer.rate", "0.5")
	set(t, d, "family.path", "[a, 'b c']")
	set(t, d, "note", "x: y #z *w")
	set(t, d, "name", "")
	set(t, d, "shots", "[1]")
	set(t, d, "shots", "2")
	set(t, d, "second", "{rate: 3}")
	var s spec
	var l load
	if err := errors.Join(d.Decode(&s), d.DecodeSection(s.Family, &l)); err != nil {
		t.Fatal(err)
	}
	if s.Steps != 7 || s.Opt.Rate != 0.5 || s.Note != "x: y #z *w" || s.Name != "" || !reflect.DeepEqual(s.Shots, []int{2}) || s.Second != (opt{"sgd", 3, 0.1}) {
		t.Errorf("found %+v", s)
	}
	if s.Family.Name != "load" || !reflect.DeepEqual(l.Path, []string{"a", "b c"}) {
		t.Errorf("found family %q, %+v", s.Family.Name, l)
	}
}

// A flag that stands for a key is what people typed, so that is what the error names.
func TestG7_SetAsNamesTheFlag(t *testing.T) {
	d := parsed(t, "family: load\n")
	err := d.SetAs("--shot 3", "family.shot", "3")
	var s spec
	if err == nil {
		err = d.Decode(&s)
	}
	if err == nil {
		err = d.DecodeSection(s.Family, new(load))
	}
	if want := `--shot 3: family.shot: unknown key for load; did you mean "shots"? known keys: name, path, shots`; fmt.Sprint(err) != want {
		t.Errorf("found    %v\nexpected %s", err, want)
	}
}

// TestG7_SetErrors: the remedy lies in the command line, so that is what the error names.
func TestG7_SetErrors(t *testing.T) {
	for _, c := range []struct{ path, value, want string }{
		{"steps", "1e3", `--set steps=1e3: steps: found "1e3", expected a whole number; write 1000`},
		{"steps.x", "1", `--set steps.x=1: steps: found a mapping, expected a whole number`},
		{"optimizer.rat", "1", `--set optimizer.rat=1: optimizer.rat: unknown key; did you mean "rate"? known keys: name, rate, tiny`},
		{"shots", "[1, x]", `--set shots=[1, x]: shots[1]: found "x", expected a whole number`},
		{"shots", "[1", `--set shots=[1: not YAML: did not find expected ',' or ']'`},
		{"second", "{a: 1, a: 2}", `--set second={a: 1, a: 2}: a: key given twice, first at line 1`},
		{"a..b", "1", `--set a..b=1: found the path "a..b", expected KEY or KEY.KEY`},
		{"", "1", `--set =1: found the path "", expected KEY or KEY.KEY`},
		{"family", "laod", `--set family=laod: family: found "laod", expected one of load, sinusoid; did you mean "load"?`},
	} {
		d := parsed(t, "steps: 5\n")
		err := d.Set(c.path, c.value)
		if err == nil {
			err = d.Decode(new(spec))
		}
		if fmt.Sprint(err) != c.want {
			t.Errorf("found    %v\nexpected %s", err, c.want)
		}
	}
}

// TestUnderlay: the user's keys stay, what is missing comes from below, and a section of another name stands alone.
func TestUnderlay(t *testing.T) {
	below := parsed(t, "name: below\nsteps: 9\nnote: words\nfamily: {name: load, shots: 7, path: [p]}\nmodel: {name: mlp, hidden: [3]}\noptimizer: {rate: 0.2}\nshots: [1, 2]\n")
	for _, c := range []struct {
		text  string
		shots int
	}{{"family: load", 7}, {"family:", 7}, {"family: {shots: 4}", 4}, {"family: {name: load, path: q}", 7}, {"", 7}} {
		d := parsed(t, "name: mine\nmodel: gru\noptimizer: {tiny: 0}\nshots: 5\n"+c.text)
		d.Underlay(below)
		var s spec
		var l load
		if err := errors.Join(d.Decode(&s), d.DecodeSection(s.Family, &l)); err != nil {
			t.Fatalf("%q: %v", c.text, err)
		}
		if s.Name != "mine" || s.Steps != 9 || s.Note != "words" || s.Opt != (opt{"adam", 0.2, 0}) || !reflect.DeepEqual(s.Shots, []int{5}) {
			t.Errorf("%q: found %+v", c.text, s)
		}
		m := mlp{}
		if err := d.DecodeSection(s.Model, &m); err != nil || !reflect.DeepEqual(m, mlp{"gru", []int{8}}) || l.Shots != c.shots {
			t.Errorf("%q: found %+v, %+v, %v", c.text, m, l, err)
		}
	}
	if below.Has("family.x") || len(below.root.pairs) != 7 {
		t.Error("the document below changed")
	}
}

// TestUnderlay_SharesNothingThatChanges: documents share nodes, so a later edit of one must not reach another.
func TestUnderlay_SharesNothingThatChanges(t *testing.T) {
	base := parsed(t, "a: {b: {c: 1}}\n")
	d := parsed(t, "")
	d.Underlay(base)
	d.Underlay(parsed(t, "a: {b: {d: 2}, e: 3}\n"))
	set(t, d, "a.b.c", "4")
	if !d.Has("a.b.d") || !d.Has("a.e") || base.Has("a.b.d") || base.Has("a.e") || base.root.get("a").get("b").get("c").text != "1" {
		t.Errorf("found base %s, document %s", base.root.shortText(), d.root.shortText())
	}
}

// TestErrorf: a check beyond tags names the line of the value, or of the nearest mapping around it.
func TestErrorf(t *testing.T) {
	d := parsed(t, "steps: 5\nvalidation:\n  adapt: [1]\n")
	for path, want := range map[string]string{
		"validation.adapt":   "spec.yaml:3: validation.adapt: is odd",
		"validation.targets": "spec.yaml:2: validation.targets: is odd",
		"other":              "spec.yaml: other: is odd",
	} {
		if err := d.Errorf(path, "is %s", "odd"); err.Error() != want {
			t.Errorf("found %v, expected %s", err, want)
		}
	}
	set(t, d, "validation.targets", "3")
	if err := d.Errorf("validation.targets", "is odd"); err.Error() != "--set validation.targets=3: validation.targets: is odd" {
		t.Errorf("found %v", err)
	}
	if !d.Has("validation.targets") || d.Has("validation.tasks") || d.Has("steps.x") || d.Has("") {
		t.Error("Has disagrees with the document")
	}
}
