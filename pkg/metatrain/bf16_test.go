package metatrain

import (
	"math"
	"strings"
	"testing"
)

// Every upper half of a float32, with lower halves about each border, against rounding by the number's size; infinity is
// never made of what is finite.
func TestBF16IsTheNearestEven(t *testing.T) {
	spec := RunSpec{Results: ResultsSpec{Form: formBF16, ShardTasks: 1}}
	largest := float64(math.Float32frombits(0x7f7f0000))
	for upper := range uint32(1 << 16) {
		for _, lower := range []uint32{0, 1, 0x7fff, 0x8000, 0x8001, 0xffff} {
			f := math.Float32frombits(upper<<16 | lower)
			if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
				if _, err := spec.decodeSum(spec.EncodeSum([]float32{f}), 1, nil); err == nil {
					t.Fatalf("%v was taken in", f)
				}
				continue
			}
			want := float32(min(max(eightBits(float64(f)), -largest), largest))
			found, err := spec.decodeSum(spec.EncodeSum([]float32{f}), 1, nil)
			if err != nil || found[0] != want || math.Signbit(float64(found[0])) != math.Signbit(float64(f)) {
				t.Fatalf("%x: %v became %v, %v; expected %v", upper<<16|lower, f, found, err, want)
			}
		}
	}
}

func TestBF16OfWrongLengthIsRefused(t *testing.T) {
	spec := RunSpec{Results: ResultsSpec{Form: formBF16, ShardTasks: 1}}
	for _, n := range []int{0, 1, 3, 5, 8} {
		if _, err := spec.decodeSum(make([]byte, n), 2, nil); err == nil {
			t.Errorf("%d bytes taken for two numbers", n)
		}
	}
}

// Where sums are rounded the spec alone says what a shard is, whatever the operator or the workers' pace.
func TestG1_ShardsOfRoundedRunsAreTheSpecs(t *testing.T) {
	for tasks, level := range map[int]int{1: 0, 2: 1, 4: 2, 64: 3} {
		for _, operators := range []int{0, 1, 16} {
			g := newRig(t, Config{ShardTasks: operators}, func(s *RunSpec) {
				s.MetaBatch, s.Results = 7, ResultsSpec{Form: formBF16, ShardTasks: tasks}
			})
			g.submit()
			g.until(Train, 0)
			g.run().micros = map[Kind]float64{Train: 1e6}
			g.until(Train, 1)
			if found := g.run().phase.level; found != level {
				t.Errorf("shards of %d tasks of 7, operator's %d: level %d, expected %d", tasks, operators, found, level)
			}
		}
	}
}

func TestG7_WrongFormsOfResultsAreRefused(t *testing.T) {
	for _, c := range []struct {
		form ResultsSpec
		want string
	}{
		{ResultsSpec{}, ""}, {ResultsSpec{Form: "bf16", ShardTasks: 4}, ""}, {ResultsSpec{Form: "bf16", ShardTasks: 1 << 16}, ""},
		{ResultsSpec{Form: "bf16"}, "results.shard_tasks"}, {ResultsSpec{Form: "bf16", ShardTasks: 6}, "power of two"},
		{ResultsSpec{Form: "bf16", ShardTasks: -4}, "power of two"}, {ResultsSpec{Form: "fp8", ShardTasks: 4}, "results.form"},
		{ResultsSpec{ShardTasks: 4}, "results.form"},
	} {
		s := testSpec()
		s.Results = c.form
		if err := s.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, expected %q", c.form, err, c.want)
		}
	}
	plain, rounded := testSpec(), testSpec()
	rounded.Results = ResultsSpec{Form: "bf16", ShardTasks: 4}
	if plain.Digest() == rounded.Digest() || strings.Contains(string(EncodeSpec(plain)), "results") {
		t.Error("the digest does not tell forms apart, or a plain spec says one")
	}
}
