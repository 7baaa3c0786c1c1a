package coordinator_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// slowList is a store whose listings take long, and the first few of which fail.
type slowList struct {
	checkpoint.Store
	takes time.Duration
	fails atomic.Int32
}

func (s *slowList) List(ctx context.Context, prefix string) ([]checkpoint.Object, error) {
	if prefix == "cluster/epoch/" {
		return s.Store.List(ctx, prefix)
	}
	time.Sleep(s.takes)
	if s.fails.Add(-1) >= 0 {
		return nil, errDown
	}
	return s.Store.List(ctx, prefix)
}

// After a run the store holds no checkpoint that its last plan of retention names, though plans overlap with the pass
// before, or fail: none comes after the last one.
func TestRetentionIsCarriedOutToTheEnd(t *testing.T) {
	for name, slow := range map[string]*slowList{"slow": {takes: 300 * time.Millisecond}, "failing": {}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			spec := r.spec("x")
			spec.Steps = 400 // long enough for a state to become durable before the end
			spec.Checkpoint.Every, spec.Checkpoint.Keep = 20, 1
			if name == "failing" {
				spec.Checkpoint.Every = spec.Steps / 2 // two plans, which fail
				slow.fails.Store(2)
			}
			slow.Store = r.store.Store
			r.store.Store = slow
			r.coordinate("a", metatrain.Config{})
			r.work()
			run, _, err := r.client.Submit(r.ctx, spec, false)
			if err != nil {
				t.Fatal(err)
			}
			r.finish(run.Run)
			// A state that was not pointed to by the run's end stays beside: the plan goes by the pointer.
			var pointer metatrain.PointerRecord
			r.truth.mu.Lock()
			err = json.Unmarshal(r.truth.keys["runs/"+run.Run+"/pointer"].Value, &pointer)
			r.truth.mu.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			last := metatrain.DropCheckpoints{Run: run.Run, Keep: 1, Pointer: pointer.Key}
			var needless []string
			for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
				left, err := slow.Store.List(r.ctx, checkpoint.CheckpointFolder(run.Run))
				if err != nil {
					t.Fatal(err)
				}
				if needless, err = last.Plan(left); err != nil {
					t.Fatal(err)
				}
				if len(needless) == 0 {
					return
				}
			}
			t.Errorf("found %v, expected them deleted: the pointer is at %s", needless, pointer.Key)
		})
	}
}
