package taskshards

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

func windower(tb testing.TB, lags int, features ...string) *Windower {
	tb.Helper()
	c, _ := Default("load")
	c.Lags, c.Features = lags, features
	w, err := NewWindower(c)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func noisy(seed uint64, n int) []float64 {
	st := NewStream(seed, "test", 0, 0)
	v := make([]float64, n)
	for i := range v {
		v[i] = 100 + 10*st.Normal()
	}
	return v
}

// The windows of a series, written down from their definition.
func TestWindowsAreTheirDefinition(t *testing.T) {
	const lags = 5
	v := noisy(1, 40)
	copy(v[20:28], []float64{7, 7, 7, 7, 7, 7, 7, 7}) // constant windows
	v[33] = 1e6                                       // a burst beyond the clip
	s := &Series{Name: "a", Group: "a", Interval: 60, Segments: []Segment{{Start: 5000, Values: v}}}
	ws := windower(t, lags).Windows(s)
	if ws.N != len(v)-lags || ws.In != lags-1 {
		t.Fatalf("got %d windows of %d inputs, want %d of %d", ws.N, ws.In, len(v)-lags, lags-1)
	}
	for i := range ws.N {
		win, next := v[i:i+lags], v[i+lags]
		last, square, level := win[lags-1], 0.0, 0.0
		for j, a := range win {
			level += math.Abs(a) / lags
			if j > 0 {
				square += (a - win[j-1]) * (a - win[j-1]) / (lags - 1)
			}
		}
		scale := math.Max(math.Sqrt(square), 1e-4*level)
		constant := slices.Max(win) == slices.Min(win)
		if constant {
			scale = 0
		}
		near(t, fmt.Sprintf("scale %d", i), ws.Scale[i], scale, 1e-12)
		if ws.Last[i] != last || ws.Target[i] != next || ws.Index[i] != i+lags || ws.Time[i] != 5000+int64(i+lags)*60_000 {
			t.Errorf("window %d: last %g, target %g, index %d, time %d", i, ws.Last[i], ws.Target[i], ws.Index[i], ws.Time[i])
		}
		for j := range lags - 1 {
			want := 0.0
			if !constant {
				want = (win[j] - last) / scale
			}
			near(t, fmt.Sprintf("x %d,%d", i, j), float64(ws.X[i*ws.In+j]), want, 1e-6)
		}
		if constant {
			if ws.Y[i] != 0 || ws.Forecast(i, 3) != last {
				t.Errorf("constant window %d: y %g, forecast %g, want 0 and %g exactly", i, ws.Y[i], ws.Forecast(i, 3), last)
			}
			continue
		}
		near(t, fmt.Sprintf("y %d", i), float64(ws.Y[i]), math.Max(-4, math.Min(4, (next-last)/scale)), 1e-6)
		near(t, fmt.Sprintf("forecast %d", i), ws.Forecast(i, 1.5), last+1.5*scale, 1e-12)
		near(t, fmt.Sprintf("clipped forecast %d", i), ws.Forecast(i, -100), last-4*scale, 1e-12)
	}
}

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if math.Abs(got-want) > relative*math.Max(1, math.Abs(want)) {
		t.Errorf("%s: got %g, want %g", what, got, want)
	}
}

// A model sees neither unit nor level: x and y are those of the scaled and
// shifted series.
func TestWindowsHaveNoUnit(t *testing.T) {
	v := noisy(2, 60)
	scaled := make([]float64, len(v))
	for i := range v {
		scaled[i] = 1024 * v[i] // exact
	}
	w := windower(t, 8, FeatureNames()...)
	series := func(v []float64) *Series {
		return &Series{Interval: 14400, Segments: []Segment{{Values: v}}} // 6 a day
	}
	a, b := w.Windows(series(v)), w.Windows(series(scaled))
	if !slices.Equal(a.X, b.X) || !slices.Equal(a.Y, b.Y) {
		t.Error("windows of a series in other units differ")
	}
}

func TestScaleHasAFloorByLevel(t *testing.T) {
	v := []float64{1e6, 1e6, 1e6, 1e6 + 1, 1e6 + 1}
	ws := windower(t, 4).Windows(&Series{Interval: 60, Segments: []Segment{{Values: v}}})
	near(t, "scale", ws.Scale[0], 100, 1e-4)
}

