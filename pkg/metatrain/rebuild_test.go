package metatrain

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

const rebuiltAt = 1_700_000_000

// remaining is a store with a run of spec in it, at some checkpoints, and versions.
func remaining(spec RunSpec, generations int) Remains {
	r := Remains{Specs: map[string][]byte{}, Checkpoints: map[string][]RemainingCheckpoint{}}
	for g := range generations {
		r.Specs[spec.RunID(g)] = EncodeSpec(spec)
	}
	return r
}

func ckpt(run string, rewinds, step int64, decisions DecisionsRecord) RemainingCheckpoint {
	return RemainingCheckpoint{Key: checkpoint.CheckpointKey(run, rewinds, step, strings.Repeat("0", 64)), Rewinds: rewinds, Step: step,
		Meta: map[string]string{metaDecisions: string(mustJSON(decisions))}}
}

func manifestOf(spec RunSpec, run string, n int64) checkpoint.Manifest {
	return checkpoint.Manifest{Model: spec.Name, Version: n, Run: run, Spec: string(EncodeSpec(spec)), SpecDigest: spec.Digest(), Created: "2026-01-02T03:04:05Z"}
}

// record reads one of the records planned.
func record[R any](t *testing.T, p Rebuilt, key string) (r R) {
	t.Helper()
	i := slices.IndexFunc(p.Puts, func(put Put) bool { return put.Key == key })
	if i < 0 {
		t.Fatalf("found no record %s among %d", key, len(p.Puts))
	}
	if err := json.Unmarshal(p.Puts[i].Value, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func has(p Rebuilt, key string) bool {
	return slices.ContainsFunc(p.Puts, func(put Put) bool { return put.Key == key })
}

func TestRebuildRestoresRunsAndVersions(t *testing.T) {
	spec := testSpec()
	ids := []string{spec.RunID(0), spec.RunID(1), spec.RunID(2), spec.RunID(3)}
	r := remaining(spec, 4)
	skips := DecisionsRecord{Skips: []Skip{{Step: 2, Kind: Train, Task: 1, Reason: "NaN"}}}
	// Run 0 is finished; run 1 went back once, so that fewer steps are newer; run 2 has none; run 3's version is torn.
	r.Checkpoints[ids[0]] = []RemainingCheckpoint{ckpt(ids[0], 0, 10, skips)}
	r.Checkpoints[ids[1]] = []RemainingCheckpoint{ckpt(ids[1], 0, 9, DecisionsRecord{}), ckpt(ids[1], 1, 4, skips), ckpt(ids[1], 1, 3, DecisionsRecord{})}
	r.Versions = []RemainingVersion{{manifestOf(spec, ids[3], 7), false}, {manifestOf(spec, ids[0], 2), true}, {manifestOf(spec, "elsewhere-1", 3), true}}
	p := Rebuild(r, rebuiltAt)

	if s := record[StatusRecord](t, p, statusKey(ids[0])); s.State != Finished || s.Version != 2 || s.Created != 1767323045 {
		t.Errorf("found %+v, expected the run finished by its version 2", s)
	}
	for _, id := range ids[1:] {
		if s := record[StatusRecord](t, p, statusKey(id)); s.State != Paused || s.Version != 0 || s.Created != rebuiltAt || !strings.Contains(s.Reason, "runs resume "+id) {
			t.Errorf("found %+v of run %s, expected it paused, and how to go on", s, id)
		}
	}
	if ptr := record[PointerRecord](t, p, pointerKey(ids[1])); ptr.Rewinds != 1 || ptr.Step != 4 {
		t.Errorf("found pointer %+v, expected that of the newest by rewinds, then step", ptr)
	}
	if d := record[DecisionsRecord](t, p, decisionsKey(ids[1])); !reflect.DeepEqual(d, skips) {
		t.Errorf("found decisions %+v, expected those the checkpoint rests on", d)
	}
	if has(p, pointerKey(ids[2])) || has(p, decisionsKey(ids[2])) {
		t.Error("found a pointer of a run without a checkpoint")
	}
	want := []VersionRecord{{N: 2, Run: ids[0], Created: 1767323045, Published: true}, {N: 3, Run: "elsewhere-1", Created: 1767323045, Published: true}, {N: 7, Run: ids[3], Created: 1767323045}}
	if v := record[VersionsRecord](t, p, versionsKey(spec.Name)); !reflect.DeepEqual(v.Versions, want) {
		t.Errorf("found %+v, expected %+v", v.Versions, want)
	}
	if p.Versions != 2 || p.Allotted != 1 || len(p.Runs) != 4 || p.Runs[2].Step != -1 {
		t.Errorf("found %+v", p)
	}
}

// A manifest brings back a run whose spec object is gone; what cannot be, is left out by name, and hinders nothing else.
func TestRebuildNamesWhatItLeavesOut(t *testing.T) {
	spec, other := testSpec(), testSpec()
	other.Seed++
	id := spec.RunID(0)
	r := Remains{Specs: map[string][]byte{
		"junk": []byte("{"), other.RunID(0) + "-g0": EncodeSpec(other), other.RunID(0) + "-g01": EncodeSpec(other), spec.RunID(5): EncodeSpec(other),
	}, Checkpoints: map[string][]RemainingCheckpoint{id: {ckpt(id, 0, 8, DecisionsRecord{}), {Key: "torn", Step: 9, Meta: map[string]string{}}}}}
	bad := manifestOf(spec, id, 2)
	bad.Created = "yesterday"
	odd := manifestOf(spec, id, 3)
	odd.Model = "Not A Name"
	r.Versions = []RemainingVersion{{manifestOf(spec, id, 1), true}, {manifestOf(spec, id, 1), true}, {bad, true}, {odd, true}}
	p := Rebuild(r, rebuiltAt)
	if len(p.Runs) != 1 || p.Runs[0].Run != id || p.Runs[0].Status.Version != 1 || p.Runs[0].Step != 8 {
		t.Errorf("found %+v, expected run %s of its manifest", p.Runs, id)
	}
	left := strings.Join(p.Left, "\n")
	for _, want := range []string{"run junk", "-g0:", "-g01", spec.RunID(5), "yesterday", "Not A Name", "base:1: found twice", "torn"} {
		if !strings.Contains(left, want) {
			t.Errorf("found %q, expected it to name %q", left, want)
		}
	}
}

// What a rebuild plans is a truth that a machine starts from, with every run at rest; resumed, a run goes on at its
// pointer, and the next version takes the next number.
func TestRebuiltTruthLeads(t *testing.T) {
	spec := testSpec()
	spec.Steps = 1
	id := spec.RunID(0)
	r := remaining(spec, 1)
	r.Checkpoints[id] = []RemainingCheckpoint{ckpt(id, 0, 1, DecisionsRecord{})}
	r.Versions = []RemainingVersion{{manifestOf(spec, "elsewhere-1", 4), true}}
	m, effects, err := NewMachine(Config{}, Term{2, 5}, Clock{}, truthOf(Rebuild(r, rebuiltAt)))
	if err != nil || len(effects) > 0 {
		t.Fatalf("found %v and effects %+v, expected all at rest", err, effects)
	}
	effects = m.Step(Clock{}, Asked{Req: 1, Msg: Control{Run: id, Action: "resume"}})
	commit := effects[0].(Commit)
	effects = m.Step(Clock{}, Done{ID: commit.ID, Rev: 99})
	i := slices.IndexFunc(effects, func(e Effect) bool { _, ok := e.(LoadCheckpoint); return ok })
	if i < 0 || effects[i].(LoadCheckpoint).Pointer != r.Checkpoints[id][0].Key {
		t.Errorf("found %+v, expected the checkpoint of the pointer asked for", effects)
	}
	if next := m.versionsOf(spec.Name).val.Versions; next[len(next)-1].N != 4 {
		t.Errorf("found %+v, expected numbers to go on after 4", next)
	}
}

func truthOf(p Rebuilt) (truth []KV) {
	for i, put := range p.Puts {
		truth = append(truth, KV{Key: put.Key, Value: put.Value, ModRev: int64(i + 2)})
	}
	return truth
}

func TestG4_EpochsAreHeldTogether(t *testing.T) {
	truth := func(e EpochRecord) []KV { return []KV{{Key: EpochKey, Value: mustJSON(e)}} }
	for _, c := range []struct {
		truth []KV
		store int64
		words string // "" = may lead
	}{
		{nil, 0, ""},
		{[]KV{{Key: "runs/a/spec"}}, 0, ""},
		{truth(EpochRecord{Epoch: 2}), 2, ""},
		{nil, 1, "doctor rebuild"},
		{[]KV{{Key: "runs/a/spec"}}, 1, "rebuilt into another etcd"},
		{truth(EpochRecord{Epoch: 1}), 2, "rebuilt into another etcd"},
		{truth(EpochRecord{Epoch: 2}), 1, "not this cluster's store"},
		{truth(EpochRecord{Epoch: 2, Writing: true}), 2, "did not end"},
		{[]KV{{Key: EpochKey, Value: []byte("x")}}, 0, "read state epoch"},
	} {
		err := CheckEpoch(c.truth, c.store)
		if (err == nil) != (c.words == "") || err != nil && !strings.Contains(err.Error(), c.words) {
			t.Errorf("%+v with a store of epoch %d: found %v, expected %q", c.truth, c.store, err, c.words)
		}
	}
	for _, n := range []int64{1, 12, 1 << 40} {
		if found, ok := ParseEpochObject(EpochObject(n)); !ok || found != n {
			t.Errorf("epoch %d: found %d, %v", n, found, ok)
		}
	}
	for _, key := range []string{"cluster/epoch/", "cluster/epoch/x", "cluster/epoch/-1", "7", "cluster/epoch/1.5"} {
		if n, ok := ParseEpochObject(key); ok {
			t.Errorf("%s: found epoch %d, expected none", key, n)
		}
	}
}

// Whatever a store holds, the plan is one that a machine starts from with all runs at rest, each key and each version's
// number once, and it does not depend on the order things were found in.
func FuzzRebuild(f *testing.F) {
	spec := testSpec()
	id := spec.RunID(0)
	r := remaining(spec, 2)
	r.Checkpoints[id] = []RemainingCheckpoint{ckpt(id, 0, 3, DecisionsRecord{Skips: []Skip{{Task: 1, Kind: Train}}}), ckpt(id, 1, 2, DecisionsRecord{})}
	r.Versions = []RemainingVersion{{manifestOf(spec, id, 2), true}, {manifestOf(spec, spec.RunID(1), 5), false}, {manifestOf(spec, id, 1), true}}
	f.Add(mustJSON(r))
	f.Add([]byte(`{"Specs":{"a":"e30="},"Versions":[{"Manifest":{"model":"m","version":1},"Whole":true}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Remains
		if json.Unmarshal(data, &r) != nil {
			return
		}
		p := Rebuild(r, rebuiltAt)
		_, effects, err := NewMachine(Config{}, Term{1, 1}, Clock{}, truthOf(p))
		if err != nil || len(effects) > 0 {
			t.Fatalf("found %v and effects %+v of a rebuilt truth", err, effects)
		}
		seen := map[string]bool{}
		for _, put := range p.Puts {
			if seen[put.Key] {
				t.Fatalf("found key %s twice", put.Key)
			}
			seen[put.Key] = true
			if strings.HasPrefix(put.Key, "models/") {
				last := 0
				for _, v := range record[VersionsRecord](t, p, put.Key).Versions {
					if v.N <= last {
						t.Fatalf("found number %d after %d in %s", v.N, last, put.Key)
					}
					last = v.N
				}
			}
		}
		slices.Reverse(r.Versions)
		for _, list := range r.Checkpoints {
			slices.Reverse(list)
		}
		if q := Rebuild(r, rebuiltAt); !reflect.DeepEqual(p.Puts, q.Puts) {
			t.Fatalf("found another plan for another order:\n%s\n%s", fmt.Sprint(p.Puts), fmt.Sprint(q.Puts))
		}
	})
}
