package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/internal/etcdstate"
	"github.com/warmstart-ml/warmstart/internal/testservers"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// stored is a store of many runs: one finished, with its version, one at a checkpoint behind a torn newer one, the rest
// before their first.
func stored(t *testing.T, runs int) (store *checkpoint.Dir, ids []string) {
	t.Helper()
	store, err := checkpoint.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string, data []byte) {
		t.Helper()
		if err := store.Put(t.Context(), key, data); err != nil {
			t.Fatal(err)
		}
	}
	spec := metatrain.RunSpec{
		Name: "waves", Contract: metatrain.Contract, Family: metatrain.Section{Name: "sinusoid"}, Model: metatrain.Section{Name: "mlp"}, Learner: metatrain.Section{Name: "maml"},
		Optimizer: metatrain.OptimizerSpec{Name: "sgd", Rate: 0.1, Schedule: "constant"}, MetaBatch: 4, Steps: 100, OnBadTask: "skip", StallSeconds: 60,
		Checkpoint: metatrain.CheckpointSpec{Every: 10, Keep: 2}, Validation: metatrain.ValidationSpec{Every: 10, Tasks: 1},
	}
	for g := range runs {
		ids = append(ids, spec.RunID(g))
		put(metatrain.SpecObject(spec.RunID(g)), metatrain.EncodeSpec(spec))
	}
	for _, step := range []int64{10, 20, 30} {
		c := checkpoint.Checkpoint{Contract: metatrain.Contract, SpecDigest: spec.Digest(), Step: step, Meta: map[string]string{"decisions": "{}"},
			Tensors: []checkpoint.Tensor{{Name: "theta", Shape: []int{1}, F32: []float32{float32(step)}}}}
		data, sha, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if step == 30 {
			data = data[:len(data)-1]
		}
		put(checkpoint.CheckpointKey(ids[1], 0, step, sha), data)
	}
	man := checkpoint.Manifest{Model: "waves", Version: 3, Run: ids[0], Contract: metatrain.Contract, Spec: string(metatrain.EncodeSpec(spec)), SpecDigest: spec.Digest(), Created: "2026-01-02T03:04:05Z"}
	if err := checkpoint.PublishVersion(t.Context(), store, map[string][]byte{checkpoint.ModelFile: {1}, checkpoint.ConfigFile: []byte("{}")}, man); err != nil {
		t.Fatal(err)
	}
	return store, ids
}

func quiet(Rebuilt) error { return nil }

var errKilled = errors.New("killed")

// mortal dies at its nth write, before it has effect or after.
type mortal struct {
	checkpoint.Store
	committer
	left  int
	after bool
}

func (m *mortal) dies() bool { m.left--; return m.left == 0 }

func (m *mortal) Commit(ctx context.Context, t metatrain.Txn) (int64, error) {
	dies := m.dies()
	if dies && !m.after {
		return 0, errKilled
	}
	rev, err := m.committer.Commit(ctx, t)
	if dies {
		err = errKilled
	}
	return rev, err
}

func (m *mortal) Put(ctx context.Context, key string, data []byte) error {
	dies := m.dies()
	if dies && !m.after {
		return errKilled
	}
	err := m.Store.Put(ctx, key, data)
	if dies {
		err = errKilled
	}
	return err
}

// attempt is one life of a rebuild, which dies at its nth write; 0: it does not.
func attempt(t *testing.T, state *etcdstate.State, store checkpoint.Store, now time.Time, n int, after bool) (Rebuilt, error) {
	t.Helper()
	lead, err := state.Campaign(t.Context(), rebuildID+"test", 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lead.Resign(context.WithoutCancel(t.Context())) }()
	m := &mortal{store, lead, n, after}
	b := &rebuild{store: m, load: state.Load, log: slog.New(slog.DiscardHandler)}
	p, err := b.plan(t.Context(), now, quiet)
	if err != nil || p.Before {
		return p, err
	}
	return p, b.write(t.Context(), m, p)
}

