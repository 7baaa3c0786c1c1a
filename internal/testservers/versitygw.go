package testservers

import (
	"os"
	"path/filepath"
	"testing"
)

// S3 is a versitygw process: an S3 server over a folder.
type S3 struct {
	*Server
	S3Access
}

// S3Access is where an S3 server listens and how to be let in.
type S3Access struct {
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
	g := &S3{}
	dir := t.TempDir()
	g.Server = launch(t, "versitygw", func(p *Process, port func() int) {
		var err error
		if g.S3Access, err = planS3(p, dir, port(), opts...); err != nil {
			t.Fatal(err)
		}
	})
	return g
}

// S3Node is an S3 server behind a gate.
type S3Node struct {
	*Process
	S3Access        // around the gate
	Gate     string // http://127.0.0.1:PORT for those who may be cut off
}

// NewVersityGW prepares a versitygw with no bucket, under dir.
func NewVersityGW(net *Network, dir string) (*S3Node, error) {
	path, err := Binary("versitygw")
	if err != nil {
		return nil, err
	}
	ports, err := LastingPorts(1)
	if err != nil {
		return nil, err
	}
	n := &S3Node{Process: &Process{Name: "s3", Path: path, Log: filepath.Join(dir, "s3.log")}}
	if n.S3Access, err = planS3(n.Process, filepath.Join(dir, "s3"), ports[0]); err != nil {
		return nil, err
	}
	net.Join(n.Process)
	gate, err := net.Gate(n.Process, n.Endpoint)
	n.Gate = "http://" + gate
	return n, err
}

// planS3 gives p the command line of a versitygw over folders in dir.
func planS3(p *Process, dir string, port int, opts ...Option) (S3Access, error) {
	a := S3Access{Endpoint: loopback(port), URL: "http://" + loopback(port), AccessKey: "test-access", SecretKey: "test-secret",
		Region: "us-east-1", Dir: filepath.Join(dir, "data")}
	meta := filepath.Join(dir, "meta")
	for _, folder := range []string{a.Dir, meta} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return a, err
		}
	}
	p.Env = []string{"ROOT_ACCESS_KEY_ID=" + a.AccessKey, "ROOT_SECRET_ACCESS_KEY=" + a.SecretKey}
	p.Args = append([]string{"--port", a.Endpoint, "--region", a.Region, "--health", "/_health", "--quiet"}, collect(opts).args...)
	p.Args = append(p.Args, "posix", "--sidecar", meta, a.Dir)
	p.Ready = healthy(a.URL + "/_health")
	return a, nil
}
