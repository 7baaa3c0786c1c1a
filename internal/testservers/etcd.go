package testservers

import (
	"fmt"
	"path/filepath"
	"testing"
)

// EtcdServer is a single-member etcd process.
type EtcdServer struct {
	*Server
	Endpoint string // http://127.0.0.1:PORT
}

// Etcd starts an etcd with the timing it has by default, so that leases behave
// as on a user's server (2 s at the least). It does not fsync: a killed process
// loses nothing that it wrote, only a killed machine would.
func Etcd(t testing.TB, opts ...Option) *EtcdServer {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "etcd")
	e := &EtcdServer{}
	e.Server = launch(t, "etcd", func(p *Process, port func() int) {
		e.Endpoint = fmt.Sprintf("http://127.0.0.1:%d", port())
		peer := fmt.Sprintf("http://127.0.0.1:%d", port())
		p.Args = append([]string{
			"--name", "test", "--data-dir", dir,
			"--listen-client-urls", e.Endpoint, "--advertise-client-urls", e.Endpoint,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", "test=" + peer,
			"--unsafe-no-fsync",
		}, collect(opts).args...)
		p.Ready = healthy(e.Endpoint + "/health")
	})
	return e
}