func state(t *testing.T, etcd *testservers.EtcdServer, prefix string) *etcdstate.State {
	t.Helper()
	s, err := etcdstate.Open(t.Context(), etcdstate.Config{Endpoints: []string{etcd.Endpoint}, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Killed at each of its writes, before or after it has effect, a rebuild can be run again and ends at the same state;
// until then no coordinator may lead on what is there.
func TestRebuildIsKilledAtEachWrite(t *testing.T) {
	t.Parallel()
	etcd := testservers.Etcd(t)
	now := time.Unix(1_700_000_000, 0)
	var want string
	for n := 0; ; n++ {
		died := false
		for _, after := range []bool{false, true} {
			store, ids := stored(t, 80) // two transactions of records
			s := state(t, etcd, fmt.Sprintf("p%d-%v", n, after))
			_, err := attempt(t, s, store, now, n, after)
			if died = err != nil; died && !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			truth, err := s.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			epoch, err := coordinator.Epoch(t.Context(), store)
			if err != nil {
				t.Fatal(err)
			}
			lastAfter := died && after && metatrain.CheckEpoch(truth, epoch) == nil // the very last write had effect
			if began := len(truth) > 0; died && began && !lastAfter && metatrain.CheckEpoch(truth, epoch) == nil {
				t.Errorf("killed at write %d (after: %v): a coordinator may lead on %d keys", n, after, len(truth))
			}
			again, err := attempt(t, s, store, now.Add(time.Hour), 0, false) // later, by the clock
			if err != nil || again.Epoch != 1 || died && again.Before && !lastAfter {
				t.Fatalf("killed at write %d (after: %v): again: %+v, %v", n, after, again.Epoch, err)
			}
			if truth, err = s.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := metatrain.CheckEpoch(truth, 1); err != nil {
				t.Errorf("found %v after a rebuild", err)
			}
			found := said(truth)
			if want == "" {
				want = found
				mustHave(t, found, "runs/"+ids[1]+"/pointer", "000000000020-", `models/waves/versions={"versions":[{"n":3`)
			}
			if found != want {
				t.Errorf("killed at write %d (after: %v): found\n%s\nexpected\n%s", n, after, found, want)
			}
		}
		if n > 0 && !died {
			if n < 6 {
				t.Errorf("found a rebuild of %d writes, expected several to die at", n)
			}
			return
		}
	}
}

// said is a truth as text, without the times of creation.
func said(truth []metatrain.KV) string {
	var b strings.Builder
	for _, kv := range truth {
		value := string(kv.Value)
		for _, at := range []int64{1_700_000_000, 1_700_003_600} {
			value = strings.ReplaceAll(value, fmt.Sprint(at), "T")
		}
		fmt.Fprintf(&b, "%s=%s\n", kv.Key, value)
	}
	return b.String()
}

func mustHave(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("found %q, expected %q in it", text, w)
		}
	}
}

// A rebuild writes over nothing, and under nobody.
func TestRebuildRefuses(t *testing.T) {
	t.Parallel()
	etcd := testservers.Etcd(t)
	store, _ := stored(t, 2)
	now := time.Now()
	commit := func(s *etcdstate.State, key, value string) {
		t.Helper()
		lead, err := s.Campaign(t.Context(), "someone", 2*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := lead.Commit(t.Context(), metatrain.Txn{Puts: []metatrain.Put{{Key: key, Value: []byte(value)}}}); err != nil {
			t.Fatal(err)
		}
		if err := lead.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(s *etcdstate.State, words ...string) {
		t.Helper()
		_, err := attempt(t, s, store, now, 0, false)
		if err == nil {
			t.Errorf("found a rebuild, expected it refused: %q", words)
			return
		}
		mustHave(t, err.Error(), words...)
	}
	s := state(t, etcd, "full")
	commit(s, "runs/other-1/spec", "{}")
	refused(s, "holds state already", "runs/other-1/spec", "etcdctl del --prefix")

	s = state(t, etcd, "led") // rebuilt, then led: no longer what a rebuild wrote
	if _, err := attempt(t, s, store, now, 0, false); err != nil {
		t.Fatal(err)
	}
	if p, err := attempt(t, s, store, now, 0, false); err != nil || !p.Before {
		t.Errorf("found %+v, %v of a rebuild run twice, expected it to find all there", p.Before, err)
	}
	commit(s, "models/waves/versions", `{"versions":[]}`)
	refused(s, "holds state already", "models/waves/versions")

	s = state(t, etcd, "old") // its epoch is 1; then another etcd was rebuilt into
	if _, err := attempt(t, s, store, now, 2, true); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), metatrain.EpochObject(9), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	refused(s, "epoch 9", "another rebuild came between")
}

func TestRebuildRefusesWhereSomebodyLeads(t *testing.T) {
	t.Parallel()
	etcd := testservers.Etcd(t)
	c := Config{Log: slog.New(slog.DiscardHandler)}
	c.Common.Prefix, c.Common.Wait = "p", time.Second
	c.NATS.URL, c.Etcd.Endpoints, c.Store.Dir = "nats://127.0.0.1:1", etcd.Endpoint, t.TempDir()
	s := state(t, etcd, "p")
	lead, err := s.Campaign(t.Context(), "host-7", 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Rebuild(t.Context(), c, true, quiet); err == nil || !strings.Contains(err.Error(), "host-7 leads") {
		t.Errorf("found %v, expected the leader named", err)
	}
	if err := lead.Resign(t.Context()); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	p, err := Rebuild(t.Context(), c, true, func(p Rebuilt) error { return p.Write(&out) })
	if err != nil || p.Epoch != 1 || !strings.Contains(out.String(), "0 runs") {
		t.Errorf("found %+v, %v and %q of a store without runs", p, err, out.String())
	}
	if kvs, err := s.Load(t.Context()); err != nil || len(kvs) > 0 {
		t.Errorf("found %d keys, %v after --dry-run, expected none", len(kvs), err)
	}
	c.Store.Dir = ""
	if _, err := Rebuild(t.Context(), c, true, quiet); err == nil || !strings.Contains(err.Error(), "--store-dir") {
		t.Errorf("found %v, expected the flags that are missing", err)
	}
}

func TestPlanIsShown(t *testing.T) {
	store, ids := stored(t, 3)
	r, passed, err := remains(t.Context(), store, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	p := Rebuilt{Rebuilt: metatrain.Rebuild(r, 1), Epoch: 4}
	p.Left = append(passed, p.Left...)
	var out bytes.Buffer
	if err := p.Write(&out); err != nil {
		t.Fatal(err)
	}
	mustHave(t, out.String(), ids[0], "finished", ids[1], "paused", "20", "the start", "left out: checkpoint", "000000000030", "torn or corrupted",
		"3 runs, 1 whole versions", "epoch 4", "not in the store", "skipped after")
}
