package coldstart

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/testpython"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

const readerPath = "../../python/warmstart.py"

// said is what one command of python/warmstart.py came to.
type said struct {
	Code     int
	Out, Err string
}

// readers runs commands of python/warmstart.py, all in one process.
func readers(t *testing.T, commands [][]string) []said {
	t.Helper()
	const program = `
import contextlib, io, json, sys
sys.path.insert(0, "../../python")
import warmstart
def run(argv):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try: code = warmstart.main(argv)
        except SystemExit as e: code = e.code
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}
print(json.dumps([run(argv) for argv in json.loads(sys.argv[1])]))
`
	input, err := json.Marshal(commands)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(testpython.Find(t, readerPath), "-B", "-c", program, string(input))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var all []said
	if err == nil {
		err = json.Unmarshal(out, &all)
	}
	if err != nil || len(all) != len(commands) {
		t.Fatalf("python: %v\n%s", err, stderr.String())
	}
	return all
}

// folder writes files to a folder of their own.
func folder(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// traces are jobs in every form that a trace may have.
func traces() map[string][]byte {
	wave := func(i int, day float64) float64 {
		return 100 + 40*math.Sin(float64(i)/day*2*math.Pi) + float64(i*7919%97)/5
	}
	var hourly, ragged, steps strings.Builder
	hourly.WriteString("timestamp,value\n")
	for i := range 24 * 11 { // a week and more, so that all features are known
		fmt.Fprintf(&hourly, "%d,%.3f\n", 1_700_000_000+3600*i, wave(i, 24))
	}
	ragged.WriteString("host;date;count\n")
	for i := range 700 {
		at := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * 5 * time.Minute)
		switch {
		case i%97 == 5:
			at = at.Add(70 * time.Second) // off the grid
		case i%131 == 7:
			continue // a gap that is filled
		case i > 300 && i < 306:
			continue // one that is not
		case i == 450:
			at = at.Add(-time.Hour) // backward
		}
		fmt.Fprintf(&ragged, "a;%s;%.4g\n", at.In(time.FixedZone("", 7200)).Format("2006-01-02T15:04:05.250-07:00"), wave(i, 288))
		if i%53 == 0 {
			fmt.Fprintf(&ragged, "a;%s;%.4g\n", at.In(time.FixedZone("", 7200)).Format("2006-01-02T15:04:05.250-07:00"), wave(i, 288)+3)
		}
	}
	for i := range 160 { // long stretches without any change, and numbers of every size
		fmt.Fprintf(&steps, "%d\t%g\n", 1_700_000_000_000+60_000*i, []float64{1e6, 1e6, 1e6 + 1e-3, -2e6}[i/40])
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write([]byte(hourly.String()))
	_ = w.Close()
	return map[string][]byte{"hourly.csv": []byte(hourly.String()), "ragged.csv": []byte(ragged.String()), "steps.tsv": []byte(steps.String()), "zipped.CSV.gz": zipped.Bytes()}
}

func agrees(found, want, unit float64) bool {
	return math.Abs(found-want) <= 1e-4*(math.Abs(want)+unit)
}

// python/warmstart.py reads traces, cuts windows, solves ridge and forecasts as we do.
func TestPythonForecastsAsWeDo(t *testing.T) {
	base, err := Load(func(name string) ([]byte, error) { return os.ReadFile(filepath.Join("../../builtin/load", name)) })
	if err != nil {
		t.Fatal(err)
	}
	files := traces()
	dir := folder(t, files)
	var commands [][]string
	var jobs []*Adapted
	var names []string
	for name := range files {
		source := taskshards.Source{FS: os.DirFS(dir), Root: name}
		ds, _, err := taskshards.Ingest([]taskshards.Source{source}, taskshards.IngestOptions{MinValues: base.Family.Lags + 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, shots := range []int{AllSamples, 0, 5, 40} {
			a, err := Adapt(base, &ds.Series[0], AdaptOptions{Shots: shots})
			if err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(dir, fmt.Sprintf("%s.%d.out", name, shots))
			commands = append(commands, []string{"../../builtin/load", "--data", filepath.Join(dir, name), "--shots", strconv.Itoa(shots), "--json", "--to", to})
			jobs, names = append(jobs, a), append(names, to)
		}
	}
	for i, s := range readers(t, commands) {
		a := jobs[i]
		var f struct {
			Job           string
			Shots, Scored int
			FellBack      bool `json:"fell_back"`
			MASE          float64
			Last          float64 `json:"mase_last"`
			Next          float64
			NextTime      string `json:"next_time"`
		}
		if err := json.Unmarshal([]byte(s.Out), &f); s.Code != 0 || err != nil {
			t.Errorf("%v: exit status %d, %v: %s", commands[i], s.Code, err, s.Err)
			continue
		}
		next := a.Forecasts[len(a.Forecasts)-1]
		if f.Job != a.Job || f.Shots != a.Shots || f.Scored != a.Check.Windows || f.FellBack != a.FellBack ||
			!agrees(f.MASE, a.Check.Model, 1) || !agrees(f.Last, a.Check.Last, 1) || !agrees(f.Next, next.Forecast, 0) ||
			f.NextTime != time.UnixMilli(next.Time).UTC().Format(time.RFC3339) {
			t.Errorf("%v:\n%sexpected %+v, check %+v, next %+v", commands[i], s.Out, a.Job, a.Check, next)
		}
		sameForecasts(t, names[i], a.Forecasts)
	}
}

func sameForecasts(t *testing.T, path string, want []Forecast) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
		return
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil || len(rows) != len(want)+1 {
		t.Errorf("%s: %d rows, %v, expected %d", path, len(rows), err, len(want)+1)
		return
	}
	for i, f := range want {
		forecast, _ := strconv.ParseFloat(rows[i+1][2], 64)
		if rows[i+1][0] != time.UnixMilli(f.Time).UTC().Format(time.RFC3339) || !agrees(forecast, f.Forecast, 0) {
			t.Errorf("%s: row %d is %v, expected %+v", path, i, rows[i+1], f)
			return
		}
	}
}

// published writes a model of family sinusoid with these options, of parameters that chance made.
func published(t *testing.T, model, learnerName, options, inner string) (*Base, string) {
	t.Helper()
	config := metatrain.ModelConfig{
		Contract: metatrain.Contract, Family: metatrain.Section{Name: "sinusoid"}, Model: metatrain.Section{Name: "mlp", Options: json.RawMessage(model)},
		Learner: metatrain.Section{Name: learnerName, Options: json.RawMessage(options)}, Inner: metatrain.LossSpec{Loss: inner, Delta: 0.7}, Outer: metatrain.LossSpec{Loss: "mse", Delta: 1},
	}
	b, err := build(config)
	if err != nil {
		t.Fatal(err)
	}
	l, err := learner.New[float32](b.Learner, b.Model)
	if err != nil {
		t.Fatal(err)
	}
	theta := make([]float32, l.NumParams())
	l.Init(3, theta)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range theta {
		theta[i] += float32(0.05 * rng.NormFloat64())
	}
	if b, err = New(config, theta, nil); err != nil {
		t.Fatal(err)
	}
	var tensors []checkpoint.Tensor
	for _, p := range l.Params() {
		tensors = append(tensors, checkpoint.Tensor{Name: p.Name, Shape: p.Shape, F32: theta[p.Offset : p.Offset+p.Size()]})
	}
	data, err := checkpoint.EncodeTensors(map[string]string{"contract": metatrain.Contract}, tensors)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return b, folder(t, map[string][]byte{checkpoint.ConfigFile: text, checkpoint.ModelFile: data})
}

func TestPythonAdaptsAsWeDo(t *testing.T) {
	var samples strings.Builder
	samples.WriteString("x,y\n")
	var x, y []float32
	for i := range 24 {
		at := float32(i%12) - 5.5 + float32(i)/50
		x, y = append(x, at), append(y, 3*float32(math.Sin(float64(at))))
		fmt.Fprintf(&samples, "%v,%v\n", x[i], y[i])
	}
	data := filepath.Join(folder(t, map[string][]byte{"samples.csv": []byte(samples.String())}), "samples.csv")
	cases := []struct {
		name, model, learner, options, inner string
		shots                                int
	}{
		{"relu, one step", `{"hidden":[16,12],"activation":"relu","skip":false}`, "maml", `{"steps":1,"rate":0.05}`, "mse", 10},
		{"tanh, skip, three steps", `{"hidden":[16,12],"activation":"tanh","skip":true}`, "fomaml", `{"steps":3,"rate":0.02}`, "mse", 7},
		{"learned rates, huber", `{"hidden":[16],"activation":"tanh","skip":true}`, "maml", `{"steps":2,"rate":0.05,"learn_rates":true}`, "huber", 12},
		{"rates by layer", `{"hidden":[16],"activation":"tanh","skip":true}`, "maml", `{"steps":2,"rate":0.05,"rates":"layer"}`, "mse", 12},
		{"linear", `{"hidden":[],"activation":"relu","skip":false}`, "maml", `{"steps":2,"rate":0.01}`, "mse", 5},
		{"ridge by samples", `{"hidden":[16,12],"activation":"tanh","skip":true}`, "ridge", `{"precision":2,"outlier":0.5}`, "mse", 6},
		{"ridge by features", `{"hidden":[8],"activation":"relu","skip":false}`, "ridge", `{"precision":5}`, "mse", 20},
		{"pooled", `{"hidden":[8],"activation":"relu","skip":false}`, "pooled", `{}`, "mse", 4},
		{"no shots", `{"hidden":[8],"activation":"relu","skip":false}`, "maml", `{"steps":1}`, "mse", 0},
	}
	var commands [][]string
	var bases []*Base
	for _, c := range cases {
		b, dir := published(t, c.model, c.learner, c.options, c.inner)
		bases = append(bases, b)
		commands = append(commands, []string{dir, "--data", data, "--shots", strconv.Itoa(c.shots), "--json"})
	}
	// A model of a program's own is read by what is recorded of it.
	own := filepath.Join(commands[1][0], checkpoint.ConfigFile)
	config, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	name, network := `"name":"mlp","options":`+cases[1].model, `"network":{"name":"mlp",`+cases[1].model[1:]
	if !bytes.Contains(config, []byte(name)) {
		t.Fatalf("the configuration has no %s: %s", name, config)
	}
	config = bytes.Replace(config, []byte(name), []byte(`"name":"ladder","options":{"rungs":2}`), 1)
	if err := os.WriteFile(own, append([]byte("{"+network+","), config[1:]...), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, s := range readers(t, commands) {
		c := cases[i]
		l, err := learner.New[float32](bases[i].Learner, bases[i].Model)
		if err != nil {
			t.Fatal(err)
		}
		support := learner.Batch[float32]{N: c.shots, X: x[:c.shots], Y: y[:c.shots], W: make([]float32, c.shots)}
		for j := range support.W {
			support.W[j] = 1 / float32(c.shots)
		}
		p, err := l.Adapt(bases[i].Theta, &support, -1)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float32, len(x)-c.shots)
		p.Predict(x[c.shots:], len(want), want)
		var f struct {
			Shots       int
			Predictions [][]float64
		}
		if err := json.Unmarshal([]byte(s.Out), &f); s.Code != 0 || err != nil || f.Shots != c.shots || len(f.Predictions) != len(want) {
			t.Errorf("%s: exit status %d, %v, %d predictions, expected %d: %s", c.name, s.Code, err, len(f.Predictions), len(want), s.Err)
			continue
		}
		for j, w := range want {
			if !agrees(f.Predictions[j][0], float64(w), 0.1) {
				t.Errorf("%s: prediction %d is %v, ours %v", c.name, j, f.Predictions[j], w)
				break
			}
		}
	}
}

// What cannot be used is refused by file, field, what was found and what was expected.
func TestPythonRefusesWhatItCannotUse(t *testing.T) {
	_, good := published(t, `{"hidden":[4],"activation":"relu","skip":false}`, "maml", `{"steps":1}`, "mse")
	config, err := os.ReadFile(filepath.Join(good, checkpoint.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile(filepath.Join(good, checkpoint.ModelFile))
	if err != nil {
		t.Fatal(err)
	}
	load, err := os.ReadFile("../../builtin/load/config.json")
	if err != nil {
		t.Fatal(err)
	}
	loadModel, err := os.ReadFile("../../builtin/load/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := os.ReadFile("../../builtin/load/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, new string) []byte {
		if !bytes.Contains(config, []byte(old)) {
			t.Fatalf("the configuration has no %s", old)
		}
		return bytes.Replace(config, []byte(old), []byte(new), 1)
	}
	cases := []struct {
		name          string
		config, model []byte
		data          string
		want          []string
	}{
		{"another learner", change(`"maml"`, `"protonet"`), model, "1,2\n", []string{"config.json: learner.name", "'protonet'", "'ridge'"}},
		{"another model", change(`"mlp"`, `"gru"`), model, "1,2\n", []string{"model.name", "'gru'", "'mlp'"}},
		{"an option it does not know", change(`"steps":1`, `"steps":1,"anneal":3`), model, "1,2\n", []string{"learner.anneal", "3"}},
		{"another contract", change(`lane/1`, `lane/9`), model, "1,2\n", []string{"contract", "lane/9", "lane/1"}},
		{"widths that are not the tensors'", change(`[4]`, `[5]`), model, "1,2\n", []string{"model.safetensors: tensor dense0.w", "[1, 4]", "[1, 5]"}},
		{"a layer that is not there", change(`[4]`, `[4,4]`), model, "1,2\n", []string{"tensor dense1.w", "found none"}},
		{"a torn file", config, model[:len(model)-9], "1,2\n", []string{"model.safetensors", "whole"}},
		{"a header without offsets", config, bytes.Replace(model, []byte("data_offsets"), []byte("data_0ffsets"), 1), "1,2\n", []string{"model.safetensors: tensor", "data_offsets"}},
		{"rates that it does not know", change(`"steps":1`, `"steps":1,"rates":"parameter"`), model, "1,2\n", []string{"learner.rates", "'parameter'", "'layer'"}},
		{"no row", config, model, "", []string{"data.csv", "no row"}},
		{"samples in another encoding", config, model, "1,2\xff\n", []string{"data.csv", "utf-8"}},
		{"a row of another width", config, model, "1,2\n3,4,5\n", []string{"data.csv:2", "3 fields"}},
		{"a cell that is no number", config, model, "1,2\nx,3\n", []string{"data.csv:2: column 1", "'x'"}},
		{"too few samples", config, model, "1,2\n3,\n", []string{"1 rows with targets", "2"}},
		{"a trace whose row is broken", load, loadModel, "timestamp,value\n2024-01-01 00:00:00,1\n2024-01-01 00:05:00,oops\n", []string{"data.csv:3: column 2", "'oops'", "a number"}},
		{"a trace that is too short", load, loadModel, "timestamp,value\n2024-01-01 00:00:00,1\n2024-01-01 00:05:00,2\n", []string{"2 values", "24"}},
		{"a file that is not the manifest's", append(bytes.Clone(load), ' '), loadModel, "timestamp,value\n", []string{"config.json", "as manifest.json says"}},
		{"samples that lead out of bounds", config, model, "1e25,2\n1e26,3\n1,\n", []string{"inner step 1", "finite"}},
		{"a stamp that is none", load, loadModel, "timestamp,value\n2024-13-01 00:00:00,1\n", []string{"data.csv:2: column 1", "2024-13-01"}},
	}
	var commands [][]string
	for _, c := range cases {
		files := map[string][]byte{checkpoint.ConfigFile: c.config, checkpoint.ModelFile: c.model, "data.csv": []byte(c.data)}
		if bytes.Equal(c.model, loadModel) {
			files[checkpoint.ManifestFile] = manifest
		}
		dir := folder(t, files)
		commands = append(commands, []string{dir, "--data", filepath.Join(dir, "data.csv"), "--shots", "2"})
	}
	for i, s := range readers(t, commands) {
		if s.Code != 1 {
			t.Errorf("%s: exit status %d, expected 1: %s%s", cases[i].name, s.Code, s.Out, s.Err)
		}
		for _, want := range cases[i].want {
			if !strings.Contains(s.Err, want) {
				t.Errorf("%s: %q does not say %q", cases[i].name, s.Err, want)
			}
		}
	}
}
