package client

import (
	"testing"
	"time"
)

// A store that stays out of reach is tried ever more rarely, and spoken of once; one that was reached meanwhile is news again.
func TestReferencesOutOfReachAreTriedEverLaterAndSaidOnce(t *testing.T) {
	r := newReferences()
	now := time.Unix(1_800_000_000, 0)
	fails := func(want time.Duration, news bool) {
		t.Helper()
		if !r.welcome(now) {
			t.Fatal("it is not tried")
		}
		if first := r.shun(now); first != news {
			t.Errorf("said: %v, expected %v", first, news)
		}
		if r.shun(now.Add(time.Second)) { // another slot's, at the same time
			t.Error("said twice")
		}
		if r.welcome(now.Add(want-time.Second)) || !r.welcome(now.Add(want)) {
			t.Errorf("not tried again after %v", want)
		}
		now = now.Add(want)
	}
	fails(time.Minute, true)
	for _, minutes := range []time.Duration{2, 4, 8, 16, 32, 60, 60} {
		fails(minutes*time.Minute, false)
	}
	r.reached()
	fails(time.Minute, true)
}
