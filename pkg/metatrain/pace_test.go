package metatrain

import (
	"fmt"
	"testing"
)

// steps gives how long each step of training took, in ms, among workers of these paces.
func steps(t *testing.T, n, shards int, paces ...func(now int64) float64) []int64 {
	t.Helper()
	f := newFleet(t, Config{ShardTasks: 4}, func(s *RunSpec) {
		s.MetaBatch, s.Steps, s.Validation.Every, s.Checkpoint.Every = 4*shards, int64(n), 1000, 1000
	})
	for i, pace := range paces {
		f.join(fmt.Sprint("w", i), pace)
	}
	for f.began[f.plan.id] == nil || f.run().phase != nil {
		f.live(100)
		if f.now > 1_000_000 {
			t.Fatal("the run does not end")
		}
	}
	var took []int64
	began := f.began[f.plan.id]
	for i := range began[1:] {
		took = append(took, began[i+1]-began[i])
	}
	return took
}

// A worker ten times slower than its peers lengthens no step by 1.5 median shards, whether it is slow from its first
// task on or becomes slow, though its peers warm up, and whether a worker has one shard of a step or several.
func TestPace_StragglerLengthensAStepByLessThanOneAndAHalfShards(t *testing.T) {
	const each, warm = 100.0, 3 // ms a task, a shard is 4 of them
	warming := func(now int64) float64 {
		if now < 3000 {
			return warm * each
		}
		return each
	}
	for name, c := range map[string]struct {
		peer, straggler func(int64) float64
		shards          int
	}{
		"from the start":         {steady(each), steady(10 * each), 5},
		"from the start, more":   {steady(each), steady(10 * each), 20},
		"after a while":          {steady(each), func(now int64) float64 { return each * float64(1+9*min(now/2000, 1)) }, 5},
		"after a while, more":    {steady(each), func(now int64) float64 { return each * float64(1+9*min(now/8000, 1)) }, 20},
		"while all warm up":      {warming, func(now int64) float64 { return 10 * warming(now) }, 5},
		"unlike peers, too":      {func(now int64) float64 { return each * (1 + float64(now/450%5)/20) }, steady(10 * each), 10},
		"one of each five tasks": {steady(each), func(now int64) float64 { return each * float64(1+9*(now/400%5/4)) }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			peers := []func(int64) float64{c.peer, c.peer, c.peer, c.peer}
			even := steps(t, 12, c.shards, append(peers, c.peer)...)
			took := steps(t, 12, c.shards, append(peers, c.straggler)...)
			for i := range took {
				shard := int64(4 * each)
				if name == "while all warm up" && i < 4 {
					shard *= warm
				}
				if took[i] >= even[i]+shard*3/2 {
					t.Errorf("step %d took %d ms, %d without a straggler, a shard takes %d", i, took[i], even[i], shard)
				}
				if name == "from the start" && i > 3 && took[i] > even[i]+shard*21/20 {
					t.Errorf("step %d took %d ms, %d without a straggler, who is known by then", i, took[i], even[i])
				}
			}
			t.Logf("steps took %v, %v without a straggler", took, even)
		})
	}
}
