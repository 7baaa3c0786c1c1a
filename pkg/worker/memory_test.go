package worker

import (
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

func TestBytesAreRead(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "7": 7, "2GiB": 2 << 30, "1.5 MiB": 3 << 19, "3GB": 3e9, "64KiB": 1 << 16, "9B": 9} {
		var b Bytes
		if err := b.Set(text); err != nil || b != want {
			t.Errorf("%q: got %d, %v, want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "2Gib", "NaN", "1e300", "2 gigabytes"} {
		if err := new(Bytes).Set(text); err == nil || !strings.Contains(err.Error(), "2GiB") {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if a, b, c := Bytes(3<<29).String(), Bytes(5).String(), Bytes(1<<20).String(); a != "1.5 GiB" || b != "5 B" || c != "1 MiB" {
		t.Errorf("got %s, %s, %s", a, b, c)
	}
}

// grids is a family of images of 28 by 28 in five classes, five samples of support and five of query.
type grids struct{}

func (grids) Shape() taskshards.Shape {
	return taskshards.Shape{In: []int{28, 28, 1}, Out: 5, Classes: true}
}

func (grids) Sample(_ taskshards.Split, _, step, task uint64, into *taskshards.Task) error {
	for i, b := range []*taskshards.Batch{&into.Support, &into.Query} {
		b.N, b.X, b.Y, b.W = 5, slices.Grow(b.X[:0], 5*784)[:5*784], slices.Grow(b.Y[:0], 25)[:25], slices.Grow(b.W[:0], 5)[:5]
		for k := range b.X {
			b.X[k] = float32((uint64(k*k+i)+step+task)%11) / 11
		}
		clear(b.Y)
		for k := range b.N {
			b.Y[6*k], b.W[k] = 1, 0.2
		}
	}
	return nil
}

// slotUse builds the engine of a spec and lets it do what a slot does at most at once: two shards as large as the
// meta-batch, and one of the pooled track, their results not yet sent, two thetas known and a third half heard. It returns
// how much memory that left in use, and what was expected, in bytes; the corpus that a family makes is left out of both.
func slotUse(t *testing.T, spec metatrain.RunSpec) (used, expected float64) {
	t.Helper()
	kinds := BuiltinKinds()
	kinds.Families["grids"] = FamilyKind{Build: func(json.RawMessage, *taskshards.DataSet) (taskshards.Family, error) { return grids{}, nil }}
	before := inUse()
	e, err := newEngine(spec, kinds, nil)
	if err != nil {
		t.Fatal(err)
	}
	root := metatrain.Node{Level: metatrain.RootLevel(spec.MetaBatch)}
	pooled := e.job(t, metatrain.Train, spec.MetaBatch, root)
	pooled.lease.Work.Track = 1
	e.must(t, pooled)
	first, second := e.must(t, e.job(t, metatrain.Train, spec.MetaBatch, root)), e.must(t, e.job(t, metatrain.Train, spec.MetaBatch, root))
	e.ahead = newAhead()
	for step := range int64(maxHolding) {
		k, _ := keyOf(e, metatrain.Work{Kind: metatrain.Train, Step: step, Node: root}, spec.MetaBatch)
		e.ahead.coming(k)
	}
	for e.ahead.one() {
	}
	heard := make([]byte, 4*e.params)
	pooled = nil
	if load, ok := e.family.(*taskshards.Load); ok {
		e.family = nil // what it laid out is the corpus
		defer runtime.KeepAlive(load.Division())
	}
	used = inUse() - before
	runtime.KeepAlive([]any{e, first, second, heard})
	e.family = grids{}
	if spec.Family.Name != "grids" {
		if e.family, err = kinds.Families.Build(spec.Family, nil); err != nil {
			t.Fatal(err)
		}
	}
	return used, float64(e.needed(0)) - float64(e.corpus(0))
}

// inUse is how many bytes are allocated and not garbage.
func inUse() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one swept late
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// What a slot is said to need is what it takes, and at most half as much again, or 3 MB more: groups of tasks over lanes
// are counted that mixed shots seldom allow.
func TestMemoryNeededIsWhatASlotTakes(t *testing.T) {
	const (
		million = "family: {name: sinusoid, shots: 5, query: 5}\nmodel: {hidden: [1000, 1000]}\nmeta_batch: 4\n"
		waves   = "family: {name: sinusoid, shots: 10, query: 10}\n"
		images  = "family: {name: omniglot}\nmodel: conv4\nmeta_batch: 4\nevaluation: {table: false}\n"
		loads   = "family: {name: load, query: 20}\nmeta_batch: 32\n"
	)
	for _, c := range []struct {
		name, text string
		sets       []string
	}{
		{"conv4, 5+5, K=1", images, []string{"learner={name: maml, steps: 1}"}},
		{"conv4, 5+5, K=3", images, []string{"learner={name: maml, steps: 3}"}},
		{"a million parameters, K=1", million, []string{"learner={name: maml, steps: 1}"}},
		{"a million parameters, K=3", million, []string{"learner={name: maml, steps: 3}"}},
		{"a million parameters, K=3, learned rates", million, []string{"learner={name: maml, steps: 3, learn_rates: true}"}},
		{"a million parameters, metasgd", million, []string{"learner=metasgd"}},
		{"a million parameters, anil", million, []string{"learner=anil"}},
		{"a million parameters, reptile", million, []string{"learner=reptile"}},
		{"a million parameters, reptile by parts", million, []string{"learner=reptile", "learner.inner_batch=3"}},
		{"a million parameters, imaml", million, []string{"learner={name: imaml, rate: 0.0001}"}},
		{"1,761 parameters over lanes", waves, nil},
		{"90,000 parameters over lanes", waves, []string{"model.hidden=[300, 300]"}},
		{"gru", loads, []string{"model={name: gru, units: 128}", "learner={name: maml, steps: 2}"}},
		{"tcn", loads, []string{"model={name: tcn, channels: 64}", "learner={name: maml, steps: 2}"}},
		{"mlp by ridge", loads, nil},
	} {
		spec, _ := read(t, c.text, c.sets...)
		if spec.Family.Name == "omniglot" {
			spec.Family.Name = "grids"
		}
		used, expected := slotUse(t, spec)
		t.Logf("%-42s %6.1f MB used, %6.1f MB expected: %.2f", c.name, used/1e6, expected/1e6, expected/used)
		if expected < used || expected > max(1.5*used, used+3e6) {
			t.Errorf("%s: %.1f MB expected, %.1f MB used: expected 1 to 1.5 times as much", c.name, expected/1e6, used/1e6)
		}
	}
}

// The remedy names the key that makes the model at hand large.
func TestG7_ModelTooLargeIsRefusedWithBothAmounts(t *testing.T) {
	for model, key := range map[string]string{
		"{hidden: [2000, 2000]}":     "narrow model.hidden,",
		"{name: gru, units: 2000}":   "narrow model.units,",
		"{name: tcn, channels: 900}": "narrow model.channels,",
		"{name: layers, layers: [{kind: flatten}, {kind: dense, units: 10}, {kind: dense, units: 60000}]}": "narrow model.layers (most of all dense1),",
	} {
		spec, _ := read(t, "family: load\nlearner: maml\nmodel: "+model+"\n")
		e, err := planEngine(spec, BuiltinKinds(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := BuiltinKinds().CheckMemory(spec, nil, 0, 0); err != nil {
			t.Errorf("%s without a limit: %v", model, err)
		}
		err = BuiltinKinds().CheckMemory(spec, nil, 0, 4<<20)
		for _, want := range []string{e.needed(0).String(), "4 MiB is available", key} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: found %v, expected %q", model, err, want)
			}
		}
	}
	spec, _ := read(t, "family: load\nmodel: {name: gru, units: 7000}\n")
	if _, err := newEngine(spec, BuiltinKinds(), nil); err == nil || !strings.Contains(err.Error(), "expected at most 33554432; narrow model.units") {
		t.Errorf("found %v", err)
	}
}

// A worker without the room leaves the run to others, and says why.
func TestWorkerWithoutRoomIsUnable(t *testing.T) {
	spec, _ := read(t, tiny)
	if _, err := newEngines(nil, BuiltinKinds()).within(1000).build(spec, nil); !errors.Is(err, errUnable) || !strings.Contains(err.Error(), "1000 B is available") {
		t.Errorf("got %v, want one that says that it is not for this worker", err)
	}
	if _, err := newEngines(nil, BuiltinKinds()).within(1<<30).build(spec, nil); err != nil {
		t.Error(err)
	}
}
