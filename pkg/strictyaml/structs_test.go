package strictyaml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// layer is a struct in a list, which may hold layers again.
type layer struct {
	Kind   string  `json:"kind" default:"dense" enum:"dense|relu|residual" why:"what it computes"`
	Units  int     `json:"units,omitempty" default:"0" min:"0" max:"100" why:"width"`
	Layers []layer `json:"layers,omitempty" why:"of residual"`
}

type net struct {
	Layers []layer `json:"layers" default:"[{units: 8}, {kind: relu}]" why:"from input on"`
	Others []opt   `json:"others" why:"a list without a default"`
}

func TestListsOfStructs(t *testing.T) {
	if err := CheckTags(net{}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]layer{
		"":                   {{Kind: "dense", Units: 8}, {Kind: "relu"}},
		"layers: []":         {},
		"layers: {units: 3}": {{Kind: "dense", Units: 3}},
		"layers:\n  - kind: relu\n  - {units: 2}":          {{Kind: "relu"}, {Kind: "dense", Units: 2}},
		"layers: [{kind: residual, layers: [{units: 1}]}]": {{Kind: "residual", Layers: []layer{{Kind: "dense", Units: 1}}}},
	} {
		var n net
		if err := parsed(t, text).Decode(&n); err != nil || !reflect.DeepEqual(n.Layers, want) || n.Others != nil {
			t.Errorf("%q: found %+v, %v", text, n, err)
		}
	}
	d := parsed(t, "")
	set(t, d, "layers", "[{kind: relu}]")
	var n net
	if err := d.Decode(&n); err != nil || len(n.Layers) != 1 {
		t.Errorf("by --set: found %+v, %v", n, err)
	}
}

func TestG7_ListsOfStructsErrors(t *testing.T) {
	for text, want := range map[string]string{
		"layers:\n  - kind: dens":                                `spec.yaml:2: layers[0].kind: found "dens", expected one of dense, relu, residual; did you mean "dense"?`,
		"layers: [{unit: 3}]":                                    `spec.yaml:1: layers[0].unit: unknown key; did you mean "units"? known keys: kind, units, layers`,
		"layers: [{}, {kind: residual, layers: [{units: 101}]}]": `spec.yaml:1: layers[1].layers[0].units: 101 is out of range, expected 0 to 100`,
		"layers: relu":                                           `spec.yaml:1: layers: found "relu", expected a mapping with keys kind, units, layers`,
		"layers: [relu]":                                         `spec.yaml:1: layers[0]: found "relu", expected a mapping with keys kind, units, layers`,
	} {
		if err := parsed(t, text).Decode(new(net)); fmt.Sprint(err) != want {
			t.Errorf("found    %v\nexpected %s", err, want)
		}
	}
}

func TestListsOfStructsAreDescribed(t *testing.T) {
	g := Group{Title: "net", Struct: net{}}
	var out bytes.Buffer
	if err := Explain(&out, g); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"layers[].units", "layers[].layers", "list of mappings", "others[].rate"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("Explain leaves out %q:\n%s", want, out.String())
		}
	}
	data, err := Schema(g)
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Defs map[string]struct {
			Properties map[string]json.RawMessage
		} `json:"$defs"`
	}
	if err := json.Unmarshal(data, &s); err != nil || len(s.Defs) != 2 || !strings.Contains(string(s.Defs["layer"].Properties["layers"]), "#/$defs/layer") {
		t.Errorf("found %s, %v", data, err)
	}
}
