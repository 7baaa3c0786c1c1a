package worker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/coldstart"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// ladderOptions are the keys of a model of a program's own.
type ladderOptions struct {
	Rungs int `json:"rungs" default:"3" min:"1" max:"9" unit:"layers" why:"each half as wide as the one before"`
}

// withLadder are the built-in kinds and a model of one's own: dense layers, each half as wide as the one before.
func withLadder() Kinds {
	k := BuiltinKinds()
	k.Models["ladder"] = ModelKind{
		Options: func() any { return new(ladderOptions) },
		Network: func(options json.RawMessage, s nn.Shape) (nn.Config, error) {
			var o ladderOptions
			if err := json.Unmarshal(options, &o); err != nil {
				return nn.Config{}, err
			}
			if s.Out != 1 {
				return nn.Config{}, fmt.Errorf("samples have %d targets, expected one", s.Out)
			}
			c := nn.Config{Name: "layers"}
			for i := range o.Rungs {
				c.Layers = append(c.Layers, nn.LayerSpec{Kind: "dense", Units: 16 >> i}, nn.LayerSpec{Kind: "tanh"})
			}
			return c, nil
		},
	}
	return k
}

const ladder = "family: sinusoid\nmodel: {name: ladder, rungs: 2}\n"

// A model of the user's own is read strictly, trains, and is recorded in full: a program that does not know its name can
// use what is published.
func TestOwnModels(t *testing.T) {
	own := withLadder()
	spec, _, err := own.ReadSpec("spec.yaml", []byte(ladder), nil)
	if err != nil {
		t.Fatal(err)
	}
	if string(spec.Model.Options) != `{"rungs":2}` {
		t.Errorf("options %s", spec.Model.Options)
	}
	before := spec.Digest()
	if spec, err = own.Complete(spec, nil); err != nil {
		t.Fatal(err)
	}
	if spec.Digest() == before || len(spec.Network) == 0 {
		t.Fatalf("the network is not part of the spec: %s", spec.Network)
	}
	if again, err := metatrain.DecodeSpec(metatrain.EncodeSpec(spec)); err != nil || again.Digest() != spec.Digest() {
		t.Errorf("stored and read again the spec has another digest: %v", err)
	}
	e, err := newEngine(spec, own, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := 2*16 + 17*8 + 9; e.model.NumParams() != want {
		t.Errorf("%d parameters, expected %d", e.model.NumParams(), want)
	}
	published, err := coldstart.New(modelConfig(&spec), make([]float32, e.params), nil)
	if err != nil || published.Model.NumParams() != e.model.NumParams() {
		t.Errorf("without the kind: %v", err)
	}
	if _, err := newEngine(spec, BuiltinKinds(), nil); err == nil || !strings.Contains(err.Error(), `model "ladder" is not known`) {
		t.Errorf("a worker that does not know it: %v", err)
	}
	spec.Network = json.RawMessage(bytes.Replace(spec.Network, []byte("16"), []byte("17"), 1))
	if err := own.CheckSpec(spec, nil); err == nil || !strings.Contains(err.Error(), "another release") {
		t.Errorf("another network in the spec: %v", err)
	}
}

func TestOwnModelsAreReadStrictly(t *testing.T) {
	own := withLadder()
	for text, want := range map[string]string{
		"family: sinusoid\nmodel: {name: ladder, rung: 2}":          `"rungs"`,
		"family: sinusoid\nmodel: {name: ladder, rungs: 10}":        "1 to 9",
		"family: sinusoid\nmodel: {name: lader}":                    `"ladder"`,
		"family: sinusoid\nmodel: {name: ladder, activation: relu}": "activation",
	} {
		if _, _, err := own.ReadSpec("spec.yaml", []byte(text), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected it to say %s", text, err, want)
		}
	}
	var explained bytes.Buffer
	schema, err := own.Schema()
	if err == nil {
		err = own.Explain(&explained)
	}
	if err != nil || !strings.Contains(explained.String(), "half as wide") || !bytes.Contains(schema, []byte("rungs")) {
		t.Errorf("--explain or --schema leaves the model out: %v", err)
	}
	if _, _, err := BuiltinKinds().ReadSpec("spec.yaml", []byte(ladder), nil); err == nil {
		t.Error("what one program adds, another has")
	}
}

// The models that warmstart brings are named, not spelled out: specs of before keep their digests.
func TestBuiltinModelsAreRecordedByName(t *testing.T) {
	for _, text := range []string{"family: load", "family: sinusoid"} {
		spec, _ := read(t, text+"\ninner: {loss: mse}")
		before := spec.Digest()
		spec, err := BuiltinKinds().Complete(spec, nil)
		if err != nil || spec.Network != nil || spec.Digest() != before {
			t.Errorf("%s: network %s, %v", text, spec.Network, err)
		}
	}
}

// The hello names what this worker knows, its own kinds too.
func TestSkillsNameOwnKinds(t *testing.T) {
	skills := newEngines(nil, withLadder()).skills()
	if got := fmt.Sprint(skills.Models); !strings.Contains(got, "ladder") || !strings.Contains(got, "mlp") || len(skills.Learners) < 4 || len(skills.Families) < 2 {
		t.Errorf("%+v", skills)
	}
}
