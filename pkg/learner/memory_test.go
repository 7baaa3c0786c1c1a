package learner

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// copies is how many float32 vectors of the parameters a learner and a gradient
// may hold, by DESIGN.md; own parameters count with the gradient. docs/learners.md
// states those of the others.
func copies(c Config) int {
	if n := map[string]int{"reptile": 4, "imaml": 5, "ridge": 4}[c.Name]; n > 0 {
		return n
	}
	if c.withDefaults().Rates != ScalarRate {
		return 2*c.InnerSteps() + 4
	}
	return c.InnerSteps() + 4
}

// allocated is what f leaves allocated, in bytes.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one swept late
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)
}

// A model of a million parameters: after its gradients a learner holds at most
// K+4 copies of the parameters, with learned rates 2K+4, the gradient's included,
// and activations.
func TestMemoryOfAMillionParameters(t *testing.T) {
	net := nn.Config{Name: "mlp", Hidden: []int{1000, 1000}}
	m, err := nn.Build(net, nn.Flat(8, 1))
	if err != nil {
		t.Fatal(err)
	}
	size := m.NumParams()
	if size < 1_000_000 {
		t.Fatalf("%d parameters", size)
	}
	r := rand.New(rand.NewPCG(51, 1))
	task := Task[float32]{Support: samples[float32](r, 2, 8, 1), Query: samples[float32](r, 2, 8, 1)}
	// Four signals of each of four hidden layers of 1000 for 16 rows, on each tape, and
	// a tenth for what is small.
	activations := func(tapes int) int { return tapes * 4 * 16 * 4 * 4400 }
	for _, c := range []Config{
		{Name: "maml", Steps: 1}, {Name: "maml", Steps: 3}, {Name: "fomaml", Steps: 3}, {Name: "pooled"},
		{Name: "maml", Steps: 3, LearnRates: true}, {Name: "mamlpp", Steps: 3}, {Name: "metasgd", Steps: 1}, {Name: "metasgd", Steps: 3},
		{Name: "anil", Steps: 3}, {Name: "anil", Steps: 3, LearnRates: true},
		{Name: "reptile", Steps: 3}, {Name: "imaml", Steps: 3}, {Name: "ridge"},
	} {
		c.Rate = 1e-4
		var l Learner[float32]
		var grad []float32
		theta := start(r, must(t, c, m))
		used := allocated(func() {
			l = must(t, c, m)
			grad = make([]float32, len(theta))
			if _, err := l.Gradient(theta, &task, grad); err != nil {
				t.Fatal(err)
			}
		})
		bound := uint64(4*size*copies(c) + activations(c.InnerSteps()+1))
		t.Logf("%s K=%d %s: %.2f copies, %d and activations of %.2f allowed", c.Name, c.InnerSteps(), c.withDefaults().Rates,
			float64(used)/float64(4*size), copies(c), float64(activations(c.InnerSteps()+1))/float64(4*size))
		if used > bound {
			t.Errorf("%s K=%d: %d bytes, expected at most %d: %d copies of %d parameters and activations", c.Name, c.Steps, used, bound, copies(c), size)
		}
		if used < uint64(4*size) {
			t.Errorf("%s: %d bytes hold no gradient: not measured", c.Name, used)
		}
		runtime.KeepAlive(theta)
		runtime.KeepAlive(l)
		runtime.KeepAlive(grad)
	}
}

func must(t *testing.T, c Config, m *nn.Model) Learner[float32] {
	t.Helper()
	l, err := New[float32](c, m)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// 100,000 small tasks of each learner leave no byte behind.
func TestMemoryIsFlat(t *testing.T) {
	tasks := 100_000
	if testing.Short() {
		tasks = 1_000
	}
	r := rand.New(rand.NewPCG(52, 1))
	for _, c := range []Config{{Name: "maml", Steps: 2}, {Name: "mamlpp", Steps: 2}, {Name: "metasgd"}, {Name: "anil", Steps: 2},
		{Name: "reptile", Steps: 3, InnerBatch: 2}, {Name: "imaml", Steps: 2}, {Name: "ridge"}} {
		l, large := setup[float32](t, r, c, nn.Config{Name: "mlp", Hidden: []int{2}}, 1, 1, 4)
		theta, grad := start(r, l), make([]float32, l.NumParams())
		task := large
		gradient := func(i int) {
			task.Support.N, task.Step = i%5, int64(i)
			task.Query.N = 1 + i%3
			if _, err := l.Gradient(theta, &task, grad); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			gradient(i)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range tasks {
			gradient(i)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<16 { // the runtime's own
			t.Errorf("%s: %d bytes over %d tasks", c.Name, n, tasks)
		}
	}
}

// A learner is one goroutine's; many side by side, sharing theta, tasks and model,
// give the same bits as one.
func TestG1_LearnersSideBySideGiveTheSameBits(t *testing.T) {
	for _, name := range stepping {
		c := Config{Name: name, Steps: 2, Rate: 0.02, ZeroWeight: 0.5}
		r := rand.New(rand.NewPCG(53, 1))
		l, _ := setup[float32](t, r, c, skipNet, 3, 2, 1)
		m, err := nn.Build(skipNet, nn.Flat(3, 2))
		if err != nil {
			t.Fatal(err)
		}
		theta := start(r, l)
		tasks := make([]Task[float32], 24)
		for i := range tasks {
			tasks[i] = Task[float32]{Support: samples[float32](r, i%7, 3, 2), Query: samples[float32](r, 1+i%5, 3, 2), Step: int64(i)}
		}
		want := make([]string, len(tasks))
		for i := range tasks {
			want[i] = bitsOf(t, l, theta, &tasks[i])
		}
		var wait sync.WaitGroup
		got := make([][]string, 4)
		for w := range got {
			wait.Add(1)
			go func() {
				defer wait.Done()
				own := must(t, c, m)
				got[w] = make([]string, len(tasks))
				for i := range tasks {
					at := (i*5 + w*7) % len(tasks) // another order each
					got[w][at] = bitsOf(t, own, theta, &tasks[at])
				}
			}()
		}
		wait.Wait()
		for w := range got {
			if !slices.Equal(got[w], want) {
				t.Errorf("%s: goroutine %d has other bits", name, w)
			}
		}
	}
}

func bitsOf(t *testing.T, l Learner[float32], theta []float32, task *Task[float32]) string {
	grad := make([]float32, len(theta))
	loss, err := l.Gradient(theta, task, grad)
	if err != nil {
		t.Error(err)
	}
	return fmt.Sprintf("%b %b", loss, grad)
}
