package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

const contract, spec = "lane/1", "sha256-of-spec"

func sample(rewinds, step int64) checkpoint.Checkpoint {
	return checkpoint.Checkpoint{
		Contract: contract, SpecDigest: spec, Rewinds: rewinds, Step: step,
		Meta: map[string]string{"decisions": "[]"},
		Tensors: []checkpoint.Tensor{
			{Name: "adam.m", Shape: []int{2}, F64: []float64{0.5, float64(rewinds)}},
			{Name: "theta", Shape: []int{2}, F32: []float32{1, float32(step)}},
		},
	}
}

// save puts c under its key and returns both.
func save(t *testing.T, store checkpoint.Store, c checkpoint.Checkpoint) (key string, data []byte) {
	t.Helper()
	data, sha, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	key = checkpoint.CheckpointKey("r1", c.Rewinds, c.Step, sha)
	put(t, store, key, data)
	return key, data
}

func put(t *testing.T, store checkpoint.Store, key string, data []byte) {
	t.Helper()
	if err := store.Put(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
}

func TestCheckpointRoundTrip(t *testing.T) {
	want := sample(2, 70)
	data, sha, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if sha != checkpoint.Digest(data) {
		t.Errorf("sha %s is not the digest of the data", sha)
	}
	key := checkpoint.CheckpointKey("r1", 2, 70, sha)
	if want := "runs/r1/ckpt/r000002-000000000070-" + sha + ".safetensors"; key != want {
		t.Errorf("found key %s, expected %s", key, want)
	}
	got, err := checkpoint.DecodeCheckpoint(key, data, contract, spec)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("found %+v, expected %+v", got, want)
	}
	again, _, err := got.Encode()
	if err != nil || string(again) != string(data) {
		t.Errorf("encoded again it has other bytes (error %v)", err)
	}
}

