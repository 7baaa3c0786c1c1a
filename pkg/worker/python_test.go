package worker

import (
	"encoding/json"
	"fmt"
	"math"
	"os/exec"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/testpython"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// python/worker.py has sampling, model and derivatives of its own: a wrong second-order term would still train.
func TestPythonWorkerComputesTheGradientsOfOurs(t *testing.T) {
	python := testpython.Find(t, "../../python/worker.py")
	for _, learner := range []string{"{name: maml, steps: 1}", "{name: maml, steps: 3, rate: 0.05, zero_weight: 0.5}", "{name: fomaml, steps: 2, rate: 0.1}"} {
		t.Run(learner, func(t *testing.T) {
			spec, _ := read(t, fmt.Sprintf(`
name: py
seed: 7
family: {name: sinusoid, shots: [3, 8], query: 5}
model: {hidden: [12, 9], skip: false}
learner: %s
evaluation: {table: false}
bits: any
`, learner))
			e, err := newEngine(spec, BuiltinKinds(), nil)
			if err != nil {
				t.Fatal(err)
			}
			start := &job{lease: metatrain.Lease{Work: metatrain.Work{Kind: metatrain.Init}, Tasks: 1}}
			if err := e.do(start); err != nil {
				t.Fatal(err)
			}
			theta, err := metatrain.DecodeFloats(start.payload, e.params)
			if err != nil {
				t.Fatal(err)
			}
			said := pythonGradients(t, python, spec, theta, 5, 4)
			for task, found := range said {
				j := &job{lease: metatrain.Lease{Work: metatrain.Work{Kind: metatrain.Train, Step: 5, Node: metatrain.Node{Index: task}}, Tasks: 4}, theta: theta}
				if err := e.do(j); err != nil {
					t.Fatal(err)
				}
				want, err := metatrain.DecodeFloats(j.payload, e.params)
				if err != nil {
					t.Fatal(err)
				}
				if off := math.Abs(found.Loss - j.result.Metrics[0]); !(off <= 1e-4*found.Loss) {
					t.Errorf("task %d: loss %v, ours %v", task, found.Loss, j.result.Metrics[0])
				}
				if off := distance(found.Grad, want); !(off < 1e-4) {
					t.Errorf("task %d: the gradient is off by %.2g of its length", task, off)
				}
			}
			if len(said) != 4 {
				t.Errorf("%d gradients, expected 4", len(said))
			}
		})
	}
}

// distance is |a-b| / |b|.
func distance(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	var off, all float64
	for i := range b {
		d := float64(a[i]) - float64(b[i])
		off += d * d
		all += float64(b[i]) * float64(b[i])
	}
	return math.Sqrt(off / all)
}

// pythonGradient is what python/worker.py makes of one task.
type pythonGradient struct {
	Loss float64   `json:"loss"`
	Grad []float32 `json:"grad"`
}

func pythonGradients(t *testing.T, python string, spec metatrain.RunSpec, theta []float32, step, tasks int) (said []pythonGradient) {
	t.Helper()
	const program = `
import json, sys
sys.path.insert(0, "../../python")
import numpy as np, worker
given = json.load(sys.stdin)
engine = worker.Engine(given["spec"])
assert not engine.unable, engine.unable
all = [engine.gradient(np.array(given["theta"], np.float32), given["step"], t) for t in range(given["tasks"])]
json.dump([{"loss": loss, "grad": grad.tolist()} for loss, grad in all], sys.stdout)
`
	given, err := json.Marshal(map[string]any{"spec": json.RawMessage(metatrain.EncodeSpec(spec)), "theta": theta, "step": step, "tasks": tasks})
	if err != nil {
		t.Fatal(err)
	}
	runPython(t, python, program, given, &said)
	return said
}

// runPython runs a program on input and decodes the JSON it prints.
func runPython(t *testing.T, python, program string, input []byte, into any) {
	t.Helper()
	cmd := exec.Command(python, "-B", "-c", program)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = stdin.Write(input) // a program that stops reading says why itself
		stdin.Close()
	}()
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok {
		t.Fatalf("python: %v\n%s", err, exit.Stderr)
	}
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		t.Fatalf("python: %v\n%s", err, out)
	}
}

// What python/worker.py does not know it leaves to others, rather than computing something else.
func TestPythonWorkerDeclinesWhatItDoesNotKnow(t *testing.T) {
	python := testpython.Find(t, "../../python/worker.py")
	cases := []struct{ change, odd string }{
		{"model.activation=tanh", "model.activation tanh"}, {"model.skip=true", "model.skip True"},
		{"learner.learn_rates=true", "learner.learn_rates True"}, {"outer.loss=abs", "outer.loss abs"}, {"learner.zero_weight=0.5", ""},
	}
	var specs []json.RawMessage
	for _, c := range cases {
		spec, _ := read(t, tiny, c.change)
		specs = append(specs, metatrain.EncodeSpec(spec))
	}
	input, err := json.Marshal(specs)
	if err != nil {
		t.Fatal(err)
	}
	var unable []string
	runPython(t, python, "import json,sys\nsys.path.insert(0,'../../python')\nimport worker\njson.dump([worker.Engine(s).unable for s in json.load(sys.stdin)],sys.stdout)", input, &unable)
	for i, c := range cases {
		if want := map[bool]string{true: "not known here: " + c.odd}[c.odd != ""]; unable[i] != want {
			t.Errorf("%s: %q, expected %q", c.change, unable[i], want)
		}
	}
}
