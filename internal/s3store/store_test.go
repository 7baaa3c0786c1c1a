package s3store

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/warmstart-ml/warmstart/internal/testservers"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint/storetest"
)

// config is for a bucket on the server that nothing has made yet.
func config(server *testservers.S3) Config {
	return Config{
		Endpoint: server.URL, Bucket: "warmstart", Prefix: "team/a",
		AccessKey: server.AccessKey, SecretKey: server.SecretKey, Region: server.Region,
	}
}

func mustOpen(t *testing.T, c Config) *Store {
	t.Helper()
	store, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestStoreIsAStore(t *testing.T) {
	server := testservers.VersityGW(t)
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T) checkpoint.Store {
		c := config(server)
		c.Prefix = fmt.Sprintf("run-%d", n.Add(1))
		return mustOpen(t, c)
	})
}
