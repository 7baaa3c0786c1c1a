package metatrain

import (
	"encoding/json"
	"fmt"
)

// ClusterKey is etcd's key, ClusterObject the store's, of a ClusterRecord: the same bytes in both say that they belong to
// one cluster.
const (
	ClusterKey    = "cluster"
	ClusterObject = "cluster/id"
)

// ClusterRecord names a cluster: what one etcd, under one prefix, and one store keep together. Another etcd with the same
// store would allot the same numbers to other models, and delete checkpoints that this one's pointers name.
type ClusterRecord struct {
	ID      string `json:"id"`      // drawn when the first of its coordinators led
	Created int64  `json:"created"` // Unix seconds
}

// Binding is how an etcd and a store belong together.
type Binding struct {
	ID    string
	Value []byte // of ClusterKey and ClusterObject
	// Etcd and Store say where it is not recorded yet: in etcd first, so that no store is taken by who does not lead.
	Etcd, Store bool
}

// BindCluster holds that etcd, by all its keys, and the store, by its ClusterObject (nil where there is none), are one
// cluster's. fresh names it where neither does.
func BindCluster(truth []KV, stored []byte, fresh ClusterRecord) (Binding, error) {
	var known []byte
	for _, kv := range truth {
		if kv.Key == ClusterKey {
			known = kv.Value
		}
	}
	value := known
	switch {
	case known == nil && stored == nil:
		value = mustJSON(fresh)
	case known == nil:
		value = stored
	}
	var ours, theirs ClusterRecord
	if err := json.Unmarshal(value, &ours); err != nil {
		return Binding{}, fmt.Errorf("read state %s: %w", ClusterKey, err)
	}
	if stored != nil {
		if err := json.Unmarshal(stored, &theirs); err != nil {
			return Binding{}, fmt.Errorf("read object %s: %w", ClusterObject, err)
		}
	}
	const remedy = "give each cluster a bucket or folder of its own (--s3 http://host:port/bucket/FOLDER)"
	switch {
	case stored != nil && known == nil && len(truth) == 0:
		return Binding{}, fmt.Errorf("the store is cluster %s's and etcd is empty: another cluster uses this store: %s; or that cluster's etcd is lost: run `warmstart doctor rebuild`", theirs.ID, remedy)
	case stored != nil && known == nil:
		return Binding{}, fmt.Errorf("the store is cluster %s's, which this etcd does not know: another cluster uses this store: %s, or name the etcd of %s", theirs.ID, remedy, theirs.ID)
	case stored != nil && ours.ID != theirs.ID:
		return Binding{}, fmt.Errorf("etcd is cluster %s's, the store cluster %s's: two clusters use this store: %s, or name the etcd of %s", ours.ID, theirs.ID, remedy, theirs.ID)
	}
	return Binding{ID: ours.ID, Value: value, Etcd: known == nil, Store: stored == nil}, nil
}
