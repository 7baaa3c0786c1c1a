package coldstart

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// version is the files of a model, as a run publishes them.
func version(t *testing.T, b *Base) map[string][]byte {
	t.Helper()
	l, err := learner.New[float32](b.Learner, b.Model)
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(b.Config)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		checkpoint.ConfigFile: config,
		checkpoint.ModelFile:  encode(t, l.Params(), b.Theta),
		checkpoint.PooledFile: encode(t, l.Params(), pooledTheta(b, l.NumParams())),
	}
}

// pooledTheta is what a run publishes: the layout of the base model, with the
// learner's own part unused.
func pooledTheta(b *Base, n int) []float32 {
	return append(slices.Clone(b.Pooled), make([]float32, n-len(b.Pooled))...)
}

func encode(t *testing.T, params []nn.Param, theta []float32) []byte {
	t.Helper()
	var ts []checkpoint.Tensor
	for _, p := range params {
		ts = append(ts, checkpoint.Tensor{Name: p.Name, Shape: p.Shape, F32: theta[p.Offset : p.Offset+p.Size()]})
	}
	data, err := checkpoint.EncodeTensors(map[string]string{"contract": metatrain.Contract}, ts)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func reader(files map[string][]byte) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if data, ok := files[name]; ok {
			return data, nil
		}
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
}

func TestLoadGivesThePublishedModel(t *testing.T) {
	b := testBase(t, loadConfig())
	files := version(t, b)
	got, err := Load(reader(files))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Theta, b.Theta) || !slices.Equal(got.Pooled, b.Pooled) {
		t.Error("loaded parameters differ from the published ones")
	}
	delete(files, checkpoint.PooledFile)
	if got, err = Load(reader(files)); err != nil || got.Pooled != nil {
		t.Errorf("got pooled %v, error %v without pooled.safetensors, want none", got.Pooled, err)
	}
}

func TestLoadNamesWhatIsWrong(t *testing.T) {
	good := testBase(t, loadConfig())
	l, err := learner.New[float32](good.Learner, good.Model)
	if err != nil {
		t.Fatal(err)
	}
	params, pooled := l.Params(), pooledTheta(good, l.NumParams())
	for _, c := range []struct {
		name  string
		spoil func(files map[string][]byte)
		want  []string
	}{
		{"no config", func(f map[string][]byte) { delete(f, checkpoint.ConfigFile) }, []string{"config.json"}},
		{"no model", func(f map[string][]byte) { delete(f, checkpoint.ModelFile) }, []string{"model.safetensors"}},
		{"config torn", func(f map[string][]byte) { f[checkpoint.ConfigFile] = []byte("{") }, []string{"config.json"}},
		{"another contract", func(f map[string][]byte) {
			f[checkpoint.ConfigFile] = []byte(strings.Replace(string(f[checkpoint.ConfigFile]), "lane/1", "lane/9", 1))
		}, []string{"config.json", "lane/9", "lane/1"}},
		{"unknown learner", func(f map[string][]byte) {
			f[checkpoint.ConfigFile] = []byte(strings.Replace(string(f[checkpoint.ConfigFile]), `"ridge"`, `"rigde"`, 1))
		}, []string{"rigde", "ridge"}},
		{"torn", func(f map[string][]byte) { f[checkpoint.ModelFile] = f[checkpoint.ModelFile][:40] }, []string{"model.safetensors"}},
		{"without the learner's own", func(f map[string][]byte) {
			f[checkpoint.ModelFile] = encode(t, good.Model.Params(), good.Theta)
		}, []string{"model.safetensors", "found 4 tensors, expected 5"}},
		{"wrong shape", func(f map[string][]byte) {
			wide := slices.Clone(params)
			wide[0].Shape = []int{wide[0].Shape[1], wide[0].Shape[0]}
			f[checkpoint.PooledFile] = encode(t, wide, pooled)
		}, []string{"pooled.safetensors", "dense0.w", "[6 10]", "[10 6]"}},
		{"wrong name", func(f map[string][]byte) {
			other := slices.Clone(params)
			other[3].Name = "tail.b"
			f[checkpoint.PooledFile] = encode(t, other, pooled)
		}, []string{"pooled.safetensors", "head.b"}},
	} {
		files := version(t, good)
		c.spoil(files)
		_, err := Load(reader(files))
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got error %v, want one that names %s", c.name, err, want)
			}
		}
	}
	if _, err := New(loadConfig(), make([]float32, 3), nil); err == nil || !strings.Contains(err.Error(), "found 3 parameters") {
		t.Errorf("got error %v, want one that counts", err)
	}
}
