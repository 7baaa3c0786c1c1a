package coldstart

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

func mustAdapt(tb testing.TB, b *Base, s *taskshards.Series, o AdaptOptions) *Adapted {
	tb.Helper()
	a, err := Adapt(b, s, o)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// A zigzag is known after a few samples; the untrained base model does not know
// it, so the adapted one must have learned.
func zigzag(n int) *taskshards.Series {
	v := make([]float64, n)
	for i := range v {
		v[i] = 10 + 4*float64(i%2)
	}
	return series("zigzag", 300, v...)
}

func TestAdaptLearnsAndForecastsOneStepBeyond(t *testing.T) {
	b := testBase(t, loadConfig())
	s := zigzag(208)
	a := mustAdapt(t, b, s, AdaptOptions{Shots: AllSamples})
	if a.Shots != 200 || a.Check.Windows != 40 || a.Check.Shots != 160 || a.FellBack {
		t.Errorf("got %+v, want 200 samples, 160 for the check, and no fall-back", a)
	}
	if !near(a.Check.Last, 1, 1e-9) || a.Check.Model > 0.2 {
		t.Errorf("got errors %+v, want 1 of the last value and next to none of the model", a.Check)
	}
	end := a.Forecasts[len(a.Forecasts)-1]
	if len(a.Forecasts) != 41 || end.Actual != nil || end.Time != s.Segments[0].Start+208*300_000 || !near(end.Forecast, 10, 0.5) {
		t.Errorf("got %d forecasts, the last %+v, want 41 and about 10 for the value after the end", len(a.Forecasts), end)
	}
	if f := a.Forecasts[0]; *f.Actual != 10 || f.Time != s.Segments[0].Start+168*300_000 {
		t.Errorf("got %+v, want the value of slot 168", f)
	}
}

// A walk leaves nothing to learn; the untrained model does worse than its last
// value.
func TestAdaptFallsBackToTheLastValue(t *testing.T) {
	b := testBase(t, loadConfig())
	st := taskshards.NewStream(6, "walk", 0, 0)
	v := []float64{1000}
	for range 299 {
		v = append(v, v[len(v)-1]+st.Normal())
	}
	a := mustAdapt(t, b, series("walk", 300, v...), AdaptOptions{Shots: 5})
	if !a.FellBack || a.Check.Model <= a.Check.Last || a.Shots != 5 {
		t.Fatalf("got %+v, want the fall-back", a)
	}
	for i, f := range a.Forecasts {
		if want := v[len(v)-len(a.Forecasts)+i:][0]; f.Forecast != want {
			t.Errorf("forecast %d: got %g, want the last value %g", i, f.Forecast, want)
		}
	}
}

func TestAdaptTakesConstantAndBriefSeries(t *testing.T) {
	b := testBase(t, loadConfig())
	a := mustAdapt(t, b, series("flat", 300, make([]float64, 100)...), AdaptOptions{Shots: AllSamples})
	for _, f := range a.Forecasts {
		if f.Forecast != 0 {
			t.Errorf("got %g for a constant series, want its value", f.Forecast)
		}
	}
	brief := series("brief", 300, 1, 2, 3, 4, 5, 6, 7, 8)
	if a := mustAdapt(t, b, brief, AdaptOptions{Shots: 10}); a.Shots != 0 || len(a.Forecasts) != 1 || a.Check.Windows != 0 {
		t.Errorf("got %+v, want one forecast and no check", a)
	}
	brief.Segments[0].Values = brief.Segments[0].Values[1:]
	if _, err := Adapt(b, brief, AdaptOptions{}); err == nil || !strings.Contains(err.Error(), "found 7 values") {
		t.Errorf("got error %v, want one that counts the values", err)
	}
}

// The check sees nothing of the fifth that it is about.
func TestCheckDoesNotSeeTheLatestFifth(t *testing.T) {
	b := testBase(t, loadConfig())
	s := fleet(1)[0]
	n := s.Len()
	from := 8 + (n - 8) - (n-8)/5
	other := changed(s, func(i int, v float64) float64 {
		if i >= from {
			return v + 100
		}
		return v
	})
	x, y := mustAdapt(t, b, s, AdaptOptions{Shots: AllSamples}), mustAdapt(t, b, other, AdaptOptions{Shots: AllSamples})
	if x.FellBack || y.FellBack {
		t.Skip("one fell back: nothing to compare")
	}
	if x.Forecasts[0].Forecast != y.Forecasts[0].Forecast {
		t.Errorf("got %g and %g for the first value of the fifth, want the same", x.Forecasts[0].Forecast, y.Forecasts[0].Forecast)
	}
}

func TestAdaptedModelIsWritten(t *testing.T) {
	b := testBase(t, loadConfig())
	ticks := 0
	a := mustAdapt(t, b, zigzag(100), AdaptOptions{Shots: 10, Clock: func() time.Time {
		ticks++
		return time.Unix(int64(ticks), 0)
	}})
	if a.Took != time.Second {
		t.Errorf("got %v by a clock that ticks seconds, want 1 s", a.Took)
	}
	data, err := a.Encode()
	if err != nil {
		t.Fatal(err)
	}
	meta, ts, err := checkpoint.DecodeTensors(data)
	if err != nil || meta["job"] != "zigzag" || meta["shots"] != "10" || len(ts) != len(b.Model.Params()) {
		t.Errorf("got %v, %d tensors, error %v", meta, len(ts), err)
	}
	n := 0
	for _, x := range ts {
		n += len(x.F32)
	}
	if n != b.Model.NumParams() || math.IsNaN(float64(a.Theta[0])) {
		t.Errorf("got %d parameters, want %d", n, b.Model.NumParams())
	}
}

// Ten samples take under 5 ms, a thousand under 50 ms: 31 inputs, 64 units twice.
func BenchmarkAdapt(b *testing.B) {
	c := loadConfig()
	c.Family.Options = []byte(`{"lags":32,"features":["scale","volatility","mean","still","season"]}`)
	c.Model.Options = []byte(`{"hidden":[64,64],"skip":true}`)
	base := testBase(b, c)
	s := fleet(1)[0]
	for len(s.Segments[0].Values) < 1300 {
		s.Segments[0].Values = append(s.Segments[0].Values, s.Segments[0].Values...)
	}
	for name, shots := range map[string]int{"10": 10, "1000": 1000} {
		b.Run(name, func(b *testing.B) {
			var spent time.Duration
			for b.Loop() {
				spent += mustAdapt(b, base, s, AdaptOptions{Shots: shots, Clock: time.Now}).Took
			}
			b.ReportMetric(spent.Seconds()/float64(b.N)*1000, "adapt-ms")
		})
	}
}
