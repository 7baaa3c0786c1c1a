package coordinator

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever the chunks, whatever is sent twice or skipped: the whole is the bytes sent.
func TestAssemblyGivesTheBytesSent(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		a := newAssembly(1 << 20)
		want := make([]byte, r.IntN(2000))
		for i := range want {
			want[i] = byte(r.Uint32())
		}
		offset := 0
		for {
			at := offset
			if r.IntN(4) == 0 {
				at = r.IntN(len(want) + 1) // lost or repeated on the way
			}
			n := min(1+r.IntN(300), len(want)-at)
			whole, next, err := a.add("k", at, len(want), want[at:at+n])
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if whole != nil {
				if !bytes.Equal(whole, want) {
					t.Fatalf("seed %d: found other bytes than were sent", seed)
				}
				a.free(whole)
				break
			}
			offset = next
		}
		if a.used != 0 || len(a.parts) != 0 {
			t.Fatalf("seed %d: %d bytes and %d parts are left", seed, a.used, len(a.parts))
		}
	}
}

func TestG7_AssemblyRefusesHostileChunks(t *testing.T) {
	for _, c := range []struct{ offset, total, chunk int }{
		{-1, 10, 1}, {0, -1, 0}, {0, 10, 11}, {10, 10, 1}, {math.MaxInt - 1, 10, 5}, {math.MaxInt, math.MaxInt, 5},
		{0, math.MaxInt, 5}, {0, 1 << 20, 5}, {math.MinInt, 10, 5}, {11, 10, 0},
	} {
		a := newAssembly(1 << 20)
		whole, _, err := a.add("k", c.offset, c.total, make([]byte, c.chunk))
		if err == nil || whole != nil || errors.Is(err, errNoRoom) {
			t.Errorf("%+v: got %d bytes with error %v, expected a refusal for good", c, len(whole), err)
		}
		if a.used != 0 {
			t.Errorf("%+v: %d bytes are taken", c, a.used)
		}
	}
}

func TestG6_AssemblyKeepsItsBudget(t *testing.T) {
	a := newAssembly(100_000)
	taken := 0
	for i := range 1000 { // empty parts cost too
		if _, _, err := a.add(fmt.Sprint(i), 0, 1, nil); err == nil {
			taken++
		} else if !errors.Is(err, errNoRoom) {
			t.Fatal(err)
		}
	}
	if limit := 100_000 / partCost; taken == 0 || taken > limit {
		t.Errorf("%d empty parts were taken, expected at most %d", taken, limit)
	}
	a = newAssembly(100_000)
	whole, _, err := a.add("a", 0, 60_000, make([]byte, 60_000))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.add("b", 0, 60_000, make([]byte, 60_000)); !errors.Is(err, errNoRoom) {
		t.Errorf("a whole in use leaves room: %v", err)
	}
	a.free(whole)
	if _, _, err := a.add("b", 0, 60_000, make([]byte, 60_000)); err != nil {
		t.Errorf("a whole given back leaves no room: %v", err)
	}
}

func TestAssemblyForgetsIdleParts(t *testing.T) {
	a := newAssembly(1000)
	if _, _, err := a.add("a", 0, 400, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.add("b", 0, 400, nil); !errors.Is(err, errNoRoom) {
		t.Fatalf("got %v, expected no room", err)
	}
	for _, p := range a.parts {
		p.seen = time.Now().Add(-2 * idleChunk)
	}
	if _, _, err := a.add("b", 0, 400, nil); err != nil {
		t.Errorf("an idle part keeps its room: %v", err)
	}
}

func TestAssemblyRefusesAChangedTotal(t *testing.T) {
	a := newAssembly(10_000)
	_, _, _ = a.add("a", 0, 400, make([]byte, 10))
	if _, _, err := a.add("a", 10, 401, make([]byte, 10)); err == nil {
		t.Error("another total was taken")
	}
	if a.used != 0 {
		t.Errorf("%d bytes are still taken", a.used)
	}
}