func TestNoWindowCrossesASegmentNorHasAHeldTarget(t *testing.T) {
	s := &Series{Name: "a", Group: "a", Interval: 10, Segments: []Segment{
		{Start: 0, Values: noisy(3, 7), Held: []int{2, 5}},
		{Start: 90_000, Values: noisy(4, 2)}, // too short for a window
		{Start: 200_000, Values: noisy(5, 6)},
	}}
	ws := windower(t, 4).Windows(s)
	if want := []int{4, 6, 13, 14}; !slices.Equal(ws.Index, want) {
		t.Errorf("targets at %v, want %v", ws.Index, want)
	}
	if want := []int{0, 0, 2, 2}; !slices.Equal(ws.Segment, want) {
		t.Errorf("segments %v, want %v", ws.Segment, want)
	}
	if want := []int64{40_000, 60_000, 240_000, 250_000}; !slices.Equal(ws.Time, want) {
		t.Errorf("times %v, want %v", ws.Time, want)
	}
}

func TestNextIsTheWindowAfterTheLast(t *testing.T) {
	v := noisy(6, 50)
	for _, features := range [][]string{nil, FeatureNames()} {
		w := windower(t, 6, features...)
		at := func(n int) *Series { return &Series{Interval: 7200, Segments: []Segment{{Values: v[:n]}}} }
		ws := w.Windows(at(50))
		next, ok := w.Next(at(49))
		last := ws.N - 1
		if !ok || !slices.Equal(next.X, ws.X[last*ws.In:]) || next.Scale != ws.Scale[last] || next.Forecast(1) != ws.Forecast(last, 1) {
			t.Errorf("%v: got %+v, %v, want the last window of the longer series", features, next, ok)
		}
		if _, ok := w.Next(at(5)); ok {
			t.Error("got a window of 6 from 5 values")
		}
		if n := w.Windows(at(6)).N; n != 0 {
			t.Errorf("6 values gave %d windows of 6 and a target, want none", n)
		}
	}
}

// An input at time t must not change with what comes at t or later.
func TestInputsDoNotSeeTheTarget(t *testing.T) {
	w := windower(t, 6, FeatureNames()...)
	v := noisy(7, 80)
	series := &Series{Interval: 7200, Segments: []Segment{{Values: v}}}
	before := w.Windows(series)
	const i = 40
	v[i+6] += 1000
	after := w.Windows(series)
	if !slices.Equal(before.X[:(i+1)*w.In()], after.X[:(i+1)*w.In()]) {
		t.Error("inputs changed with a later value")
	}
	if before.Y[i] == after.Y[i] {
		t.Error("the target did not change")
	}
}

func TestFeaturesAreTheirDefinition(t *testing.T) {
	const lags, day = 4, 12
	v := noisy(8, 40)
	v[30], v[31] = v[29], v[29]
	ws := windower(t, lags, FeatureNames()...).Windows(&Series{Interval: 7200, Segments: []Segment{{Values: v}}})
	i := 32 - lags // the window of v[28:32]
	x, s := ws.X[i*ws.In+lags-1:(i+1)*ws.In], ws.Scale[i]
	mean, square := v[0], 0.0
	level := (v[28] + v[29] + v[30] + v[31]) / 4
	for k := 1; k < 32; k++ {
		mean += max(1.0/16, 1/float64(k+1)) * (v[k] - mean)
		square += max(1.0/16, 1/float64(k)) * ((v[k]-v[k-1])*(v[k]-v[k-1]) - square)
	}
	for j, want := range []float64{
		math.Log(s / level), math.Log(math.Sqrt(square) / s), max(-8, min(8, (mean-v[31])/s)), 2.0 / 3,
		max(-4, min(4, (v[32-day]-v[31-day])/s)), 1,
		max(-4, min(4, (v[34-day]-v[29-day])/5/s)), 1, max(-8, min(8, (v[31-day]-v[31])/s)),
		max(-4, min(4, (v[32-2*day]-v[31-2*day])/s)), 1,
		0, 0, // no week is known
	} {
		near(t, fmt.Sprintf("feature %d", j), float64(x[j]), want, 1e-5)
	}
	if first := ws.X[lags-1 : ws.In]; slices.ContainsFunc(first[4:], func(x float32) bool { return x != 0 }) {
		t.Errorf("what the first window knows of earlier days is %v, want nothing", first[4:])
	}
}
