package taskshards

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"sync"
	"testing"
)

// taskDigest is the SHA-256 of every bit of a task.
func taskDigest(t *Task) string {
	h := sha256.New()
	for _, b := range []*Batch{&t.Support, &t.Query} {
		binary.Write(h, binary.LittleEndian, int64(b.N))
		for _, x := range [][]float32{b.X, b.Y, b.W} {
			binary.Write(h, binary.LittleEndian, x)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func mustSample(tb testing.TB, f Family, split Split, seed, step, task uint64, into *Task) {
	tb.Helper()
	if err := f.Sample(split, seed, step, task, into); err != nil {
		tb.Fatal(err)
	}
}

// familyDigest joins the digests of 50 tasks of each split.
func familyDigest(tb testing.TB, f Family) string {
	h := sha256.New()
	var task Task
	for _, split := range []Split{Train, Validate, Test} {
		for k := range uint64(50) {
			mustSample(tb, f, split, 5, k/10, k%10, &task)
			h.Write([]byte(taskDigest(&task)))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// checkKeyed holds a family to G1: tasks depend on their key alone, not on what
// was sampled before into the same Task, nor on other goroutines.
func checkKeyed(t *testing.T, build func() Family) {
	t.Helper()
	const n = 64
	want := make([]string, n)
	f := build()
	for k := range uint64(n) {
		var fresh Task
		mustSample(t, f, Train, 3, k/8, k%8, &fresh)
		want[k] = taskDigest(&fresh)
	}
	shared := build()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			var reused Task
			for i := range n {
				k := uint64((i*37 + g*11) % n)
				if err := shared.Sample(Train, 3, k/8, k%8, &reused); err != nil {
					t.Error(err)
				} else if got := taskDigest(&reused); got != want[k] {
					t.Errorf("goroutine %d, task %d: other bits than sampled alone", g, k)
				}
			}
		})
	}
	wg.Wait()
	distinct := map[string]bool{}
	for _, d := range want {
		distinct[d] = true
	}
	if len(distinct) != n {
		t.Errorf("%d tasks had %d different contents", n, len(distinct))
	}
}

func checkSteadyStateAllocatesNothing(t *testing.T, f Family) {
	t.Helper()
	var task Task
	for k := range uint64(2000) {
		mustSample(t, f, Train, 1, 0, k, &task)
	}
	k := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		mustSample(t, f, Train, 1, 0, k, &task)
		k++
	}); n != 0 {
		t.Errorf("a task allocates %g times in the steady state, want 0", n)
	}
}

func sinusoid(tb testing.TB) Family {
	c, err := Default("sinusoid")
	if err != nil {
		tb.Fatal(err)
	}
	f, err := New(c, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func TestG1_SinusoidTasksAreKeyed(t *testing.T) {
	checkKeyed(t, func() Family { return sinusoid(t) })
}

func TestSinusoidAllocatesNothing(t *testing.T) {
	checkSteadyStateAllocatesNothing(t, sinusoid(t))
}

// MAML paper, section 5.1: the points of one task lie on one wave of its ranges.
func TestSinusoidIsThePapersFamily(t *testing.T) {
	f := sinusoid(t)
	var task Task
	var most float64
	for k := range uint64(2000) {
		mustSample(t, f, Train, 1, 0, k, &task)
		if task.Support.N != 10 || task.Query.N != 10 {
			t.Fatalf("got %d + %d samples, want 10 + 10", task.Support.N, task.Query.N)
		}
		a, p := fitWave(task.Support.X, task.Support.Y)
		most = max(most, a)
		if a < 0.09 || a > 5.01 || p < -1e-2 || p > math.Pi+1e-2 {
			t.Fatalf("task %d: amplitude %g, phase %g; want U[0.1, 5], U[0, pi]", k, a, p)
		}
		for i, x := range task.Query.X {
			if want := a * math.Sin(float64(x)-p); math.Abs(float64(task.Query.Y[i])-want) > 1e-3 {
				t.Fatalf("task %d, query point %d: got %g, want %g", k, i, task.Query.Y[i], want)
			}
			if x < -5 || x > 5 || task.Query.W[i] != float32(0.1) {
				t.Fatalf("task %d: x %g, weight %g", k, x, task.Query.W[i])
			}
		}
	}
	if most < 4.9 {
		t.Errorf("largest amplitude of 2,000 tasks is %g, want nearly 5", most)
	}
}

// fitWave solves least squares for y = b sin x + c cos x.
func fitWave(x, y []float32) (amplitude, phase float64) {
	var ss, sc, cc, ys, yc float64
	for i := range x {
		s, c := math.Sin(float64(x[i])), math.Cos(float64(x[i]))
		ss, sc, cc = ss+s*s, sc+s*c, cc+c*c
		ys, yc = ys+float64(y[i])*s, yc+float64(y[i])*c
	}
	det := ss*cc - sc*sc
	b, c := (ys*cc-yc*sc)/det, (yc*ss-ys*sc)/det
	return math.Hypot(b, c), math.Atan2(-c, b)
}

func TestSinusoidDrawsShotsFromTheSet(t *testing.T) {
	c, _ := Default("sinusoid")
	c.Shots = []int{0, 5, 20}
	f, err := New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]int{}
	var task Task
	for k := range uint64(300) {
		mustSample(t, f, Train, 1, 0, k, &task)
		seen[task.Support.N]++
	}
	if len(seen) != 3 || seen[0] < 60 || seen[5] < 60 || seen[20] < 60 {
		t.Errorf("shots came as %v, want 0, 5 and 20 about 100 times each", seen)
	}
}

func TestG7_ConfigIsRefusedByField(t *testing.T) {
	cases := []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"family", func(c *Config) { c.Name = "sinusiod" }, "omniglot, sinusoid"},
		{"no shots", func(c *Config) { c.Shots = nil }, "family.shots"},
		{"negative shots", func(c *Config) { c.Shots = []int{5, -1} }, "found -1"},
		{"no query", func(c *Config) { c.Query = 0 }, "family.query"},
		{"one lag", func(c *Config) { c.Lags = 1 }, "family.lags"},
		{"feature", func(c *Config) { c.Features = []string{"seasons"} }, `found "seasons"`},
		{"pattern", func(c *Config) { c.Group = "(" }, "family.group"},
		{"no capture", func(c *Config) { c.Group = "abc" }, "capture"},
		{"share", func(c *Config) { c.Generator.Share = math.NaN() }, "generator.share"},
		{"shares", func(c *Config) { c.Generator.Share, c.Mixture.Share = 0.7, 0.7 }, "at most 1"},
		{"no series", func(c *Config) { c.Generator.Series = 0 }, "generator.series"},
		{"all held out", func(c *Config) { c.Division.Test = 0.9 }, "nothing is left"},
		{"fold", func(c *Config) { c.Division.Folds, c.Division.Fold = 5, 5 }, "fold 5 of 5"},
	}
	for _, tc := range cases {
		c, _ := Default("load")
		tc.edit(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", tc.name, err, tc.want)
		}
	}
	c, _ := Default("sinusoid")
	c.Path = Paths{"data"}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "reads no traces") {
		t.Errorf("sinusoid with a path: got %v", err)
	}
}
