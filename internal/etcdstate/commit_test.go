package etcdstate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

func TestCommitChangesAllKeysOrNone(t *testing.T) {
	backends(t, func(t *testing.T, open func() *State) {
		s := open()
		l := campaign(t, s, "a", minTTL)
		rev := commit(t, l, Txn{
			Expect: []Expect{{Key: "runs/r/spec", ModRev: 0}},
			Puts:   []Put{{Key: "runs/r/spec", Value: []byte("spec")}, {Key: "runs/r/pointer", Value: []byte("0")}},
		})
		rev2 := commit(t, l, Txn{
			Expect:  []Expect{{Key: "runs/r/pointer", ModRev: rev}},
			Puts:    []Put{{Key: "runs/r/pointer", Value: []byte("1")}},
			Deletes: []string{"runs/r/spec"},
		})
		want := fmt.Sprint([]KV{{Key: "runs/r/pointer", Value: []byte("1"), ModRev: rev2}})
		if got := fmt.Sprint(load(t, s)); got != want {
			t.Fatalf("found %s, expected %s", got, want)
		}
		_, err := l.Commit(t.Context(), Txn{
			Expect:  []Expect{{Key: "runs/r/spec", ModRev: 0}, {Key: "runs/r/pointer", ModRev: rev}},
			Puts:    []Put{{Key: "new", Value: []byte("x")}},
			Deletes: []string{"runs/r/pointer"},
		})
		if !errors.Is(err, ErrConflict) || errors.Is(err, ErrAmbiguous) || errors.Is(err, ErrDeposed) {
			t.Fatalf("found %v, expected a conflict alone", err)
		}
		expectWords(t, err, "runs/r/pointer", fmt.Sprintf("found revision %d", rev2), fmt.Sprintf("expected revision %d", rev))
		if got := fmt.Sprint(load(t, s)); got != want {
			t.Fatalf("found %s after a refused commit, expected %s", got, want)
		}
		_, err = l.Commit(t.Context(), Txn{Expect: []Expect{{Key: "gone", ModRev: 7}}})
		var conflict *ConflictError
		if !errors.As(err, &conflict) || *conflict != (ConflictError{"gone", 0, 7}) {
			t.Fatalf("found %v, expected gone absent, not at 7", err)
		}
	})
}

func TestCommitRefusesWhatEtcdWould(t *testing.T) {
	many := make([]Put, MaxOps+1)
	for i := range many {
		many[i].Key = strconv.Itoa(i)
	}
	for name, c := range map[string]struct {
		txn   Txn
		words string
	}{
		"empty key":        {Txn{Puts: []Put{{Key: "", Value: nil}}}, "slash"},
		"leading slash":    {Txn{Deletes: []string{"/a"}}, "slash"},
		"the election":     {Txn{Puts: []Put{{Key: "leader", Value: nil}}}, "election's own"},
		"expects election": {Txn{Expect: []Expect{{Key: "leader", ModRev: 1}}}, "election's own"},
		"twice":            {Txn{Puts: []Put{{Key: "a", Value: nil}}, Deletes: []string{"a"}}, "two changes"},
		"too many":         {Txn{Puts: many}, "128 changes, expected at most 127"},
		"too many expects": {Txn{Expect: make([]Expect, MaxOps+1)}, "128 expectations"},
		"too large":        {Txn{Puts: []Put{{Key: "a", Value: make([]byte, MaxBytes)}}}, "object store"},
	} {
		t.Run(name, func(t *testing.T) {
			l := &Leadership{} // no etcd: nothing may be sent
			_, err := l.Commit(t.Context(), c.txn)
			expectWords(t, err, "commit: ", c.words)
		})
	}
}

// The limits stated are those of a real server.
func TestCommitTakesTheLargestTransaction(t *testing.T) {
	t.Parallel()
	s := open(t, testservers.Etcd(t).Endpoint)
	l := campaign(t, s, "a", minTTL)
	var txn Txn
	for i := range MaxOps {
		key := fmt.Sprintf("k%03d", i)
		txn.Expect = append(txn.Expect, Expect{Key: key})
		txn.Puts = append(txn.Puts, Put{Key: key, Value: make([]byte, (MaxBytes-4*MaxOps)/MaxOps)})
	}
	commit(t, l, txn)
	if n := len(load(t, s)); n != MaxOps {
		t.Fatalf("found %d keys, expected %d", n, MaxOps)
	}
}

