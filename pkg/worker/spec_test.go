package worker

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/strictyaml"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

var update = flag.Bool("update", false, "write docs/spec.schema.json anew")

func read(t *testing.T, text string, sets ...string) (metatrain.RunSpec, []string) {
	t.Helper()
	spec, paths, err := readSpec(text, sets...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return spec, paths
}

func readSpec(text string, sets ...string) (metatrain.RunSpec, []string, error) {
	var over []Override
	for _, s := range sets {
		path, value, _ := strings.Cut(s, "=")
		over = append(over, Override{Path: path, Value: value})
	}
	return BuiltinKinds().ReadSpec("spec.yaml", []byte(text), over)
}

func options[O any](t *testing.T, s metatrain.Section) O {
	t.Helper()
	var o O
	if err := json.Unmarshal(s.Options, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTagsAreRight(t *testing.T) {
	for _, g := range BuiltinKinds().groups() {
		if err := strictyaml.CheckTags(g.Struct); err != nil {
			t.Errorf("%s: %v", g.Title, err)
		}
	}
}

func TestThreeLinesAreASpec(t *testing.T) {
	spec, paths := read(t, "name: my-jobs\nfamily:\n  path: traces\n")
	if spec.Name != "my-jobs" || spec.Family.Name != "load" || !slices.Equal(paths, []string{"traces"}) || spec.Learner.Name != "ridge" || spec.Outer.Loss != "abs" {
		t.Errorf("found %+v with paths %v", spec, paths)
	}
	if strings.Contains(string(spec.Family.Options), "traces") {
		t.Errorf("the path stands in the options, and so in the digest: %s", spec.Family.Options)
	}
	if err := BuiltinKinds().CheckSpec(spec, nil); err != nil {
		t.Error(err)
	}
}

func TestPresetsSuitTheFamily(t *testing.T) {
	spec, _ := read(t, "family: sinusoid")
	if m := options[MLPOptions](t, spec.Model); !slices.Equal(m.Hidden, []int{40, 40}) || m.Skip {
		t.Errorf("model %+v, expected the paper's", m)
	}
	if spec.Learner.Name != "maml" || spec.MetaBatch != 25 || spec.Evaluation.Pooled || spec.Outer.Loss != "mse" {
		t.Errorf("found %+v, expected the preset's", spec)
	}
	spec, _ = read(t, "family: sinusoid\nmeta_batch: 8\nmodel: {hidden: [5]}\n")
	if m := options[MLPOptions](t, spec.Model); spec.MetaBatch != 8 || !slices.Equal(m.Hidden, []int{5}) || m.Skip {
		t.Errorf("found meta_batch %d, model %+v: what is given goes before the preset, which fills the rest", spec.MetaBatch, m)
	}
}

// A learner chosen by its name alone gets what it needs in a family; what the user says goes before that.
func TestPresetsSuitTheLearner(t *testing.T) {
	for text, want := range map[string]float64{
		"family: load\nlearner: imaml":                      0.001,
		"family: sinusoid\nlearner: imaml":                  0.01,
		"family: sinusoid\nlearner: {name: imaml, rate: 2}": 2,
	} {
		spec, _ := read(t, text)
		if o := options[IMAMLOptions](t, spec.Learner); o.Rate != want || o.Steps != 16 {
			t.Errorf("%q: found %+v, expected rate %g", text, o, want)
		}
	}
	for _, name := range []string{"metasgd", "mamlpp", "ridge", "imaml"} {
		spec, _ := read(t, "family: sinusoid\nlearner: "+name)
		if v := spec.Validation; len(v.Adapt) > 0 || len(v.Targets) > 0 || v.Tasks != 1000 {
			t.Errorf("%s: found validation %+v, expected its own steps and the family's tasks", name, v)
		}
	}
	if spec, _ := read(t, "family: sinusoid\nlearner: metasgd\nvalidation: {adapt: [2], targets: [1]}"); !slices.Equal(spec.Validation.Adapt, []int{2}) {
		t.Errorf("found validation %+v, expected the user's", spec.Validation)
	}
	for text, want := range map[string]string{
		"family: sinusoid\nlearner: mamlpp": "cosine", "family: omniglot\nlearner: mamlpp": "cosine", "family: load\nlearner: mamlpp": "cosine",
		"family: sinusoid": "constant", "family: omniglot\nlearner: mamlpp\noptimizer: {schedule: constant}": "constant",
	} {
		if spec, _ := read(t, text); spec.Optimizer.Schedule != want {
			t.Errorf("%q: found schedule %s, expected %s", text, spec.Optimizer.Schedule, want)
		}
	}
	for name, steps := range map[string][]int{"mamlpp": {0, 5}, "metasgd": {0, 1}, "maml": {0, 1, 3}} {
		spec, _ := read(t, "family: omniglot\nlearner: "+name)
		if own := len(spec.Validation.Adapt) == 0; own != (name != "maml") || !slices.Equal(spec.Evaluation.Steps, steps) {
			t.Errorf("omniglot by %s: found validation %v, table %v; expected rates learned for K steps to be scored after K", name, spec.Validation.Adapt, spec.Evaluation.Steps)
		}
	}
	if spec, _ := read(t, "family: arrays\nlearner: protonet"); spec.Outer.Loss != "softmax" || spec.Validation.Loss != wrongClass {
		t.Errorf("found outer loss %s, validation %+v, expected those of classes", spec.Outer.Loss, spec.Validation)
	}
	if spec, _ := read(t, "family: sinusoid\nlearner: fomaml"); len(spec.Validation.Adapt) != 3 {
		t.Errorf("found validation %+v, expected the family's", spec.Validation)
	}
}

func TestSectionsWithoutAName(t *testing.T) {
	for text, want := range map[string][3]string{
		"":                                      {"load", "mlp", "ridge"},
		"family: sinusoid":                      {"sinusoid", "mlp", "maml"},
		"family: {shots: [1]}":                  {"load", "mlp", "ridge"},
		"learner: {precision: 3}":               {"load", "mlp", "ridge"},
		"learner: maml":                         {"load", "mlp", "maml"},
		"model: {hidden: 3}":                    {"load", "mlp", "ridge"},
		"family: sinusoid\nlearner: {steps: 2}": {"sinusoid", "mlp", "maml"},
	} {
		spec, _ := read(t, text)
		if found := [3]string{spec.Family.Name, spec.Model.Name, spec.Learner.Name}; found != want {
			t.Errorf("%q: found %v, expected %v", text, found, want)
		}
	}
}

func TestOverrides(t *testing.T) {
	spec, paths := read(t, "name: a\nsteps: 5", "steps=7", "family.path=[x, y]", "learner.precision=2.5", "model.hidden=[3]")
	if o := options[RidgeOptions](t, spec.Learner); spec.Steps != 7 || !slices.Equal(paths, []string{"x", "y"}) || o.Precision != 2.5 {
		t.Errorf("found steps %d, paths %v, %+v", spec.Steps, paths, o)
	}
}

func TestG7_WrongSpecsAreNamed(t *testing.T) {
	for text, want := range map[string][]string{
		"name: x\nstep: 4":                          {"spec.yaml:2", "step", "steps"},
		"name: UPPER":                               {"name", "UPPER"},
		"family: sinusiod":                          {"spec.yaml:1", "sinusiod", `"sinusoid"`},
		"family: {name: load, lag: 3}":              {"family.lag", "lags"},
		"learner: {name: maml, stps: 3}":            {"learner.stps", "steps"},
		"learner: mamml":                            {"mamml", `"maml"`},
		"model: cnn":                                {"cnn", "mlp"},
		"engine: lan":                               {"engine", `"lan"`, `"lane"`},
		"engine: cuda\nbits: any":                   {"spec.yaml:1", "cuda", "lane"},
		"steps: 0":                                  {"steps", "0"},
		"steps: many":                               {"steps", "many"},
		"meta_batch: 100000000":                     {"meta_batch"},
		"optimizer: {rate: -1}":                     {"optimizer.rate", "-1"},
		"on_bad_task: ignore":                       {"on_bad_task", "ignore", "skip"},
		"validation: {adapt: [1], targets: [1, 2]}": {"validation.targets", "2"},
		"name: [a, b]":                              {"name"},
		"- a":                                       {"spec.yaml"},
		"name: a\nname: b":                          {"name"},
	} {
		_, _, err := readSpec(text)
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
	if _, _, err := readSpec("name: a", "optimizer.rat=1"); err == nil || !strings.Contains(err.Error(), "rate") {
		t.Errorf("--set of an unknown key: %v", err)
	}
}

func TestG7_CheckSpecRefusesEarly(t *testing.T) {
	for text, want := range map[string]string{
		"inner: {loss: abs}\nlearner: maml":                        "abs",
		"family: {generator: {share: 0.8}, mixture: {share: 0.8}}": "share",
		"family: {split: {test: 0.5, validate: 0.5}}":              "split",
		"model: {hidden: [65536, 65536]}":                          "parameters",
		"family: {features: [nonsense]}":                           "nonsense",
		"family: {group: 'a('}":                                    "group",
	} {
		spec, _, err := readSpec(text)
		if err == nil {
			err = BuiltinKinds().CheckSpec(spec, nil)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, expected a refusal that names %q", text, err, want)
		}
	}
}

// A family of the user's own trains, and has a table: its shape goes into the spec, and so into what is published. A shape
// that is not the family's is refused before the training.
func TestOwnFamilies(t *testing.T) {
	own := BuiltinKinds()
	own.Families["own"] = FamilyKind{Options: func() any { return new(SinusoidOptions) }, Learner: "maml", Build: func(json.RawMessage, *taskshards.DataSet) (taskshards.Family, error) {
		return taskshards.NewSinusoid(taskshards.Config{Name: "sinusoid", Shots: []int{3}, Query: 3})
	}}
	spec, _, err := own.ReadSpec("spec.yaml", []byte("family: own"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if spec, err = own.Complete(spec, nil); err != nil || !spec.Shape.Equal(metatrain.Shape{In: []int{1}, Out: 1}) {
		t.Errorf("got %+v, %v", spec.Shape, err)
	}
	if err := own.CheckSpec(spec, nil); err != nil {
		t.Error(err)
	}
	spec.Shape.Out = 2
	if err := own.CheckSpec(spec, nil); err == nil || !strings.Contains(err.Error(), "Out:2") {
		t.Errorf("another shape: got %v", err)
	}
}

func TestDigestIgnoresHowDataIsRead(t *testing.T) {
	digest := func(text string) string {
		spec, _ := read(t, text)
		section, err := WithoutReading(spec.Family)
		if err != nil {
			t.Fatal(err)
		}
		spec.Family = section
		return spec.Digest()
	}
	plain := digest("family: load")
	for text, same := range map[string]bool{
		"family: {path: x, strict: true, skip_bad: true}": true,
		"name: other\ncheckpoint: {every: 3}":             true,
		"family: {lags: 17}":                              false,
		"seed: 2":                                         false,
	} {
		if (digest(text) == plain) != same {
			t.Errorf("%q: same digest %v, expected %v", text, !same, same)
		}
	}
}

// The defaults in the tags are those of the packages that use them.
func TestDefaultsAgree(t *testing.T) {
	for _, name := range []string{"load", "sinusoid"} {
		spec, _ := read(t, "family: "+name)
		found, err := FamilyConfig(name, spec.Family.Options)
		if err != nil {
			t.Fatal(err)
		}
		want, err := taskshards.Default(name)
		if err != nil {
			t.Fatal(err)
		}
		// What Default leaves at zero is filled in where it is used.
		f, w := reflect.ValueOf(found), reflect.ValueOf(want)
		for i := range w.NumField() {
			field := w.Type().Field(i).Name
			if w.Field(i).IsZero() || w.Field(i).Kind() == reflect.Slice && w.Field(i).Len() == 0 {
				continue
			}
			if !reflect.DeepEqual(f.Field(i).Interface(), w.Field(i).Interface()) {
				t.Errorf("family %s: %s: found %v, expected %v", name, field, f.Field(i), w.Field(i))
			}
		}
	}
}

func TestExplainNamesEveryKey(t *testing.T) {
	var out bytes.Buffer
	if err := BuiltinKinds().Explain(&out); err != nil {
		t.Fatal(err)
	}
	var walk func(typ reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		for i := range typ.NumField() {
			f := typ.Field(i)
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[strictyaml.Section]() {
				walk(f.Type, path+key+".")
				continue
			}
			if !strings.Contains(out.String(), key) || !strings.Contains(strings.Join(strings.Fields(out.String()), " "), strings.Join(strings.Fields(f.Tag.Get("why")), " ")) {
				t.Errorf("--explain leaves out %s%s, or why", path, key)
			}
		}
	}
	for _, g := range BuiltinKinds().groups() {
		walk(reflect.TypeOf(g.Struct), g.Name+": ")
	}
}

// The schema in the repository is that of the specs this build reads: go test ./pkg/worker -run Schema -update
func TestSchemaIsCurrent(t *testing.T) {
	const path = "../../docs/spec.schema.json"
	want, err := BuiltinKinds().Schema()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(found, want) {
		t.Errorf("%s is not current: go test ./pkg/worker -run Schema -update writes it", path)
	}
}
