package coordinator_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// alike is a second cluster, with an etcd of its own, on the first one's store.
func alike(t *testing.T, r *rig, id string) (*rig, *lines) {
	t.Helper()
	var log lines
	second := newRig(t)
	second.store, second.dir = r.store, r.dir
	second.newCluster = func() string { return id }
	second.log = slog.New(slog.NewTextHandler(&log, nil))
	return second, &log
}

// Two clusters on one store would delete what the other's pointers name: the second never leads, and says why. The first
// goes on, under its next leader, too; and once the second has a store of its own so does it.
func TestG4_SecondClusterOnOneStoreDoesNotLead(t *testing.T) {
	r := newRig(t)
	r.newCluster = func() string { return "FIRST" }
	stop := r.coordinate("a", metatrain.Config{})
	r.started()
	second, log := alike(t, r, "SECOND")
	stopSecond := second.coordinate("b", metatrain.Config{})
	for deadline := time.Now().Add(20 * time.Second); log.having("leading ended", "cluster FIRST's", "another cluster uses this store", "FOLDER") == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the second cluster is not refused: %s", log.text.String())
		}
	}
	if log.having("msg=leading ") > 0 {
		t.Error("the second cluster led")
	}
	second.truth.mu.Lock()
	if len(second.truth.keys) > 0 {
		t.Errorf("it wrote %v", second.truth.keys)
	}
	second.truth.mu.Unlock()
	stopSecond()

	stop()
	r.newCluster = func() string { return "ANOTHER" } // not drawn: the record stands
	r.coordinate("c", metatrain.Config{})
	r.work()
	r.train(r.spec("on"))
}

// forgetful is a store whose conditional puts race: another cluster's come between, and both are told that they won.
type forgetful struct {
	checkpoint.Store
	other []byte
}

func (f forgetful) Get(ctx context.Context, key string) ([]byte, error) {
	if _, err := f.Store.Get(ctx, key); key == metatrain.ClusterObject && err == nil {
		return f.other, nil
	}
	return f.Store.Get(ctx, key)
}

// Where the store's conditional puts race, who lost is found out by reading back.
func TestG4_ClaimOfAStoreIsReadBack(t *testing.T) {
	r := newRig(t)
	r.store.Store = forgetful{r.store.Store, []byte(`{"id":"OTHER","created":1}`)}
	second, log := alike(t, r, "MINE")
	second.coordinate("a", metatrain.Config{})
	for deadline := time.Now().Add(20 * time.Second); log.having("record cluster MINE in the store", "OTHER", "by another cluster just now") == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the claim is not read back: %s", log.text.String())
		}
	}
	if log.having("msg=leading ") > 0 {
		t.Error("it led")
	}
}
