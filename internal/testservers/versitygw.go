package testservers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// S3 is a versitygw process: an S3 server over a folder.
type S3 struct {
	*Server
	Endpoint  string // 127.0.0.1:PORT, plain http
	URL       string // http://127.0.0.1:PORT
	AccessKey string
	SecretKey string
	Region    string
	Dir       string // the folder; each bucket is a folder in it
}

// VersityGW starts a versitygw with no bucket. It keeps object metadata in files
// beside the data, so that the temporary directory needs no extended attributes.
func VersityGW(t testing.TB, opts ...Option) *S3 {
	t.Helper()
	base := t.TempDir()
	g := &S3{AccessKey: "test-access", SecretKey: "test-secret", Region: "us-east-1", Dir: filepath.Join(base, "data")}
	meta := filepath.Join(base, "meta")
	for _, dir := range []string{g.Dir, meta} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	g.Server = launch(t, "versitygw", func(s *Server, port func() int) {
		g.Endpoint = fmt.Sprintf("127.0.0.1:%d", port())
		g.URL = "http://" + g.Endpoint
		s.env = []string{"ROOT_ACCESS_KEY_ID=" + g.AccessKey, "ROOT_SECRET_ACCESS_KEY=" + g.SecretKey}
		s.args = append([]string{"--port", g.Endpoint, "--region", g.Region, "--health", "/_health", "--quiet"}, collect(opts).args...)
		s.args = append(s.args, "posix", "--sidecar", meta, g.Dir)
		s.ready = healthy(g.URL + "/_health")
	})
	return g
}
