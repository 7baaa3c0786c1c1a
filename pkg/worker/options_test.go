package worker

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// check reads a spec and builds its engine, on a small data set of images where the family is omniglot.
func check(t *testing.T, text string, sets ...string) error {
	t.Helper()
	spec, _, err := readSpec(text, sets...)
	if err != nil {
		return err
	}
	var ds *taskshards.DataSet
	if spec.Family.Name == "omniglot" {
		ds = dots(t, 40)
	}
	return BuiltinKinds().CheckSpec(spec, ds)
}

const omniglot = "family: {name: omniglot, size: 8, characters: {train: 24, validate: 8}}\n"

// Every model and learner there is can be had by its name alone on a family that it suits.
func TestEveryModelAndLearnerBuilds(t *testing.T) {
	for name := range BuiltinModels() {
		for _, text := range []string{"family: load\n", omniglot} {
			if name == "layers" {
				text += "model: {name: layers, layers: [{kind: flatten}, {kind: dense, units: 4}, {kind: batchnorm, per_step: true}, {kind: gelu}]}"
			}
			fits := !(name == "conv4" && text[8] == 'l') && !((name == "tcn" || name == "gru") && text[8] != 'l')
			err := check(t, text, "model.name="+name)
			if fits && err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !fits && (err == nil || !strings.Contains(err.Error(), "got input of shape")) {
				t.Errorf("%s: %v, expected the shape that does not fit", name, err)
			}
		}
	}
	for name := range learnerOptions() {
		family := "family: load\n"
		if name == "protonet" {
			continue // scores classes: TestClassificationTrains
		}
		if err := check(t, family, "learner.name="+name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The keys of a layer are those of the layers there are.
func TestLayerKeysAreTheLayers(t *testing.T) {
	field, _ := reflect.TypeFor[LayerOptions]().FieldByName("Kind")
	kinds := strings.Split(field.Tag.Get("enum"), "|")
	if want := nn.LayerKinds(); !slices.Equal(slices.Sorted(slices.Values(kinds)), want) {
		t.Errorf("model: layers knows %v, the package nn %v", kinds, want)
	}
	if want, known := nn.ModelNames(), slices.Sorted(maps.Keys(BuiltinModels())); !slices.Equal(known, want) {
		t.Errorf("specs know models %v, the package nn %v", known, want)
	}
	tags := func(typ reflect.Type) (out []string) {
		for i := range typ.NumField() {
			key, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			out = append(out, key)
		}
		slices.Sort(out)
		return out
	}
	if a, b := tags(reflect.TypeFor[LayerOptions]()), tags(reflect.TypeFor[nn.LayerSpec]()); !slices.Equal(a, b) {
		t.Errorf("keys of a layer are %v, the package nn has %v", a, b)
	}
}

func TestG7_WrongModelsAreNamed(t *testing.T) {
	for text, want := range map[string][]string{
		"model: {name: layers, layers: [{kind: dens}]}":                                            {"spec.yaml:1", "model.layers[0].kind", `did you mean "dense"?`},
		"model: {name: layers, layers: [{kind: dense, unit: 3}]}":                                  {"model.layers[0].unit", `"units"`},
		"model: {name: layers, layers: [{kind: flatten}, {kind: dense, units: 3, causal: true}]}":  {"layers[1]", "causal", "dense"},
		"model: {name: layers, layers: [{kind: dense, units: 3}]}":                                 {"layers[0]", "dense0", "[24 1]", "flatten"},
		"model: {name: layers, layers: [{kind: conv1d, filters: 2, kernel: [3]}]}":                 {"head", "[22 2]", "flatten"},
		"model: {name: layers, layers: [{kind: conv2d, filters: 2, kernel: 3}, {kind: flatten}]}":  {"layers[0]", "[24 1]"},
		"model: {name: layers, layers: [{kind: conv1d, filters: 2, kernel: 99}, {kind: flatten}]}": {"layers[0]", "99"},
		"model: {hidden: [8], activation: rely}":                                                   {"model.activation", `"relu"`},
		"model: conv44":                                                                            {"conv44", `"conv4"`},
		"model: conv4":                                                                             {"conv4", "[24 1]", "[height width channels]"},
		"learner: protnet":                                                                         {`"protonet"`},
		"learner: {name: maml, rate: 1000}":                                                        {"learner.rate", "1000", "0.000000001 to 100"},
		"learner: {name: maml, steps: 1000}":                                                       {"learner.steps", "1 to 100"},
		"learner: {name: anil, rates: layer}":                                                      {"learner.rates", "unknown key"},
		"learner: {name: metasgd, rate: 0.5, rate_max: 0.1}":                                       {"rate_max", "0.5"},
		"learner: {name: maml, steps: 2, step_weights: [1, 2, 3]}":                                 {"step_weights", "3 weights for 2 steps"},
	} {
		err := check(t, text)
		if err == nil {
			t.Errorf("%q: taken", text)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: error %q does not name %q", text, err, w)
			}
		}
	}
}

// The load family trains over time, with its other features at the head.
func TestLoadTrainsOverTime(t *testing.T) {
	for _, model := range []string{"tcn", "gru"} {
		spec, _ := read(t, "family: load\nlearner: maml\nevaluation: {table: false}\n", "model.name="+model)
		e, err := newEngine(spec, BuiltinKinds(), nil)
		if err != nil {
			t.Fatal(err)
		}
		j := e.must(t, e.job(t, metatrain.Train, 4, metatrain.Node{Level: 2}))
		if j.result.Tasks != 4 || !(j.result.Metrics[0] > 0) {
			t.Errorf("%s: got %+v", model, j.result)
		}
	}
}

// dots are images of some blots each, where the class says, of which every drawing lacks a third and has others.
func dots(t *testing.T, classes int) *taskshards.DataSet {
	t.Helper()
	const size, images = 8, 12
	s := &taskshards.ImageSet{Size: size, Levels: 100}
	for k := range classes {
		c := taskshards.ImageClass{Name: string(rune('a'+k/26)) + string(rune('a'+k%26))}
		st := taskshards.NewStream(uint64(k), "dots", 0, 0)
		glyph := make([]int, 12)
		for i := range glyph {
			glyph[i] = st.Intn(size * size)
		}
		for range images {
			pixels := make([]byte, size*size)
			for _, p := range glyph {
				if !st.Chance(0.35) {
					pixels[p] = byte(60 + st.Intn(41))
				}
			}
			for range 10 {
				pixels[st.Intn(size*size)] = byte(st.Intn(101))
			}
			c.Pixels = append(c.Pixels, pixels...)
		}
		s.Classes = append(s.Classes, c)
	}
	return &taskshards.DataSet{Images: s}
}

// What learners refuse is named by the keys of a spec, and a rate of zero is none: it would stand for the default.
func TestG7_LearnersRefuseByTheSpecsKeys(t *testing.T) {
	for set, want := range map[string]string{
		"inner.loss=abs":          "inner.loss: abs has no curvature",
		"learner.rates=layers":    `learner.rates: found "layers"`,
		"learner.rates=layer":     "",
		"learner.step_weights=[]": "",
		"learner.rate=0":          "learner.rate: 0 is out of range",
		"learner={name: maml, steps: 2, step_weights: [1]}": "learner.step_weights: 1 weights for 2 steps",
		"outer.loss=pinball": "outer.loss",
	} {
		spec, _, err := readSpec(tiny, "learner=maml", set)
		if err == nil {
			_, err = BuiltinKinds().Complete(spec, nil)
		}
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "_loss")) {
			t.Errorf("%s: found %v, expected %q", set, err, want)
		}
	}
}
