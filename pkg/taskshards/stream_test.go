package taskshards

import (
	"math"
	"testing"
)

// xoshiro256++ with the state 1, 2, 3, 4: the first numbers of the authors' C
// code, as in the test of Rust's rand_xoshiro.
func TestStreamIsXoshiro256PlusPlus(t *testing.T) {
	st := Stream{s: [4]uint64{1, 2, 3, 4}}
	want := []uint64{
		41943041, 58720359, 3588806011781223, 3591011842654386, 9228616714210784205,
		9973669472204895162, 14011001112246962877, 12406186145184390807, 15849039046786891736, 10450023813501588000,
	}
	for i, w := range want {
		if got := st.Uint64(); got != w {
			t.Fatalf("number %d: got %d, want %d", i, got, w)
		}
	}
}

func TestG1_StreamIsAFunctionOfItsKey(t *testing.T) {
	type key struct {
		seed       uint64
		domain     string
		step, task uint64
	}
	base := key{7, "load/train", 3, 4}
	first := func(k key) uint64 {
		st := NewStream(k.seed, k.domain, k.step, k.task)
		return st.Uint64()
	}
	if again := first(base); again != first(base) {
		t.Fatal("equal keys gave different numbers")
	}
	seen := map[uint64]key{}
	for _, k := range []key{
		base, {8, "load/train", 3, 4}, {7, "load/test", 3, 4}, {7, "load/train", 4, 4}, {7, "load/train", 3, 5},
		{7, "load/train", 4, 3}, {3, "load/train", 7, 4}, {0, "", 0, 0}, {0, "", 0, 1}, {0, "", 1, 0}, {1, "", 0, 0},
	} {
		n := first(k)
		if other, ok := seen[n]; ok {
			t.Errorf("keys %v and %v gave the same number", k, other)
		}
		seen[n] = k
	}
}

func TestStreamMoments(t *testing.T) {
	const n = 200_000
	st := NewStream(1, "moments", 0, 0)
	var mean, square, fourth, uniform float64
	for range n {
		z := st.Normal()
		mean += z / n
		square += z * z / n
		fourth += z * z * z * z / n
		u := st.Float64()
		if u < 0 || u >= 1 {
			t.Fatalf("uniform number %g outside [0, 1)", u)
		}
		uniform += u / n
	}
	for _, c := range []struct {
		name             string
		got, want, slack float64
	}{{"normal mean", mean, 0, 0.01}, {"normal variance", square, 1, 0.02}, {"normal fourth moment", fourth, 3, 0.15}, {"uniform mean", uniform, 0.5, 0.005}} {
		if math.Abs(c.got-c.want) > c.slack {
			t.Errorf("%s: got %g, want %g +- %g", c.name, c.got, c.want, c.slack)
		}
	}
}

func TestStreamIntnCoversItsRangeEvenly(t *testing.T) {
	st := NewStream(2, "intn", 0, 0)
	var count [7]int
	for range 70_000 {
		count[st.Intn(7)]++
	}
	for k, c := range count {
		if c < 9_500 || c > 10_500 {
			t.Errorf("%d came %d times in 70,000, want about 10,000", k, c)
		}
	}
	if got := st.Intn(1); got != 0 {
		t.Errorf("Intn(1): got %d, want 0", got)
	}
}
