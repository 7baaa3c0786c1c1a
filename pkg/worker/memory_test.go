package worker

import (
	"errors"
	"strings"
	"testing"
)

func TestBytesAreRead(t *testing.T) {
	for text, want := range map[string]Bytes{"0": 0, "7": 7, "2GiB": 2 << 30, "1.5 MiB": 3 << 19, "3GB": 3e9, "64KiB": 1 << 16, "9B": 9} {
		var b Bytes
		if err := b.Set(text); err != nil || b != want {
			t.Errorf("%q: got %d, %v, want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "2Gib", "NaN", "1e300", "2 gigabytes"} {
		if err := new(Bytes).Set(text); err == nil || !strings.Contains(err.Error(), "2GiB") {
			t.Errorf("%q: got %v", text, err)
		}
	}
	if a, b, c := Bytes(3<<29).String(), Bytes(5).String(), Bytes(1<<20).String(); a != "1.5 GiB" || b != "5 B" || c != "1 MiB" {
		t.Errorf("got %s, %s, %s", a, b, c)
	}
}

// (K+4) copies of the parameters, with learned rates 2K+4, and what is in flight beside them.
func TestMemoryGrowsWithStepsAndRates(t *testing.T) {
	const text = "family: {name: sinusoid, shots: 1, query: 1}\nmodel: {hidden: [1000, 1000]}\n"
	need := func(sets ...string) Bytes {
		spec, _ := read(t, text, sets...)
		b, err := BuiltinKinds().Memory(spec, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const vector = 4 * (2*1000 + 1000*1001 + 1001)
	copies := func(b Bytes) int { return int(float64(b)/vector+0.3) - inFlight }
	for want, sets := range map[int][]string{
		5: {"learner.name=maml"}, 9: {"learner={name: maml, steps: 5}"}, 14: {"learner={name: maml, steps: 5, learn_rates: true}"}, 6: {"learner.name=imaml"},
	} {
		if got := copies(need(sets...)); got != want {
			t.Errorf("%v: got %d copies, want %d", sets, got, want)
		}
	}
	if a, b := need("learner=maml"), need("learner=metasgd"); b <= a {
		t.Errorf("rates for each parameter need %v, none %v", b, a)
	}
}

func TestG7_ModelTooLargeIsRefusedWithBothAmounts(t *testing.T) {
	spec, _ := read(t, "family: sinusoid\nmodel: {hidden: [2000, 2000]}\n")
	need, err := BuiltinKinds().Memory(spec, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckMemory(spec, need, 0); err != nil {
		t.Errorf("without a limit: %v", err)
	}
	err = CheckMemory(spec, need, 64<<20)
	if err == nil || !strings.Contains(err.Error(), need.String()) || !strings.Contains(err.Error(), "64 MiB is available") {
		t.Errorf("got %v, want both amounts", err)
	}
	if need < 4*4_000_000*9 {
		t.Errorf("4 million parameters need %v, want nine copies or more", need)
	}
}

// A worker without the room leaves the run to others, and says why.
func TestWorkerWithoutRoomIsUnable(t *testing.T) {
	spec, _ := read(t, tiny)
	es := newEngines(nil, BuiltinKinds()).within(1000)
	e, err := es.build(spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = es.room(spec, e, 0)
	if !errors.Is(err, errUnable) || !strings.Contains(err.Error(), "1000 B is available") {
		t.Errorf("got %v, want one that says that it is not for this worker", err)
	}
	if err := es.within(1<<30).room(spec, e, 0); err != nil {
		t.Error(err)
	}
}