func TestG7_CheckpointEncodeRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*checkpoint.Checkpoint){
		"negative step":    func(c *checkpoint.Checkpoint) { c.Step = -1 },
		"step too long":    func(c *checkpoint.Checkpoint) { c.Step = 1e12 },
		"negative rewinds": func(c *checkpoint.Checkpoint) { c.Rewinds = -1 },
		"reserved key":     func(c *checkpoint.Checkpoint) { c.Meta = map[string]string{"warmstart.step": "1"} },
		"tensor":           func(c *checkpoint.Checkpoint) { c.Tensors[0].Shape = []int{3} },
	} {
		c := sample(0, 1)
		spoil(&c)
		if _, _, err := c.Encode(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestG7_ParseCheckpointKey(t *testing.T) {
	sha := strings.Repeat("0a", 32)
	good := checkpoint.CheckpointKey("r1", 0, 12, sha)
	run, step, got, err := checkpoint.ParseCheckpointKey(good)
	if err != nil || run != "r1" || step != 12 || got != sha {
		t.Errorf("found %s, %d, %s, %v", run, step, got, err)
	}
	again := checkpoint.CheckpointKey("r1", 3, 12, sha)
	if run, step, got, err := checkpoint.ParseCheckpointKey(again); err != nil || run != "r1" || step != 12 || got != sha {
		t.Errorf("found %s, %d, %s, %v", run, step, got, err)
	}
	for _, bad := range []string{
		"", "x" + good, strings.Replace(again, "r000003", "r3", 1), strings.Replace(again, "r000003", "000003", 1), good + ".tmp", strings.Replace(good, "r1", ".r1", 1), strings.Replace(good, "r1", "r/1", 1),
		strings.Replace(good, "000000000012", "12", 1), strings.Replace(good, "000000000012", "-00000000012", 1),
		strings.Replace(good, "0a", "0A", 1), strings.Replace(good, "0a", "", 1), strings.Replace(good, "ckpt", "spec", 1),
	} {
		if _, _, _, err := checkpoint.ParseCheckpointKey(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("key %q: found error %v, expected one that names it", bad, err)
		}
	}
}

// TestG3_ResumePassesOverWhatIsNotWhole: resume takes the newest whole
// checkpoint and names each that it passed over, with the reason.
func TestG3_ResumePassesOverWhatIsNotWhole(t *testing.T) {
	store := mustOpenDir(t, t.TempDir())
	save(t, store, sample(0, 10))
	want, _ := save(t, store, sample(0, 20))

	spoilt := map[string]string{} // key: reason
	spoil := func(step int64, reason string, change func(key string, data []byte) (string, []byte)) {
		c := sample(0, step)
		data, sha, err := c.Encode()
		if err != nil {
			t.Fatal(err)
		}
		key, data := change(checkpoint.CheckpointKey("r1", 0, step, sha), data)
		put(t, store, key, data)
		spoilt[key] = reason
	}
	spoil(30, "torn or corrupted", func(k string, d []byte) (string, []byte) { return k, d[:len(d)-3] })
	spoil(31, "torn or corrupted", func(k string, d []byte) (string, []byte) { d[len(d)-1] ^= 1; return k, d })
	spoil(32, "torn or corrupted", func(k string, d []byte) (string, []byte) { return k, make([]byte, len(d)) })
	spoil(33, `step is "33"; expected "34"`, func(k string, d []byte) (string, []byte) {
		return strings.Replace(k, "000033-", "000034-", 1), d
	})
	spoil(35, "not a checkpoint's name", func(k string, d []byte) (string, []byte) { return k + ".bak", d })
	foreign := func(step int64, reason string, change func(c *checkpoint.Checkpoint)) {
		c := sample(0, step)
		change(&c)
		key, _ := save(t, store, c)
		spoilt[key] = reason
	}
	foreign(40, `spec_digest is "other"; expected "sha256-of-spec"`, func(c *checkpoint.Checkpoint) { c.SpecDigest = "other" })
	foreign(41, `contract is "lane/2"; expected "lane/1"`, func(c *checkpoint.Checkpoint) { c.Contract = "lane/2" })
	for step, raw := range map[int64][]byte{50: []byte("not safetensors"), 51: mustEncode(t, nil), 52: mustEncode(t, map[string]string{
		"warmstart.format": "checkpoint/1", "warmstart.contract": contract, "warmstart.spec_digest": spec,
		"warmstart.step": "52", "warmstart.rewinds": "-1",
	})} {
		key := checkpoint.CheckpointKey("r1", 0, step, checkpoint.Digest(raw))
		put(t, store, key, raw)
		spoilt[key] = map[int64]string{50: "decode tensors", 51: `format is ""`, 52: `rewinds is "-1"`}[step]
	}

	c, key, passedOver, err := checkpoint.Newest(t.Context(), store, "r1", contract, spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != want || !reflect.DeepEqual(c, sample(0, 20)) {
		t.Errorf("found %s, expected %s", key, want)
	}
	if len(passedOver) != len(spoilt) {
		t.Errorf("passed over %d, expected %d", len(passedOver), len(spoilt))
	}
	for key, reason := range spoilt {
		if !slices.ContainsFunc(passedOver, func(err error) bool {
			return strings.Contains(err.Error(), "checkpoint "+key+":") && strings.Contains(err.Error(), reason)
		}) {
			t.Errorf("%s: expected to be passed over for %q; found %v", key, reason, passedOver)
		}
	}
}

func mustEncode(t *testing.T, meta map[string]string) []byte {
	t.Helper()
	data, err := checkpoint.EncodeTensors(meta, nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestG3_NewestIsByRewindsThenStep(t *testing.T) {
	store := mustOpenDir(t, t.TempDir())
	for _, c := range []struct{ rewinds, step int64 }{{0, 9}, {0, 100}, {1, 40}, {1, 50}, {0, 60}} {
		save(t, store, sample(c.rewinds, c.step))
	}
	c, _, passedOver, err := checkpoint.Newest(t.Context(), store, "r1", contract, spec, nil)
	if err != nil || len(passedOver) > 0 {
		t.Fatal(err, passedOver)
	}
	if c.Rewinds != 1 || c.Step != 50 {
		t.Errorf("found rewinds %d, step %d; expected 1, 50", c.Rewinds, c.Step)
	}
}

// The names of checkpoints sort as they do, so that retention takes the oldest; and what a caller refuses is passed over.
func TestG3_OrderIsThatOfRewindsThenStep(t *testing.T) {
	store := mustOpenDir(t, t.TempDir())
	var keys []string
	for _, c := range []struct{ rewinds, step int64 }{{0, 9}, {0, 100}, {1, 40}, {1, 100}, {2, 3}} {
		key, _ := save(t, store, sample(c.rewinds, c.step))
		keys = append(keys, key)
	}
	if !slices.IsSortedFunc(keys, func(a, b string) int { return strings.Compare(checkpoint.KeyOrder(a), checkpoint.KeyOrder(b)) }) {
		t.Errorf("out of order: %v", keys)
	}
	c, key, passedOver, err := checkpoint.Newest(t.Context(), store, "r1", contract, spec, func(rewinds, step int64) error {
		if rewinds > 0 || step > 50 {
			return errBroken
		}
		return nil
	})
	if err != nil || key != keys[0] || c.Step != 9 || len(passedOver) != 4 || !errors.Is(passedOver[0], errBroken) {
		t.Errorf("found %s, passed over %v, error %v; expected %s", key, passedOver, err, keys[0])
	}
	objects, err := store.List(t.Context(), checkpoint.CheckpointFolder("r1"))
	if err != nil {
		t.Fatal(err)
	}
	if drop, err := checkpoint.PlanRetention(objects, 2); err != nil || len(drop) != 3 || slices.Contains(drop, keys[3]) || slices.Contains(drop, keys[4]) {
		t.Errorf("plan %v, %v; expected the three oldest", drop, err)
	}
}

func TestNewestOfNone(t *testing.T) {
	store := mustOpenDir(t, t.TempDir())
	if _, _, _, err := checkpoint.Newest(t.Context(), store, "r1", contract, spec, nil); !errors.Is(err, checkpoint.ErrNotFound) {
		t.Errorf("found error %v, expected %v", err, checkpoint.ErrNotFound)
	}
	save(t, store, sample(0, 1))
	_, _, passedOver, err := checkpoint.Newest(t.Context(), store, "r1", contract, "other", nil)
	if !errors.Is(err, checkpoint.ErrNotFound) || len(passedOver) != 1 {
		t.Errorf("found error %v with %d passed over, expected %v with 1", err, len(passedOver), checkpoint.ErrNotFound)
	}
}

// brokenStore fails to read.
type brokenStore struct{ checkpoint.Store }

var errBroken = errors.New("disk on fire")

func (brokenStore) Get(context.Context, string) ([]byte, error) { return nil, errBroken }

// TestG3_NewestDoesNotPassOverAFailingStore: what cannot be read may be whole.
func TestG3_NewestDoesNotPassOverAFailingStore(t *testing.T) {
	store := mustOpenDir(t, t.TempDir())
	save(t, store, sample(0, 1))
	if _, _, _, err := checkpoint.Newest(t.Context(), brokenStore{store}, "r1", contract, spec, nil); !errors.Is(err, errBroken) {
		t.Errorf("found error %v, expected %v", err, errBroken)
	}
}

func TestPlanRetention(t *testing.T) {
	var objects []checkpoint.Object
	key := func(step int64) string {
		return checkpoint.CheckpointKey("r1", 0, step, checkpoint.Digest(fmt.Append(nil, step)))
	}
	for _, step := range []int64{10, 20, 100, 5, 30} {
		objects = append(objects, checkpoint.Object{Key: key(step), Size: 1})
	}
	objects = append(objects, checkpoint.Object{Key: "runs/r1/ckpt/readme", Size: 1})
	for _, c := range []struct {
		keep   int
		pinned []string
		want   []string
	}{
		{1, nil, []string{key(30), key(20), key(10), key(5)}},
		{3, nil, []string{key(10), key(5)}},
		{3, []string{key(5), key(100)}, []string{key(10)}},
		{5, nil, nil},
		{9, nil, nil},
	} {
		got, err := checkpoint.PlanRetention(objects, c.keep, c.pinned...)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("keep %d, pinned %v: found %v with error %v, expected %v", c.keep, c.pinned, got, err, c.want)
		}
	}
	if _, err := checkpoint.PlanRetention(objects, 0); err == nil {
		t.Error("a plan to keep nothing is taken")
	}
}
