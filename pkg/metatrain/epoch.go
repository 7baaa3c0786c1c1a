package metatrain

import (
	"encoding/json"
	"fmt"
	"strings"
)

// EpochKey is the key of an EpochRecord. It is absent in an etcd that was never rebuilt: epoch 0.
const EpochKey = "epoch"

// EpochRecord says which epoch an etcd belongs to. The store holds the highest one there is. A coordinator whose etcd is
// of another does not lead: it would be the etcd that was given up, or one that is empty in its place.
type EpochRecord struct {
	Epoch   int64 `json:"epoch"`
	Created int64 `json:"created"` // of the rebuild, Unix seconds
	// Writing: the rebuild has not ended. What is there is not all.
	Writing bool `json:"writing,omitempty"`
}

// EpochOf reads the record among all keys of a cluster.
func EpochOf(truth []KV) (e EpochRecord, err error) {
	for _, kv := range truth {
		if kv.Key != EpochKey {
			continue
		}
		if err := json.Unmarshal(kv.Value, &e); err != nil {
			return e, fmt.Errorf("read state %s: %w", kv.Key, err)
		}
	}
	return e, nil
}

// CheckEpoch refuses to lead on a truth that is not of the store's epoch (G4).
func CheckEpoch(truth []KV, store int64) error {
	e, err := EpochOf(truth)
	switch {
	case err != nil:
		return err
	case e.Writing:
		return fmt.Errorf("the rebuild of epoch %d did not end: run `warmstart doctor rebuild` again", e.Epoch)
	case e.Epoch < store && len(truth) == 0:
		return fmt.Errorf("etcd is empty and of epoch 0, the store of epoch %d: run `warmstart doctor rebuild`, or name the etcd it was rebuilt into", store)
	case e.Epoch < store:
		return fmt.Errorf("etcd is of epoch %d, the store of epoch %d: its state was rebuilt into another etcd; name that one", e.Epoch, store)
	case e.Epoch > store:
		return fmt.Errorf("etcd is of epoch %d, the store of epoch %d: it is not this cluster's store; name the one it was rebuilt from", e.Epoch, store)
	}
	return nil
}

// epochFolder holds an object for each epoch, named by its number in twelve digits.
const epochFolder = "cluster/epoch/"

// EpochFolder is the prefix of the store's record of epochs.
func EpochFolder() string { return epochFolder }

// EpochObject is where the store records an epoch.
func EpochObject(epoch int64) string { return fmt.Sprintf("%s%012d", epochFolder, epoch) }

// ParseEpochObject is the inverse of EpochObject, for any number of digits; false for what is no epoch's name.
func ParseEpochObject(key string) (int64, bool) {
	var n int64
	err := json.Unmarshal([]byte(strings.TrimLeft(strings.TrimPrefix(key, epochFolder), "0")), &n)
	return n, err == nil && strings.HasPrefix(key, epochFolder) && n > 0
}
