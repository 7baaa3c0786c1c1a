package metatrain

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// usual are headers as workers and leaders send them, in full.
func usual() []any {
	w := Work{Run: "waves-ee25110e12", Spec: Digest([]byte("spec")), Kind: Train, Track: 1, Step: 1 << 40, Theta: Digest([]byte("theta")), Decisions: Digest([]byte("d")), Node: Node{3, 17}}
	return []any{
		&Hello{Worker: "host-1-a", Process: "host-1", Host: "host", Protocol: Protocol, Contract: Contract, Bits: Contract, Class: "cpu", Engine: "lane", Memory: 1 << 30, Slots: 4, Release: "v0.5.0", Holding: []uint64{42 << 32, 42<<32 + 1}, Seq: 7, WaitMS: 5000,
			Skills: Skills{Kinds: []Kind{Train}, Families: []string{"load", "sinusoid"}, Models: []string{"mlp"}, Learners: []string{"maml"}, Engines: []string{"lane"}}},
		&Beat{Worker: "host-1-a", Leases: []uint64{42 << 32}},
		&Result{Worker: "host-1-a", Process: "host-1", Lease: 42 << 32, Work: w, Metrics: []float64{1.5, -2e-9, 0, 1e300}, Bits: BitsNone, Tasks: 8, Micros: 12345, Offset: 458752, Total: 4_000_000, SHA256: w.Spec},
		&LeaseReply{Term: Term{1, 42}, Leases: []Lease{{ID: 42 << 32, Work: w, Tasks: 25, DeadlineMS: 120_000}}},
	}
}

// What is sent all the time goes the quick way.
func TestQuickHeadersTakeWhatIsUsual(t *testing.T) {
	for _, want := range usual() {
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		found := reflect.New(reflect.TypeOf(want).Elem()).Interface()
		if !decodeQuick(data, found) || !reflect.DeepEqual(found, want) {
			t.Errorf("found %+v, expected %+v", found, want)
		}
	}
}

// What is odd is left to encoding/json, the header untouched.
func TestQuickHeadersLeaveTheRest(t *testing.T) {
	for _, text := range []string{
		``, `{`, `{}x`, ` {}`, `{"worker":"a" }`, `{"worker":null}`, `{"worker":"é"}`, `{"worker":"\u0061"}`, `{"Worker":"a"}`, `{"other":1}`, `{"worker":"a","worker":"b"}`,
		`{"lease":01}`, `{"lease":-1}`, `{"lease":1.0}`, `{"lease":1234567890123456789}`, `{"metrics":[1.]}`, `{"metrics":[.5]}`, `{"metrics":[01]}`, `{"metrics":[+1]}`, `{"metrics":[1,]}`,
		`{"metrics":[1e999]}`, `{"metrics":[-]}`, `{"metrics":[1e]}`, `{"work":{"node":{"l":1,"l":2}}}`, `{"layout":"[]"}`, `{"worker":"a"`, `{"worker":"a`, `{"tasks":99999999999999999999}`,
	} {
		r := Result{Worker: "before"}
		if decodeQuick([]byte(text), &r) || r.Worker != "before" {
			t.Errorf("%s: taken as %+v", text, r)
		}
	}
}

// FuzzQuickHeaders: what the quick reader takes, encoding/json takes too, and makes the same of it.
func FuzzQuickHeaders(f *testing.F) {
	for _, h := range usual() {
		data, err := json.Marshal(h)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add([]byte(strings.ReplaceAll(string(data), "1", "-0")))
		f.Add([]byte(strings.ReplaceAll(string(data), "42", "4.25e-7")))
	}
	f.Add([]byte(`{"metrics":[],"work":{},"lease":0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, h := range usual() {
			kind := reflect.TypeOf(h).Elem()
			found, want := reflect.New(kind).Interface(), reflect.New(kind).Interface()
			if !decodeQuick(data, found) {
				continue
			}
			if err := json.Unmarshal(data, want); err != nil || !reflect.DeepEqual(found, want) {
				t.Errorf("%s: found %+v, encoding/json %+v, %v", data, found, want, err)
			}
		}
	})
}
