package learner

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/nn"
)

// perBlock is how many seeds stand in one line of bits_random.txt, of blocks lines.
const perBlock, blocks = 10, 30

// TestG1_RandomModelsBits is TestG1_GradientBits for models, learners and tasks
// drawn from seeds. A line holds the digests of a block of seeds.
func TestG1_RandomModelsBits(t *testing.T) {
	var lines []string
	seen, diverged := map[string]int{}, 0
	for block := range blocks {
		line := fmt.Sprintf("seeds %d to %d:", block*perBlock, (block+1)*perBlock-1)
		for i := range perBlock {
			w := randomWorkOf(t, uint64(block*perBlock+i))
			sum, n := w.digest(t, w.learner(t), 3)
			line += " " + sum[:10]
			diverged += n
			seen[w.config.Name]++
			seen[w.net.Name]++
			for _, l := range w.model.Layers() {
				seen[l.Kind]++
			}
		}
		lines = append(lines, line)
	}
	const file = "testdata/bits_random.txt"
	compareLines(t, file, lines)
	nameSeeds(t, file, lines)
	if diverged > 10 {
		t.Errorf("%d tasks diverged, expected next to none: they show nothing", diverged)
	}
	// Every learner, model and kind of layer is among them.
	kinds := slices.Concat(names, nn.ModelNames(), nn.LayerKinds(), []string{"fork", "join", "skip", "spread"})
	for _, kind := range kinds {
		switch kind {
		case "conv1d", "conv2d":
			kind = "conv"
		case "residual":
			kind = "fork"
		}
		if seen[kind] < 5 {
			t.Errorf("%s: drawn %d times in %d seeds, expected at least 5", kind, seen[kind], blocks*perBlock)
		}
	}
}

// nameSeeds says which seeds are not those recorded, the first few, and what they draw.
func nameSeeds(t *testing.T, file string, lines []string) {
	t.Helper()
	named := 0
	for i, line := range recordedLines(t, file) {
		was, is := strings.Fields(line), strings.Fields(lines[min(i, len(lines)-1)])
		for k := range min(len(was), len(is)) {
			if was[k] == is[k] || named == 5 {
				continue
			}
			named++
			seed := uint64(i*perBlock + k - (len(is) - perBlock))
			t.Errorf("seed %d: %v", seed, randomWorkOf(t, seed))
		}
	}
}

// TestG1_RandomGroupsBits holds the sums of random tasks, in any grouping and from
// any number of goroutines, against those of one learner, task after task.
func TestG1_RandomGroupsBits(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 20
	}
	grouped := 0
	for seed := range seeds {
		if checkGroupings(t, 1000+seed) {
			grouped++
		}
	}
	if uint64(grouped)*20 < seeds {
		t.Errorf("%d of %d seeds have a form over lanes, expected some", grouped, seeds)
	}
}

func FuzzLearner(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { checkGroupings(t, seed) })
}

// checkGroupings cuts the tasks of a seed into shards of every aligned size, each
// for a goroutine with a learner that other shards have used before, and joins
// their sums by the tree. It reports whether there was a form over lanes.
func checkGroupings(t *testing.T, seed uint64) (grouped bool) {
	t.Helper()
	w := randomWorkOf(t, seed)
	fail := func(format string, a ...any) { t.Fatalf("seed %d: %v: %s", seed, w, fmt.Sprintf(format, a...)) }
	want, wantErr := oneByOne(w.learner(t), w.theta, w.tasks, 0, nn.Lanes)
	for _, size := range []int{1, 2, 4, 8, 16} {
		for _, threads := range []int{1, 3} {
			if size > 1 && threads > nn.Lanes/size {
				continue
			}
			sums, errs := w.shards(t, size, threads, false)
			got := treeOf(sums)
			switch failed := slices.ContainsFunc(errs, func(err error) bool { return err != nil }); {
			case failed != (wantErr != nil):
				fail("shards of %d from %d goroutines: %v, one by one %v", size, threads, errs, wantErr)
			case failed:
			case !sameBits(got, want):
				fail("shards of %d from %d goroutines: another sum than one by one", size, threads)
			}
		}
	}
	if NewGroup(w.learner(t)) == nil || wantErr != nil || !w.alike {
		return false
	}
	for _, size := range []int{2, 4, 8, 16} {
		sums, errs := w.shards(t, size, 2, true)
		if slices.Contains(errs, errNotGrouped) {
			fail("groups of %d lanes: not computed", size)
		}
		if !sameBits(treeOf(sums), want) {
			fail("groups of %d lanes: another sum than one by one", size)
		}
	}
	return true
}

var errNotGrouped = errors.New("no group")

// shards computes the sum of each aligned shard of size tasks, nil for one without
// tasks, in goroutines that take the last shards first: over lanes, or one by one.
func (w *randomWork) shards(t *testing.T, size, threads int, lanes bool) (sums [][]float32, errs []error) {
	t.Helper()
	n := nn.Lanes / size
	sums, errs = make([][]float32, n), make([]error, n)
	var wait sync.WaitGroup
	for thread := range threads {
		l := w.learner(t)
		g := NewGroup(l)
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := n - 1 - thread; i >= 0; i -= threads {
				lo, hi := i*size, min((i+1)*size, len(w.tasks))
				switch {
				case lo >= hi:
				case !lanes:
					sums[i], errs[i] = oneByOne(l, w.theta, w.tasks, lo, size)
				default:
					sums[i] = make([]float32, len(w.theta))
					if !g.GradientSum(w.theta, w.tasks[lo:hi], make([]float32, hi-lo), sums[i]) {
						errs[i] = errNotGrouped
					}
				}
			}
		}()
	}
	wait.Wait()
	return sums, errs
}

// treeOf joins sums, of which nil are missing, by the tree.
func treeOf(sums [][]float32) []float32 {
	if len(sums) == 1 {
		return sums[0]
	}
	left, right := treeOf(sums[:len(sums)/2]), treeOf(sums[len(sums)/2:])
	if right == nil {
		return left
	}
	for i, x := range right {
		left[i] += x
	}
	return left
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}
