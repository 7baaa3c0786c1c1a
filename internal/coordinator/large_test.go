package coordinator_test

import (
	"sync"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// A result of several chunks is announced without a byte of it; with room for one, results come one after the other; and
// the bits are those of a leader that has room for all (G1, G6).
func TestG6_LargeResultsAreAnnouncedBeforeTheirBytes(t *testing.T) {
	var models []string
	for _, window := range []int{0, 1} {
		r := newRig(t)
		r.coordinate("a", metatrain.Config{Window: window, ShardTasks: 1})
		r.started()
		var mu sync.Mutex
		begun, announced, chunks := map[string]bool{}, 0, 0
		stop, _ := r.bus.Subscribe(r.lead("result"), func(data []byte) {
			var res metatrain.Result
			payload, err := metatrain.DecodeFrame(data, &res)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case res.Total <= metatrain.MaxChunk:
			case len(payload) > 0:
				if chunks++; !begun[res.Worker+res.SHA256] {
					t.Errorf("bytes of %+v came before it was announced", res.Work.Node)
				}
			default:
				announced++
				begun[res.Worker+res.SHA256] = true
			}
		})
		for range 2 {
			r.work()
		}
		spec := r.spec("large")
		spec.Model.Options = []byte(`{"hidden":[350,350],"activation":"relu","skip":false}`) // 124,000 parameters: two chunks
		spec.Steps, spec.MetaBatch = 3, 4
		models = append(models, r.train(spec))
		stop()
		mu.Lock()
		if results := 1 + 3*4; announced < results || chunks < 2*results {
			t.Errorf("window %d: %d announcements and %d chunks, expected those of %d results", window, announced, chunks, results)
		}
		mu.Unlock()
	}
	if models[0] != models[1] {
		t.Errorf("models %v, expected equal ones", models)
	}
}
