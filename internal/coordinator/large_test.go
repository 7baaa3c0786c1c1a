package coordinator_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/s3store"
	"github.com/warmstart-ml/warmstart/internal/testservers"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// learn trains to the end and holds that the last step's model is the one published, not theta_0.
func (r *rig) learn(spec metatrain.RunSpec) string {
	r.t.Helper()
	model := r.train(spec)
	runs, _, err := r.client.Runs(r.ctx, "")
	if err != nil || runs[len(runs)-1].BestStep != spec.Steps {
		r.t.Fatalf("%v: the published model is of another step than %d: %+v", err, spec.Steps, runs)
	}
	return model
}

// wide makes a spec one of 124,000 parameters, which travel in two chunks.
func wide(spec metatrain.RunSpec) metatrain.RunSpec {
	spec.Seed, spec.Optimizer.Rate = 3, 1e-4
	spec.Model.Options = []byte(`{"hidden":[350,350],"activation":"relu","skip":false}`)
	spec.Steps, spec.MetaBatch = 3, 4
	return spec
}

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
		models = append(models, r.learn(wide(r.spec("large"))))
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

// Large parameters are put into a real S3 server once and read there by an address; a worker that cannot reach it, or finds
// another object there, has them from the leader, and so have all where the store fails. The bits are the same, workers hold
// no credentials, and nothing stays behind (G1, G8).
func TestG8_LargeParametersAreReadFromTheStoreOrRelayed(t *testing.T) {
	server := testservers.VersityGW(t)
	reachable := func(s *s3store.Store) func(context.Context, string, time.Duration) (string, error) { return s.Presign }
	var models []string
	for _, c := range []struct {
		name, warns string
		broadcast   bool
		presign     func(s *s3store.Store) func(context.Context, string, time.Duration) (string, error)
	}{
		{"reachable", "", false, reachable},
		{"out of reach", "out of reach", false, func(*s3store.Store) func(context.Context, string, time.Duration) (string, error) {
			return func(context.Context, string, time.Duration) (string, error) { return "http://127.0.0.1:1/secret", nil }
		}},
		{"another object", "expected 200", false, func(s *s3store.Store) func(context.Context, string, time.Duration) (string, error) {
			return func(ctx context.Context, key string, life time.Duration) (string, error) {
				objects, err := s.List(ctx, "runs/")
				if err != nil || len(objects) == 0 {
					return "", errors.New("no other object")
				}
				return s.Presign(ctx, objects[0].Key, life)
			}
		}},
		{"no address", "", true, func(*s3store.Store) func(context.Context, string, time.Duration) (string, error) {
			return func(context.Context, string, time.Duration) (string, error) { return "", errDown }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			objects, err := s3store.Open(r.ctx, s3store.Config{Endpoint: server.URL, Bucket: "b" + strings.ReplaceAll(c.name, " ", "-"), AccessKey: server.AccessKey, SecretKey: server.SecretKey, Region: server.Region})
			if err != nil {
				t.Fatal(err)
			}
			r.store.Store, r.store.presign = objects, c.presign(objects)
			var log lines
			if r.client, err = client.New(r.bus, "", slog.New(slog.NewTextHandler(&log, nil))); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.client.Close)
			r.coordinate("a", metatrain.Config{ShareBytes: 100_000, ShardTasks: 1})
			r.started()
			var mu sync.Mutex
			relayed, broadcast := 0, 0
			stopFetch, _ := r.bus.Subscribe(r.lead("fetch"), func(data []byte) {
				var f metatrain.Fetch
				if _, err := metatrain.DecodeFrame(data, &f); err == nil && f.Theta != "" && !f.Ref {
					mu.Lock()
					relayed++
					mu.Unlock()
				}
			})
			stopTheta, _ := r.bus.Subscribe("warmstart.theta", func([]byte) { mu.Lock(); broadcast++; mu.Unlock() })
			r.work()
			models = append(models, r.learn(wide(r.spec("large"))))
			stopFetch()
			stopTheta()
			mu.Lock()
			defer mu.Unlock()
			if found := broadcast > 0; found != c.broadcast {
				t.Errorf("%d chunks were broadcast", broadcast)
			}
			if found := relayed > 0; found != (c.warns != "") {
				t.Errorf("%d fetches of bytes from the leader", relayed)
			}
			if c.warns != "" && log.having("out of reach", c.warns) != 1 || log.having("secret")+log.having("Signature") > 0 {
				t.Errorf("the worker's log: %s", log.text.String())
			}
			for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				left, err := objects.List(r.ctx, metatrain.ThetaFolder(""))
				if err == nil && len(left) == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("left in the store: %v, %v", left, err)
				}
			}
		})
	}
	for _, m := range models {
		if m != models[0] {
			t.Errorf("models %v, expected equal ones", models)
		}
	}
}

// Sums that travel as bf16 take half the bytes, and lead to one model for any number of workers and size of shards, which
// is not that of float32 (G1).
func TestG1_SameBitsOfRoundedSums(t *testing.T) {
	train := func(workers, shard int, form metatrain.ResultsSpec) string {
		r := newRig(t)
		r.coordinate("a", metatrain.Config{ShardTasks: shard})
		r.started()
		var mu sync.Mutex
		sizes := map[int]bool{}
		stop, _ := r.bus.Subscribe(r.lead("result"), func(data []byte) {
			var res metatrain.Result
			if _, err := metatrain.DecodeFrame(data, &res); err == nil && res.Work.Kind == metatrain.Train {
				mu.Lock()
				sizes[res.Total] = true
				mu.Unlock()
			}
		})
		for range workers {
			r.work()
		}
		spec := wide(r.spec("rounded"))
		spec.MetaBatch, spec.Results = 7, form
		model := r.learn(spec)
		stop()
		mu.Lock()
		defer mu.Unlock()
		if len(sizes) != 1 || sizes[2*123_901] != (form.Form == "bf16") {
			t.Errorf("sums of %v bytes", sizes)
		}
		return model
	}
	form := metatrain.ResultsSpec{Form: "bf16", ShardTasks: 2}
	want := train(1, 0, form)
	for _, c := range []struct{ workers, shard int }{{3, 0}, {2, 1}, {1, 8}} {
		if found := train(c.workers, c.shard, form); found != want {
			t.Errorf("%d workers, the operator's shards of %d: model %s, expected %s", c.workers, c.shard, found, want)
		}
	}
	if train(1, 0, metatrain.ResultsSpec{}) == want {
		t.Error("float32 leads to the same model: nothing was rounded")
	}
}
