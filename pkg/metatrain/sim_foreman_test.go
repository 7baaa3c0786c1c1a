package metatrain

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// foreman does a lease as the leader of workers of its own would: it cuts the shard into nodes of some lower level, which
// are aligned as the shard is, leases each by the same work under that node, takes their sums in whatever order they
// come, the odd one twice, and folds them. Its shard's tree is the leader's own below the shard's node, so that the sum
// has the same bits (G1), and the leader cannot tell it from a worker that computed alone.
func (p *plan) foreman(rng *rand.Rand, l Lease, machine string, theta, pooled []byte) (res Result, payload []byte, bad int) {
	root := l.Work.Node
	lo, hi := root.Span(l.Tasks)
	if k := l.Work.Kind; k != Train && k != Validate || hi-lo < 2 {
		return p.compute(l, machine, theta, pooled)
	}
	level := rng.IntN(min(root.Level, RootLevel(hi-lo)))
	first := lo >> level
	tree, counted := NewTree(hi-lo), map[int]bool{}
	order := rng.Perm(NodesAt(level, hi-lo))
	for _, i := range append(order, order[0]) {
		if counted[i] {
			continue // sent twice: it counts once (G2)
		}
		counted[i] = true
		part := l
		part.Work.Node = Node{level, first + i}
		res, payload, bad = p.compute(part, machine, theta, pooled)
		if bad >= 0 {
			return res, nil, bad
		}
		vec, err := DecodeFloats(payload, len(payload)/4)
		if err != nil {
			panic(err)
		}
		if sum, done := tree.Add(Node{level, i}, Partial{Vec: vec, Metrics: res.Metrics, Tasks: res.Tasks}); done {
			return Result{Tasks: sum.Tasks, Metrics: sum.Metrics}, EncodeFloats(sum.Vec), -1
		}
	}
	panic(fmt.Sprintf("the parts of %+v do not make it whole", root))
}

// What a foreman hands on is, bit for bit, what one worker would have computed: for every shape of step and shard, tasks
// left out by decision too.
func TestG1_ForemanGivesTheSameBits(t *testing.T) {
	p := &plan{params: 3, bad: map[string]int{}, flaky: map[string]int{}, spec: testSpec()}
	theta := EncodeFloats([]float32{0.25, -3, 1e-3})
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 5))
		tasks := 1 + rng.IntN(70)
		node := Node{Level: rng.IntN(RootLevel(tasks) + 1)}
		node.Index = rng.IntN(NodesAt(node.Level, tasks))
		l := Lease{Work: Work{Kind: []Kind{Train, Validate}[rng.IntN(2)], Step: int64(seed), Node: node}, Tasks: tasks}
		if rng.IntN(3) == 0 {
			l.Skip = []int{rng.IntN(tasks), rng.IntN(tasks)}
		}
		want, alone, _ := p.compute(l, "sound", theta, nil)
		found, payload, _ := p.foreman(rng, l, "sound", theta, nil)
		if Digest(payload) != Digest(alone) || fmt.Sprint(found) != fmt.Sprint(want) {
			t.Fatalf("seed %d, %+v: found %+v and %x, expected %+v and %x", seed, l, found, payload, want, alone)
		}
	}
}
