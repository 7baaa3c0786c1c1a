package localstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	natsclient "github.com/nats-io/nats.go"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

const (
	defaultDataDir = ".warmstart"
	defaultListen  = "127.0.0.1:0"
	// startWithin bounds Start. It takes a fifth of a second; a disk that is busy
	// or a long log to replay takes longer.
	startWithin = 30 * time.Second
	// stopWithin bounds the stop of one server.
	stopWithin = 10 * time.Second
	// stopFailedWithin bounds the stop of one that has failed: it may wait for what
	// has ended.
	stopFailedWithin = time.Second
	// minFree is the space that a start asks for, in bytes: for etcd's log files,
	// laid out in advance, its database, and a first checkpoint.
	minFree = 64 << 20

	logFolder = "log"
)

// Config says where the stack keeps its data and where it listens.
type Config struct {
	// DataDir holds all data; it is made if it is not there. Empty means
	// ".warmstart" in the working directory.
	DataDir string

	// NATSListen is the host:port that workers connect to. Empty means
	// "127.0.0.1:0": this machine only, on a free port. An address of the network
	// lets workers of other machines in, who need the URL with its password.
	NATSListen string

	// EtcdListen is the host:port that other processes reach etcd at, without a
	// login: for a coordinator beside this process, in a bench. Empty means nowhere.
	EtcdListen string
}

// Stack is the embedded servers, running.
type Stack struct {
	dir    string
	failed *failure
	lock   *fileLock
	logs   []*os.File
	nats   *nats
	etcd   *etcd
	store  *checkpoint.Dir

	stopOnce sync.Once
	stopErr  error
}

// Start takes the data dir, starts NATS and etcd on what it holds, and returns when
// both take requests. Errors name what the user can change: an *InUseError where
// another process has the data dir, a port that is taken, a lack of disk space.
func Start(ctx context.Context, c Config) (*Stack, error) {
	if c.DataDir == "" {
		c.DataDir = defaultDataDir
	}
	if c.NATSListen == "" {
		c.NATSListen = defaultListen
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return nil, fmt.Errorf("start local stack: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	s := &Stack{dir: dir, failed: newFailure()}
	if err := s.start(ctx, c); err != nil {
		_ = s.Stop() // what it could say comes from the same cause
		return nil, fmt.Errorf("start local stack: %w", s.explain(err))
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context, c Config) (err error) {
	if err := os.MkdirAll(filepath.Join(s.dir, logFolder), 0o700); err != nil {
		return fmt.Errorf("make data dir: %w", err)
	}
	if s.lock, err = lockDir(s.dir); err != nil {
		return err
	}
	if err := checkSpace(s.dir, freeBytes); err != nil {
		return err
	}
	log, err := s.openLog("nats.log")
	if err != nil {
		return err
	}
	if s.nats, err = startNATS(ctx, c.NATSListen, filepath.Join(s.dir, "nats"), log, s.failed); err != nil {
		return err
	}
	if log, err = s.openLog("etcd.log"); err != nil {
		return err
	}
	if s.etcd, err = startEtcd(ctx, c.EtcdListen, filepath.Join(s.dir, "etcd"), log, s.failed); err != nil {
		return err
	}
	s.store, err = checkpoint.OpenDir(filepath.Join(s.dir, "store"))
	return err
}

// openLog opens a log until Stop. It keeps the log of the start before under another name, and no older one.
func (s *Stack) openLog(name string) (*os.File, error) {
	path := filepath.Join(s.dir, logFolder, name)
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err == nil {
		s.logs = append(s.logs, f)
	}
	return f, err
}

// checkSpace refuses to start where the servers would soon fail.
func checkSpace(dir string, free func(string) (uint64, error)) error {
	n, err := free(dir)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	if n < minFree {
		return fmt.Errorf("data dir %s: no disk space: found %d MB free, expected at least %d MB; free some, or choose another place by --data-dir", dir, n>>20, minFree>>20)
	}
	return nil
}

// explain adds the remedy to a write that failed for want of space.
func (s *Stack) explain(err error) error {
	if isNoSpace(err) {
		return fmt.Errorf("data dir %s: no disk space; free some and start again, or choose another place by --data-dir: %w", s.dir, err)
	}
	return err
}

// EtcdClient returns the client of the embedded etcd. Stop closes it.
func (s *Stack) EtcdClient() *clientv3.Client { return s.etcd.client }

// EtcdURL returns the address of the embedded etcd, "" where it listens nowhere.
func (s *Stack) EtcdURL() string { return s.etcd.url() }

// InProcess returns the embedded NATS for connections without a socket. They log in
// with Credentials as others do.
func (s *Stack) InProcess() natsclient.InProcessConnProvider { return s.nats.server }

// Credentials returns user and password of the embedded NATS, new at each start.
func (s *Stack) Credentials() (user, password string) { return natsUser, s.nats.password }

// NATSURL returns the address of the embedded NATS for workers, with user and
// password: hand it over in the environment, not in the arguments, which every user
// of the machine can read.
func (s *Stack) NATSURL() string { return s.nats.url() }

// Store returns the directory store.
func (s *Stack) Store() *checkpoint.Dir { return s.store }

// LogDir returns the folder of the servers' logs.
func (s *Stack) LogDir() string { return filepath.Join(s.dir, logFolder) }

// Done closes when a server has failed for good, as etcd does when it cannot write.
// Err then says why; what was committed is safe. The process must end then: what is
// left of the server may hold files of the data dir, which a new process can use.
func (s *Stack) Done() <-chan struct{} { return s.failed.done }

// Err returns nil while Done is open.
func (s *Stack) Err() error {
	if err := s.failed.get(); err != nil {
		return s.explain(err)
	}
	return nil
}

// Stop ends the servers, NATS first so that no new work comes in, and gives the data
// dir free. Stopping again does nothing. Stop the drivers before.
func (s *Stack) Stop() error {
	s.stopOnce.Do(func() {
		var errs []error
		if s.nats != nil {
			s.nats.stop()
		}
		if s.etcd != nil {
			errs = append(errs, s.etcd.stop())
		}
		for _, log := range s.logs {
			errs = append(errs, log.Close())
		}
		if s.lock != nil {
			errs = append(errs, s.lock.release())
		}
		if err := errors.Join(errs...); err != nil {
			s.stopErr = fmt.Errorf("stop local stack: %w", err)
		}
	})
	return s.stopErr
}
