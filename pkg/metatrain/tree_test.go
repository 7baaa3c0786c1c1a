package metatrain

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// leafOf is a task's partial, over many orders of magnitude: any other order of sums gives other bits.
func leafOf(rng *rand.Rand, skip bool) Partial {
	if skip {
		return Partial{}
	}
	p := Partial{Vec: make([]float32, 3), Metrics: []float64{rng.NormFloat64() * math.Pow(10, float64(rng.IntN(12)))}, Tasks: 1}
	for i := range p.Vec {
		p.Vec[i] = float32(rng.NormFloat64() * math.Pow(10, float64(rng.IntN(7)-3)))
	}
	return p
}

func clonePartial(p Partial) Partial {
	return Partial{slices.Clone(p.Vec), slices.Clone(p.Metrics), p.Tasks}
}

func samePartial(a, b Partial) bool {
	return fmt.Sprintf("%x %x %d", a.Vec, a.Metrics, a.Tasks) == fmt.Sprintf("%x %x %d", b.Vec, b.Metrics, b.Tasks)
}

// TestG1_SumDoesNotDependOnArrivalOrShards: contract lane/1, rule 5. Tree, given shards of any level in any order,
// gives the bits of Fold and of a twin that sums neighbours level by level.
func TestG1_SumDoesNotDependOnArrivalOrShards(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= 40; n++ {
		leaves := make([]Partial, n)
		rows := make([][]float64, n)
		for i := range leaves {
			if leaves[i] = leafOf(rng, rng.IntN(6) == 0); leaves[i].Tasks > 0 {
				rows[i] = widen(leaves[i].Vec)
			}
		}
		leaf := func(task int) (Partial, error) { return clonePartial(leaves[task]), nil }
		want, _ := Fold(Node{RootLevel(n), 0}, n, leaf)
		if twin := pairwise(rows, true); !slices.Equal(twin, widen(want.Vec)) && want.Tasks > 0 {
			t.Fatalf("%d tasks: Fold gives %v, the twin %v", n, want.Vec, twin)
		}
		for level := range RootLevel(n) + 1 {
			tree := NewTree(n)
			order := rng.Perm(NodesAt(level, n))
			for turn, i := range order {
				part, _ := Fold(Node{level, i}, n, leaf)
				sum, done := tree.Add(Node{level, i}, part)
				if done != (turn == len(order)-1) {
					t.Fatalf("%d tasks, level %d: done = %v after %d of %d", n, level, done, turn+1, len(order))
				}
				if done && !samePartial(sum, want) {
					t.Fatalf("%d tasks, level %d, order %v: %v, expected %v", n, level, order, sum, want)
				}
			}
			if tree.Held() != 0 {
				t.Errorf("%d tasks, level %d: %d partials left", n, level, tree.Held())
			}
		}
	}
}

// G6: in order, a tree holds a partial a level at most.
func TestG6_TreeHoldsLogarithm(t *testing.T) {
	const n = 1000
	tree := NewTree(n)
	for i := range n {
		tree.Add(Node{0, i}, Partial{Vec: []float32{1}, Tasks: 1})
		if tree.Held() > RootLevel(n) {
			t.Fatalf("%d held after %d", tree.Held(), i+1)
		}
	}
}

func TestNode_SpansCoverAllTasksOnce(t *testing.T) {
	for n := 1; n < 70; n++ {
		for level := range RootLevel(n) + 1 {
			next := 0
			for i := range NodesAt(level, n) {
				lo, hi := Node{level, i}.Span(n)
				if lo != next || hi <= lo || hi-lo > 1<<level {
					t.Fatalf("n %d, node (%d,%d): [%d,%d), expected to begin at %d", n, level, i, lo, hi, next)
				}
				next = hi
			}
			if next != n {
				t.Fatalf("n %d, level %d: covers %d", n, level, next)
			}
		}
		for _, d := range []Node{{-1, 0}, {0, -1}, {0, n}, {62, 3}, {3, 1 << 40}} {
			if lo, hi := d.Span(n); lo != hi {
				t.Errorf("%+v covers [%d,%d) of %d", d, lo, hi, n)
			}
		}
	}
}
