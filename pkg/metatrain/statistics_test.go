package metatrain

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
)

// Tracked statistics take a plain step; what is not tracked has the bits of a state that holds nothing else, though
// the norm is clipped and moments are kept.
func TestG1_StatisticsPassTheOptimizerBy(t *testing.T) {
	for _, o := range optimizerSpecs() {
		for _, rate := range []float64{0, 0.25} {
			o.Clip, o.StatisticsRate = 1, rate
			share := float32(rate)
			if rate == 0 {
				share = 0.1
			}
			spec := RunSpec{Steps: 9, Optimizer: o}
			with := State{Theta: []float32{1, 100, -200, 2}, Opt: NewOptimizer(o, 4),
				Layout: `[{"name":"w","offset":0,"shape":[1]},{"name":"m","offset":1,"shape":[2],"tracked":true},{"name":"b","offset":3,"shape":[1]}]`}
			without := State{Theta: []float32{1, 2}, Opt: NewOptimizer(o, 2), Layout: `[{"name":"w","offset":0,"shape":[2]}]`}
			m, v := float32(100), float32(-200)
			for step := range 5 {
				g := float32(step + 3)
				if err := with.update(&spec, []float32{8 * g, 2 * g, -4 * g, -6 * g}, 2); err != nil {
					t.Fatal(err)
				}
				if err := without.update(&spec, []float32{8 * g, -6 * g}, 2); err != nil {
					t.Fatal(err)
				}
				down, up := float32(share*g), float32(share*(-2*g))
				m -= down
				v -= up
				if want := []float32{without.Theta[0], m, v, without.Theta[1]}; !slices.Equal(with.Theta, want) {
					t.Fatalf("%s %s, step %d: %v, expected %v", o.Name, o.Schedule, step, with.Theta, want)
				}
				if with.Opt.M[1] != 0 || with.Opt.M[2] != 0 {
					t.Fatalf("%s: a statistic has moments: %v", o.Name, with.Opt.M)
				}
			}
		}
	}
}

// A mean of decay 1 - rate: from 0, over batches that show 1, it is 1 - 0.9^n.
func TestStatisticsBecomeAnExponentialMean(t *testing.T) {
	spec := RunSpec{Steps: 100, Optimizer: OptimizerSpec{Name: "adam", Rate: 0.5, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, Clip: 1e-3}}
	s := State{Theta: []float32{0}, Opt: NewOptimizer(spec.Optimizer, 1), Layout: `[{"name":"m","offset":0,"shape":[1],"tracked":true}]`}
	for n := range 30 {
		if err := s.update(&spec, []float32{3 * (s.Theta[0] - 1)}, 3); err != nil {
			t.Fatal(err)
		}
		if want := 1 - math.Pow(0.9, float64(n+1)); math.Abs(float64(s.Theta[0])-want) > 1e-5 {
			t.Fatalf("after %d batches: %v, expected %v", n+1, s.Theta[0], want)
		}
	}
}

// Specs and layouts without statistics keep their bytes, and so their digests.
func TestStatisticsLeaveOtherBytesAlone(t *testing.T) {
	for _, v := range []any{View{Name: "w", Shape: []int{1}}, OptimizerSpec{Name: "adam"}} {
		data, err := json.Marshal(v)
		if err != nil || strings.Contains(string(data), "tracked") || strings.Contains(string(data), "statistics") {
			t.Errorf("%s (%v)", data, err)
		}
	}
}

// A checkpoint whose layout does not fit is an error, not a panic.
func TestG7_StatisticsOutsideThetaAreRefused(t *testing.T) {
	spec := testSpec()
	for _, layout := range []string{`[{"name":"m","offset":1,"shape":[2],"tracked":true}]`, `[{"name":"m","offset":-1,"shape":[1],"tracked":true}]`, `[`} {
		s := State{Theta: []float32{1, 2}, Opt: NewOptimizer(spec.Optimizer, 2), Layout: layout}
		if err := s.update(&spec, []float32{1, 1}, 1); err == nil || !strings.Contains(err.Error(), "layout") {
			t.Errorf("%s: %v", layout, err)
		}
	}
}
