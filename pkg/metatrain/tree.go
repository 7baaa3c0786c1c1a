package metatrain

import "github.com/warmstart-ml/warmstart/internal/kernel"

// Node is one node of the reduction tree over the tasks of a step: (Level, Index) covers tasks
// [Index*2^Level, (Index+1)*2^Level), cut to the number of tasks. A shard is a node: an aligned subtree.
type Node struct {
	Level int `json:"l"`
	Index int `json:"i"`
}

// Span gives the tasks [lo, hi) the node covers among n. Empty where the node lies beyond n.
func (d Node) Span(n int) (lo, hi int) {
	if d.Level < 0 || d.Level > 30 || d.Index < 0 || d.Index > n {
		return n, n
	}
	lo, hi = d.Index<<d.Level, (d.Index+1)<<d.Level
	return min(lo, n), min(hi, n)
}

// RootLevel is the level of the node that covers all n tasks: the least l with 2^l >= n.
func RootLevel(n int) int {
	l := 0
	for 1<<l < n {
		l++
	}
	return l
}

// NodesAt is how many nodes of a level cover n tasks.
func NodesAt(level, n int) int { return (n + 1<<level - 1) >> level }

// Partial is what the tree sums: the meta-gradient (length: parameters; nil where no task contributed), sums of
// metrics, and how many tasks contributed.
type Partial struct {
	Vec     []float32
	Metrics []float64
	Tasks   int
}

// Join adds right into left and returns left. The order of operands is the contract's: the lower index stands left.
func Join(left, right Partial) Partial {
	switch {
	case right.Tasks == 0:
		return left
	case left.Tasks == 0:
		return right
	}
	kernel.AddInto(left.Vec[:len(right.Vec)], right.Vec)
	for i, v := range right.Metrics {
		left.Metrics[i] += v
	}
	left.Tasks += right.Tasks
	return left
}

// Tree folds the partials of one step, in whatever order they arrive, by the fixed binary tree, holding only what
// waits for a sibling: O(log tasks) partials when shards arrive in order.
type Tree struct {
	n     int
	held  map[Node]Partial
	spare func(vec []float32) // takes the memory that a join leaves over; nil: nobody does
}

// NewTree starts the reduction of n tasks.
func NewTree(n int) *Tree { return &Tree{n: n, held: map[Node]Partial{}} }

// Held is how many partials wait for a sibling.
func (t *Tree) Held() int { return len(t.held) }

// Add puts one node's partial in and joins upward as far as siblings are there. The caller adds each part of the
// tree once and gives up the partial's memory. At the root the step's sum comes back with done = true.
func (t *Tree) Add(d Node, p Partial) (sum Partial, done bool) {
	for root := RootLevel(t.n); d.Level < root; d = (Node{d.Level + 1, d.Index / 2}) {
		sibling := Node{d.Level, d.Index ^ 1}
		if lo, hi := sibling.Span(t.n); lo >= hi {
			continue // a lone child passes unchanged
		}
		other, ok := t.held[sibling]
		if !ok {
			t.held[d] = p
			return Partial{}, false
		}
		delete(t.held, sibling)
		left, right := other, p
		if sibling.Index > d.Index {
			left, right = p, other
		}
		both := left.Tasks > 0 && right.Tasks > 0
		if p = Join(left, right); both && t.spare != nil {
			t.spare(right.Vec)
		}
	}
	return p, true
}

// Fold sums leaves 0..n-1 serially by the same tree: the twin that defines what Tree must give, and what a worker
// runs over its shard. leaf(i) yields task i's partial, whose memory Fold may take over.
func Fold(d Node, n int, leaf func(task int) (Partial, error)) (Partial, error) {
	if lo, hi := d.Span(n); lo >= hi {
		return Partial{}, nil
	}
	if d.Level == 0 {
		return leaf(d.Index)
	}
	left, err := Fold(Node{d.Level - 1, 2 * d.Index}, n, leaf)
	if err != nil {
		return Partial{}, err
	}
	right, err := Fold(Node{d.Level - 1, 2*d.Index + 1}, n, leaf)
	if err != nil {
		return Partial{}, err
	}
	return Join(left, right), nil
}
