package strictyaml

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestCheckTags_Good: the structs of these tests are described as the documentation asks.
func TestCheckTags_Good(t *testing.T) {
	for _, s := range []any{spec{}, &load{}, mlp{}, opt{}} {
		if err := CheckTags(s); err != nil {
			t.Errorf("%T: %v", s, err)
		}
	}
}

// TestCheckTags_Bad: each mistake in a tag is found.
func TestCheckTags_Bad(t *testing.T) {
	for _, c := range []struct {
		described any
		want      string
	}{
		{7, "found a int, expected a struct"},
		{nil, "found a <nil>, expected a struct"},
		{struct{ A int }{}, `.A: no json tag; json:"-" keeps it out`},
		{struct {
			A int `json:"a"`
		}{}, "no why"},
		{struct {
			A map[string]int `json:"a" why:"x"`
		}{}, "Go type map[string]int cannot be decoded"},
		{struct {
			A []Section `json:"a" why:"x"`
		}{}, "cannot be decoded"},
		{struct {
			A int `json:"a" defualt:"3" why:"x"`
		}{}, `unknown tag "defualt"`},
		{struct {
			A int `json:"a" min:"x" why:"x"`
		}{}, `min: found "x", expected a whole number`},
		{struct {
			A int `json:"a" min:"3" max:"2" why:"x"`
		}{}, "max is below min"},
		{struct {
			A uint8 `json:"a" max:"256" why:"x"`
		}{}, "256 is out of range, expected 0 to 255"},
		{struct {
			A string `json:"a" max:"2" why:"x"`
		}{}, "min or max on text"},
		{struct {
			A int `json:"a" enum:"1|2" why:"x"`
		}{}, "enum on a whole number"},
		{struct {
			A string `json:"a" enum:"x||x" why:"x"`
		}{}, "is empty or given twice"},
		{struct {
			A int `json:"a" default:"3" max:"2" why:"x"`
		}{}, "3 is out of range, expected at most 2"},
		{struct {
			A []int `json:"a" default:"[1, x]" why:"x"`
		}{}, `a[1]: found "x"`},
		{struct {
			A []string `json:"a" default:"" why:"x"`
		}{}, "[] is the empty one"},
		{struct {
			A Section `json:"a" default:"c" enum:"a|b" why:"x"`
		}{}, "expected one of a, b"},
		{struct {
			A opt `json:"a" default:"{rat: 1}"`
		}{}, "unknown key"},
		{struct {
			A opt `json:"a" default:"adam"`
		}{}, "expected a mapping in braces"},
		{reflect.New(reflect.StructOf([]reflect.StructField{ // built, since vet refuses to see it written
			{Name: "A", Type: reflect.TypeFor[int](), Tag: `json:"a" why:"x"`},
			{Name: "B", Type: reflect.TypeFor[int](), Tag: `json:"a" why:"x"`},
		})).Interface(), "key a given twice"},
		{struct {
			In struct {
				A int `json:"a"`
			} `json:"in"`
		}{}, ".In.A: no why"},
	} {
		if err := CheckTags(c.described); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%T:\nfound    %v\nexpected %s", c.described, err, c.want)
		}
	}
}

var groups = []Group{
	{Title: "RunSpec", Struct: spec{}},
	{Path: "family", Name: "load", Title: "tasks from traces of many jobs", Struct: &load{}},
	{Path: "family", Name: "sinusoid", Struct: struct{}{}},
	{Path: "model", Name: "mlp", Title: "fully connected", Struct: mlp{}},
}

// golden compares with a file under testdata; UPDATE=1 writes it.
func golden(t *testing.T, name string, found []byte) {
	t.Helper()
	path := "testdata/" + name
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, found, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(found, want) {
		t.Errorf("%s differs; found:\n%s", path, found)
	}
}

func TestExplain(t *testing.T) {
	var out bytes.Buffer
	if err := Explain(&out, groups...); err != nil {
		t.Fatal(err)
	}
	golden(t, "explain.txt", out.Bytes())
}

// TestExplain_Width: long reasons, choices and defaults are broken, not run off the screen.
func TestExplain_Width(t *testing.T) {
	type wide struct {
		A string `json:"a_rather_long_key_for_one_thing" default:"an even longer default value of many words indeed" enum:"an even longer default value of many words indeed|second choice|third choice|fourth choice" unit:"things of some kind" why:"é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é é"`
	}
	var out bytes.Buffer
	if err := Explain(&out, Group{Path: "some.deeper.place", Struct: wide{}}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(out.String(), "\n") {
		if utf8.RuneCountInString(line) > lineWidth || strings.HasSuffix(line, " ") {
			t.Errorf("%d characters: %q", utf8.RuneCountInString(line), line)
		}
	}
}

func TestSchema(t *testing.T) {
	out, err := Schema(groups...)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(out) {
		t.Fatalf("not JSON:\n%s", out)
	}
	golden(t, "schema.json", out)
}

// TestSchema_Errors: a description that cannot be is refused.
func TestSchema_Errors(t *testing.T) {
	for _, gs := range [][]Group{nil, {groups[0], groups[0]}, {groups[1]}, {{Struct: 3}}, {groups[0], {Path: "family", Name: "x"}},
		{{Struct: struct {
			A map[string]int `json:"a"`
		}{}}}} {
		if out, err := Schema(gs...); err == nil {
			t.Errorf("%v: found no error but %s", gs, out)
		}
	}
	if err := Explain(&bytes.Buffer{}, Group{Struct: 3}); err == nil {
		t.Error("Explain of an int: found no error")
	}
}

// TestNearest: swaps, case and separators are what people get wrong; far words are not guessed at.
func TestNearest(t *testing.T) {
	known := []string{"meta_batch", "steps", "rate", "seed", "checkpoint", "optimizer"}
	for word, want := range map[string]string{
		"rat": "rate", "raet": "rate", "RATE": "rate", "step": "steps", "metabatch": "meta_batch", "meta-batch": "meta_batch", "opt": "optimizer",
		"optimiser": "optimizer", "chekcpiont": "checkpoint", "check": "checkpoint", "x": "", "": "", "zzzz": "", "se": "", "tesp": "",
		strings.Repeat("r", 1000): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q: found %q, expected %q", word, got, want)
		}
	}
	if got := Nearest("x", []string{"k"}); got != "" {
		t.Errorf("found %q for a word with no letter in common", got)
	}
	if got := Nearest("abcd", []string{"abce", "abcf"}); got != "abce" {
		t.Errorf("tie: found %q, expected the first", got)
	}
}
