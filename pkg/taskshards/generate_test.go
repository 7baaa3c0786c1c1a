package taskshards

import (
	"math"
	"slices"
	"testing"
)

func TestG1_GeneratedSeriesIsAFunctionOfItsKey(t *testing.T) {
	a, b := Generate(1, "generate/train", 17), Generate(1, "generate/train", 17)
	if !slices.Equal(a.Segments[0].Values, b.Segments[0].Values) || a.Interval != b.Interval {
		t.Error("equal keys gave different series")
	}
	for _, other := range []Series{Generate(2, "generate/train", 17), Generate(1, "generate/test", 17), Generate(1, "generate/train", 18)} {
		if slices.Equal(a.Segments[0].Values, other.Segments[0].Values) {
			t.Error("different keys gave one series")
		}
	}
}

// The corpus covers what streams do: samplings, integer counts, still stretches
// and several orders of magnitude between signal and noise.
func TestGeneratorCoversTheRangeOfStreams(t *testing.T) {
	const n = 400
	samplings := map[float64]int{}
	counts, still := 0, 0
	least, most := math.Inf(1), 0.0
	for i := range uint64(n) {
		s := Generate(3, "generate/train", i)
		v := s.Segments[0].Values
		if err := s.check(); err != nil {
			t.Fatalf("series %d: %v", i, err)
		}
		if slices.Min(v) < 0 {
			t.Fatalf("series %d: found a rate of %g", i, slices.Min(v))
		}
		samplings[s.Interval]++
		if !slices.ContainsFunc(v, func(x float64) bool { return x != math.Trunc(x) }) {
			counts++
		}
		equal, steps, total := 0, 0.0, 0.0
		for j := 1; j < len(v); j++ {
			if v[j] == v[j-1] {
				equal++
			}
			steps += math.Abs(v[j] - v[j-1])
			total += math.Abs(v[j])
		}
		if equal > len(v)/2 {
			still++
		}
		if r := steps / total; r > 0 {
			least, most = min(least, r), max(most, r)
		}
	}
	if len(samplings) != 6 {
		t.Errorf("got intervals %v, want 6 samplings", samplings)
	}
	if counts < n/3 || counts > 2*n/3 {
		t.Errorf("%d of %d series are integers, want about half", counts, n)
	}
	if still == 0 || still > n/4 {
		t.Errorf("%d of %d series mostly stand still, want some", still, n)
	}
	if least > 0.01 || most < 0.5 {
		t.Errorf("step over level goes from %g to %g, want 0.01 or less to 0.5 or more", least, most)
	}
}

func TestPoissonMoments(t *testing.T) {
	const n = 50_000
	st := NewStream(4, "poisson", 0, 0)
	for _, mean := range []float64{0, 0.3, 5, 19, 21, 300} {
		var sum, square float64
		for range n {
			k := st.poisson(mean)
			if k < 0 || k != math.Trunc(k) {
				t.Fatalf("got %g events", k)
			}
			sum += k / n
			square += k * k / n
		}
		slack := 5 * math.Sqrt((mean+2*mean*mean)/n)
		if v := square - sum*sum; math.Abs(sum-mean) > slack || math.Abs(v-mean) > slack+0.02*mean {
			t.Errorf("mean %g: got mean %g, variance %g", mean, sum, v)
		}
	}
}

func TestMixturesAreSumsOfResampledPieces(t *testing.T) {
	ramp := make([]float64, 1000)
	for i := range ramp {
		ramp[i] = float64(i)
	}
	only := &part{interval: 60, values: ramp}
	m := &mixer{seed: 1, domain: "mix/train", least: 50, draw: func(*Stream) *part { return only }}
	factors := map[float64]bool{}
	for i := range 200 {
		s := m.mix(i)
		if err := s.check(); err != nil {
			t.Fatalf("mixture %d: %v", i, err)
		}
		v := s.Segments[0].Values
		if len(v) < m.least {
			t.Errorf("mixture %d: %d values, want %d or more", i, len(v), m.least)
		}
		// A sum of re-sampled ramps is a ramp.
		step := v[1] - v[0]
		for j := 2; j < len(v); j++ {
			if math.Abs(v[j]-v[j-1]-step) > 1e-9 {
				t.Fatalf("mixture %d is no ramp at %d", i, j)
			}
		}
		factors[s.Interval/60] = true
	}
	if len(factors) != 6 {
		t.Errorf("got factors %v, want 1, 2, 3, 4, 6, 12", factors)
	}
	if !slices.IsSorted(ramp) || ramp[999] != 999 {
		t.Error("mixing changed its parts")
	}
}

func TestMixtureKeepsToOneSampling(t *testing.T) {
	ramp := make([]float64, 900)
	for i := range ramp {
		ramp[i] = float64(i)
	}
	minutes, hours := &part{interval: 60, values: ramp}, &part{interval: 3600, values: noisy(2, 900)}
	next := 0
	m := &mixer{seed: 2, domain: "mix/train", least: 50, draw: func(*Stream) *part {
		next++
		if next%2 == 0 {
			return hours
		}
		return minutes
	}}
	for i := range 50 {
		next = 0
		s := m.mix(i)
		if s.Interval > 12*60 {
			t.Errorf("mixture %d: interval %g s from a first part of 60 s", i, s.Interval)
		}
		if !slices.IsSorted(s.Segments[0].Values) {
			t.Errorf("mixture %d: a ramp by the minute was mixed with hourly noise", i)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	i := uint64(0)
	for b.Loop() {
		Generate(1, "bench", i)
		i++
	}
}
