package coldstart

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/learner"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// loadConfig is the config.json of a small load model.
func loadConfig() metatrain.ModelConfig {
	return metatrain.ModelConfig{
		Contract: metatrain.Contract,
		Family:   metatrain.Section{Name: "load", Options: json.RawMessage(`{"lags":8,"features":["scale","season"]}`)},
		Model:    metatrain.Section{Name: "mlp", Options: json.RawMessage(`{"hidden":[6],"activation":"tanh","skip":true}`)},
		Learner:  metatrain.Section{Name: "ridge", Options: json.RawMessage(`{"precision":20}`)},
		Inner:    metatrain.LossSpec{Loss: "mse", Delta: 1},
		Outer:    metatrain.LossSpec{Loss: "abs", Delta: 1},
	}
}

// testBase is an untrained model: what it forecasts is arbitrary but not nothing.
func testBase(tb testing.TB, c metatrain.ModelConfig) *Base {
	tb.Helper()
	b, err := build(c)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := learner.New[float32](b.Learner, b.Model)
	if err != nil {
		tb.Fatal(err)
	}
	theta, pooled := make([]float32, l.NumParams()), make([]float32, b.Model.NumParams())
	l.Init(3, theta)
	b.Model.Init(4, pooled)
	b, err = New(c, theta, pooled)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// series is a series without a break.
func series(name string, interval float64, v ...float64) *taskshards.Series {
	return &taskshards.Series{Name: name, Group: name, Interval: interval, Segments: []taskshards.Segment{{Start: 1_700_000_000_000, Values: v}}}
}

// fleet are generated loads of differing sampling.
func fleet(n int) []*taskshards.Series {
	var ss []*taskshards.Series
	for i := range n {
		s := taskshards.Generate(7, "coldstart/fleet", uint64(i))
		s.Name = fmt.Sprintf("job%02d", i)
		ss = append(ss, &s)
	}
	return ss
}

// changed is a copy of s with each value replaced.
func changed(s *taskshards.Series, f func(i int, v float64) float64) *taskshards.Series {
	c := *s
	c.Segments = nil
	i := 0
	for _, g := range s.Segments {
		v := make([]float64, len(g.Values))
		for k := range v {
			v[k] = f(i, g.Values[k])
			i++
		}
		g.Values = v
		c.Segments = append(c.Segments, g)
	}
	return &c
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func mustEvaluate(tb testing.TB, b *Base, ss []*taskshards.Series, o Options) Table {
	tb.Helper()
	t, err := Evaluate(b, ss, o)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func rowOf(tb testing.TB, t Table, method string, shots int) Row {
	tb.Helper()
	for _, r := range t.Rows {
		if r.Method == method && (r.Shots == nil && shots == allHistory || r.Shots != nil && *r.Shots == shots) {
			return r
		}
	}
	tb.Fatalf("no row %s of %d shots", method, shots)
	return Row{}
}
