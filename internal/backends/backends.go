// Package backends connects a coordinator to etcd and the store by its flags.
package backends

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/internal/etcdstate"
	"github.com/warmstart-ml/warmstart/internal/s3store"
	"github.com/warmstart-ml/warmstart/internal/wiring"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// Etcd are the flags of a connection to etcd.
type Etcd struct{ Endpoints, User, Password, CA, Cert, Key string }

// Flags adds them to fs.
func (e *Etcd) Flags(fs *flag.FlagSet) {
	fs.StringVar(&e.Endpoints, "etcd", "127.0.0.1:2379", "etcd `endpoints`, separated by commas")
	fs.StringVar(&e.User, "etcd-user", "", "etcd user `name`")
	fs.StringVar(&e.Password, "etcd-password", "", "etcd `password`; @FILE reads it from a file")
	fs.StringVar(&e.CA, "etcd-ca", "", "`file` of authorities to trust")
	fs.StringVar(&e.Cert, "etcd-cert", "", "client certificate `file`")
	fs.StringVar(&e.Key, "etcd-key", "", "client key `file`")
}

// Config is what the flags say.
func (e *Etcd) Config(c *wiring.Common) etcdstate.Config {
	return etcdstate.Config{
		Endpoints: strings.Split(e.Endpoints, ","), Prefix: c.Prefix, Username: e.User, Password: e.Password,
		CAFile: e.CA, CertFile: e.Cert, KeyFile: e.Key, DialTimeout: c.Wait,
	}
}

// Connect connects, saying what it waits for.
func (e *Etcd) Connect(ctx context.Context, c *wiring.Common, log *slog.Logger) (*etcdstate.State, error) {
	config := e.Config(c)
	config.Waiting = func(err *etcdstate.UnreachableError) { log.Warn("waiting for etcd", "err", err) }
	return etcdstate.Open(ctx, config)
}

// Store are the flags of the object store.
type Store struct{ S3, AccessKey, SecretKey, Region, Dir string }

// Flags adds them to fs.
func (s *Store) Flags(fs *flag.FlagSet) {
	fs.StringVar(&s.S3, "s3", "", "S3 store as http(s)://host:port/bucket or .../bucket/folder")
	fs.StringVar(&s.AccessKey, "s3-access-key", "", "S3 access `key`; @FILE reads it from a file")
	fs.StringVar(&s.SecretKey, "s3-secret-key", "", "S3 secret `key`; @FILE reads it from a file")
	fs.StringVar(&s.Region, "s3-region", "", "S3 `region`; empty asks the server")
	fs.StringVar(&s.Dir, "store-dir", "", "`folder` that serves as store in place of S3 (one coordinator, or a shared file system)")
}

// Open opens the store named.
func (s *Store) Open(ctx context.Context, c *wiring.Common, log *slog.Logger) (checkpoint.Store, error) {
	switch {
	case s.S3 == "" && s.Dir == "":
		return nil, errors.New("no store: give --s3 http://host:port/bucket or --store-dir FOLDER")
	case s.S3 != "" && s.Dir != "":
		return nil, errors.New("--s3 and --store-dir exclude each other: give one")
	case s.Dir != "":
		return checkpoint.OpenDir(s.Dir)
	}
	config, err := s.Config(log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	return s3store.Open(ctx, config)
}

// Config is what the flags say of S3.
func (s *Store) Config(log *slog.Logger) (config s3store.Config, err error) {
	u, err := url.Parse(s.S3)
	if err == nil && u.User != nil || strings.Contains(s.S3, "@") {
		return config, errors.New("--s3: found credentials in the address; give them by --s3-access-key and --s3-secret-key")
	}
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return config, fmt.Errorf("--s3: found %q, expected http(s)://host:port/bucket", s.S3)
	}
	bucket, folder, _ := strings.Cut(strings.Trim(u.Path, "/"), "/")
	return s3store.Config{
		Endpoint: u.Scheme + "://" + u.Host, Bucket: bucket, Prefix: folder, AccessKey: s.AccessKey, SecretKey: s.SecretKey, Region: s.Region,
		OnRetry: func(r s3store.Retry) { log.Warn("waiting for S3", "what", r.String()) },
	}, nil
}

// Elector campaigns in etcd.
type Elector struct {
	State *etcdstate.State
	ID    string
	TTL   time.Duration
}

// Campaign blocks until this process leads.
func (e Elector) Campaign(ctx context.Context) (coordinator.Leadership, error) {
	l, err := e.State.Campaign(ctx, e.ID, e.TTL)
	if err != nil {
		return nil, err
	}
	return leadership{l, e.State}, nil
}

type leadership struct {
	*etcdstate.Leadership
	*etcdstate.State
}
