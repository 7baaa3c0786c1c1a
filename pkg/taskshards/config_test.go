package taskshards

import (
	"encoding/json"
	"reflect"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A user's three lines decode over the defaults; what stands in the file
// replaces a default whole, zero and lists included.
func TestConfigDecodesOverItsDefault(t *testing.T) {
	want, err := Default("load")
	if err != nil {
		t.Fatal(err)
	}
	want.Path, want.Shots, want.Generator.Share = Paths{"traces"}, []int{0, 10}, 0

	fromYAML, _ := Default("load")
	if err := yaml.Unmarshal([]byte("name: load\npath: traces\nshots: [0, 10]\ngenerator: {share: 0}\n"), &fromYAML); err != nil {
		t.Fatal(err)
	}
	fromJSON, _ := Default("load")
	if err := json.Unmarshal([]byte(`{"path": ["traces"], "shots": [0, 10], "generator": {"share": 0}}`), &fromJSON); err != nil {
		t.Fatal(err)
	}
	for _, got := range []Config{fromYAML, fromJSON} {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if err := got.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestPathsAreOneOrAList(t *testing.T) {
	for text, want := range map[string]Paths{"a": {"a"}, "[a, b]": {"a", "b"}, "[]": {}} {
		var got Paths
		if err := yaml.Unmarshal([]byte(text), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("YAML %s: got %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]Paths{`"a"`: {"a"}, `["a", "b"]`: {"a", "b"}} {
		var got Paths
		if err := json.Unmarshal([]byte(text), &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("JSON %s: got %v, %v", text, got, err)
		}
	}
	var got Paths
	if err := yaml.Unmarshal([]byte("{a: b}"), &got); err == nil {
		t.Errorf("a map: got %v, want an error", got)
	}
}

// What a configuration is written as reads back as itself.
func TestConfigSurvivesYAMLAndJSON(t *testing.T) {
	for _, name := range []string{"sinusoid", "load"} {
		c, err := Default(name)
		if err != nil {
			t.Fatal(err)
		}
		text, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var back Config
		if err := yaml.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("YAML %s: got %+v, %v", text, back, err)
		}
		if text, err = json.Marshal(c); err != nil {
			t.Fatal(err)
		}
		back = Config{}
		if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, c) {
			t.Errorf("JSON %s: got %+v, %v", text, back, err)
		}
	}
	if _, err := Default("load "); err == nil {
		t.Error("an unknown family has a default")
	}
}
