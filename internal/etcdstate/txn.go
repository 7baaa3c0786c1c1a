package etcdstate

import (
	"fmt"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Limits of one transaction, as an etcd with default settings has them.
const (
	// MaxOps bounds the keys that a transaction expects, and those it changes.
	// etcd allows 128 of each, the leader key among those expected.
	MaxOps = 127
	// MaxBytes bounds the keys and values that a transaction writes. etcd refuses
	// requests above 1.5 MiB; the rest is left for the request's own frame.
	MaxBytes = 1<<20 + 1<<18
)

// The small truth's own words, which this shell carries out.
type (
	KV     = metatrain.KV
	Expect = metatrain.Expect
	Put    = metatrain.Put
	Txn    = metatrain.Txn
)

// validate refuses what etcd would refuse less clearly.
func validate(t Txn) error {
	if n := len(t.Expect); n > MaxOps {
		return fmt.Errorf("found %d expectations, expected at most %d", n, MaxOps)
	}
	if n := len(t.Puts) + len(t.Deletes); n > MaxOps {
		return fmt.Errorf("found %d changes, expected at most %d", n, MaxOps)
	}
	size := 0
	seen := map[string]bool{}
	change := func(key string) error {
		if err := validateKey(key); err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("key %s: found two changes of it in one transaction, expected one", key)
		}
		seen[key] = true
		return nil
	}
	for _, e := range t.Expect {
		if err := validateKey(e.Key); err != nil {
			return err
		}
	}
	for _, p := range t.Puts {
		if err := change(p.Key); err != nil {
			return err
		}
		size += len(p.Key) + len(p.Value)
	}
	for _, key := range t.Deletes {
		if err := change(key); err != nil {
			return err
		}
	}
	if size > MaxBytes {
		return fmt.Errorf("found %d bytes to write, expected at most %d; large data belongs in the object store", size, MaxBytes)
	}
	return nil
}

func validateKey(key string) error {
	if key == "" || key[0] == '/' {
		return fmt.Errorf("key %q: expected a name that does not start with a slash", key)
	}
	if key == leaderKey {
		return fmt.Errorf("key %q: expected any other, this one is the election's own", key)
	}
	return nil
}
