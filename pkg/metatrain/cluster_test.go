package metatrain

import (
	"strings"
	"testing"
)

// An etcd and a store that are both new become one cluster, what is half recorded is completed, and whatever belongs to
// another cluster is refused with what to do.
func TestG4_EtcdAndStoreAreOneClusters(t *testing.T) {
	a, b := mustJSON(ClusterRecord{ID: "A", Created: 1}), mustJSON(ClusterRecord{ID: "B", Created: 2})
	of := func(value []byte) []KV { return []KV{{EpochKey, []byte("{}"), 3}, {ClusterKey, value, 4}} }
	fresh := ClusterRecord{ID: "new", Created: 9}
	for name, c := range map[string]struct {
		truth  []KV
		stored []byte
		want   Binding
		says   []string
	}{
		"both new":                       {nil, nil, Binding{"new", mustJSON(fresh), true, true}, nil},
		"a release before":               {of(nil)[:1], nil, Binding{"new", mustJSON(fresh), true, true}, nil},
		"the store was not reached":      {of(a), nil, Binding{"A", a, false, true}, nil},
		"one cluster":                    {of(a), a, Binding{"A", a, false, false}, nil},
		"a second cluster, new":          {nil, a, Binding{}, []string{"cluster A's", "etcd is empty", "FOLDER", "doctor rebuild"}},
		"a second cluster, with runs":    {of(nil)[:1], a, Binding{}, []string{"cluster A's", "does not know", "FOLDER", "etcd of A"}},
		"two clusters":                   {of(b), a, Binding{}, []string{"etcd is cluster B's", "store cluster A's", "FOLDER", "etcd of A"}},
		"etcd's record cannot be read":   {of([]byte("?")), a, Binding{}, []string{"read state cluster"}},
		"the store's record can't be so": {of(a), []byte("?"), Binding{}, []string{"read object cluster/id"}},
	} {
		found, err := BindCluster(c.truth, c.stored, fresh)
		if (err != nil) != (c.says != nil) || found.ID != c.want.ID || string(found.Value) != string(c.want.Value) || found.Etcd != c.want.Etcd || found.Store != c.want.Store {
			t.Errorf("%s: found %+v, %v, expected %+v", name, found, err, c.want)
		}
		for _, word := range c.says {
			if err != nil && !strings.Contains(err.Error(), word) {
				t.Errorf("%s: found %q, expected it to name %q", name, err, word)
			}
		}
	}
}