func TestPrefixesAreApart(t *testing.T) {
	t.Parallel()
	endpoint := testservers.Etcd(t).Endpoint
	for _, prefix := range []string{"a", "a/b", "ab"} {
		s, err := Open(t.Context(), Config{Endpoints: []string{endpoint}, Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if prefix == "a/b" {
			continue // lies within a
		}
		l := campaign(t, s, "x", minTTL)
		commit(t, l, Txn{Puts: []Put{{Key: "key", Value: []byte(prefix)}}})
		if kvs := load(t, s); len(kvs) != 1 || kvs[0].Key != "key" || string(kvs[0].Value) != prefix {
			t.Fatalf("found %v under %s, expected its own key alone", kvs, prefix)
		}
	}
}

// TestG4_DeposedLeaderCommitsNothing deposes a leader that does not know it yet:
// its own clock has not run out, so only the transaction's fence can stop it.
func TestG4_DeposedLeaderCommitsNothing(t *testing.T) {
	backends(t, func(t *testing.T, open func() *State) {
		s := open()
		old := campaign(t, s, "old", time.Minute)
		commit(t, old, Txn{Puts: []Put{{Key: "pointer", Value: []byte("1")}}})
		if _, err := s.client.Revoke(t.Context(), old.lease); err != nil {
			t.Fatal(err)
		}
		_, err := old.Commit(t.Context(), Txn{Puts: []Put{{Key: "pointer", Value: []byte("stale")}}})
		if !errors.Is(err, ErrDeposed) {
			t.Fatalf("found %v with nobody leading, expected ErrDeposed", err)
		}
		expectWords(t, err, "no leader", "leader old")
		select {
		case <-old.Done():
		default:
			t.Error("found Done open after a commit was refused, expected it closed")
		}

		second := campaign(t, s, "second", time.Minute)
		commit(t, second, Txn{Puts: []Put{{Key: "pointer", Value: []byte("2")}}})
		if _, err := s.client.Revoke(t.Context(), second.lease); err != nil {
			t.Fatal(err)
		}
		third := campaign(t, s, "third", time.Minute)
		if third.Revision() <= second.Revision() {
			t.Errorf("found revision %d after %d, expected it higher", third.Revision(), second.Revision())
		}
		_, err = second.Commit(t.Context(), Txn{Expect: []Expect{{Key: "other", ModRev: 5}}, Puts: []Put{{Key: "pointer", Value: []byte("stale")}}})
		if !errors.Is(err, ErrDeposed) || errors.Is(err, ErrConflict) {
			t.Fatalf("found %v, expected ErrDeposed to come before a conflict", err)
		}
		expectWords(t, err, "leader third")
		if kvs := load(t, s); len(kvs) != 1 || string(kvs[0].Value) != "2" {
			t.Fatalf("found %v, expected the pointer as the second leader left it", kvs)
		}
	})
}

// TestG4_OneEffectiveLeaderUnderChurn has candidates count up one key without
// expecting its revision: only the fence keeps two leaders from writing the same
// number. Leases are revoked behind their backs throughout.
func TestG4_OneEffectiveLeaderUnderChurn(t *testing.T) {
	t.Parallel()
	endpoint := testservers.Etcd(t).Endpoint
	s := open(t, endpoint)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var committed, deposed atomic.Int64
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() { countUp(ctx, t, s, strconv.Itoa(i), &committed, &deposed) })
	}
	group.Go(func() { revokeAll(ctx, t, plain(t, endpoint)) })
	group.Wait()
	kvs := load(t, s)
	if len(kvs) != 1 || string(kvs[0].Value) != strconv.FormatInt(committed.Load(), 10) {
		t.Fatalf("found count %s, expected %d, the commits that succeeded", kvs[0].Value, committed.Load())
	}
	t.Logf("%d commits, %d leaders deposed", committed.Load(), deposed.Load())
	if deposed.Load() < 5 {
		t.Errorf("found %d leaders deposed, expected enough to test with", deposed.Load())
	}
}

// countUp leads as often as it can; while leading it reads the count once and then
// keeps it in memory, as a leader keeps its state.
func countUp(ctx context.Context, t *testing.T, s *State, id string, committed, deposed *atomic.Int64) {
	for ctx.Err() == nil {
		l, err := s.Campaign(ctx, id, minTTL)
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		kvs, err := s.Load(context.WithoutCancel(ctx))
		if err != nil {
			t.Error(err)
			return
		}
		count := 0
		if len(kvs) == 1 {
			count, _ = strconv.Atoi(string(kvs[0].Value))
		}
		for err == nil && ctx.Err() == nil {
			count++
			_, err = l.Commit(context.WithoutCancel(ctx), Txn{Puts: []Put{{Key: "count", Value: []byte(strconv.Itoa(count))}}})
			if err == nil {
				committed.Add(1)
			}
		}
		if errors.Is(err, ErrDeposed) {
			deposed.Add(1)
		} else if err != nil {
			t.Error(err)
		}
		if err := l.Resign(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}
}

func revokeAll(ctx context.Context, t *testing.T, c *clientv3.Client) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
		leases, err := c.Leases(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.Error(err)
			}
			return
		}
		for _, l := range leases.Leases {
			_, _ = c.Revoke(ctx, l.ID) // its holder may have resigned by now
		}
	}
}

// TestCommitWithoutAnswerIsAmbiguous holds up the answer alone: the commit has had
// its effect, and the caller must not be told that it had none.
func TestCommitWithoutAnswerIsAmbiguous(t *testing.T) {
	t.Parallel()
	server := testservers.Etcd(t)
	p := startProxy(t, strings.TrimPrefix(server.Endpoint, "http://"))
	s, err := Open(t.Context(), Config{Endpoints: []string{p.endpoint()}, RequestTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	l := campaign(t, s, "a", time.Minute)
	p.hold(toClient)
	_, err = l.Commit(t.Context(), Txn{Puts: []Put{{Key: "k", Value: []byte("v")}}})
	if !errors.Is(err, ErrAmbiguous) || errors.Is(err, ErrConflict) || errors.Is(err, ErrDeposed) {
		t.Fatalf("found %v, expected ErrAmbiguous alone", err)
	}
	expectWords(t, err, p.endpoint(), "no answer within 1s")
	if kvs := load(t, open(t, server.Endpoint)); len(kvs) != 1 {
		t.Fatalf("found %v, expected that the commit had its effect", kvs)
	}
	p.release()
	server.Kill()
	if _, err = l.Commit(t.Context(), Txn{Puts: []Put{{Key: "k", Value: []byte("w")}}}); !errors.Is(err, ErrAmbiguous) {
		t.Fatalf("found %v with the server killed, expected ErrAmbiguous", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = l.Commit(ended, Txn{}); err == nil || errors.Is(err, ErrAmbiguous) {
		t.Fatalf("found %v for a context that had ended before, expected that nothing was sent", err)
	}
}
