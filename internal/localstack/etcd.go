package localstack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	etcdName = "warmstart"
	// etcdTick and etcdElection are etcd's clock, in ms. A single member only ever
	// elects itself, at each start, after one to two election time-outs; by default
	// these are 1,000 ms.
	etcdTick, etcdElection = 20, 100
	// etcdQuota bounds the state, in bytes, far above what it needs. etcd refuses
	// writes beyond.
	etcdQuota = 256 << 20
	// etcdHistory is how many revisions a compaction keeps. Nobody reads old ones.
	etcdHistory = "1000"
	// etcdSegment is the size of a log file, in bytes. etcd lays out two in
	// advance, by default of 64 MB each.
	etcdSegment = 8 << 20
)

// smallSegments sets what etcd has a variable for, but no option. Once, as servers
// that run read it.
var smallSegments = sync.OnceFunc(func() { wal.SegmentSizeBytes = etcdSegment })

// etcd is the embedded server and its client.
type etcd struct {
	server *embed.Etcd
	client *clientv3.Client

	failed   *failure
	stopping chan struct{} // closed when the server is asked to stop
}

// startEtcd starts the server and waits until it takes requests. Where listen is ""
// nobody else can reach it: it listens nowhere.
func startEtcd(ctx context.Context, listen, dir string, log *os.File, failed *failure) (*etcd, error) {
	smallSegments()
	c := embed.NewConfig()
	c.Name, c.Dir = etcdName, dir
	c.ListenClientUrls, c.ListenPeerUrls = []url.URL{}, []url.URL{}
	if listen != "" {
		c.ListenClientUrls = []url.URL{{Scheme: "http", Host: listen}}
	}
	c.InitialCluster = etcdName + "=" + embed.DefaultInitialAdvertisePeerURLs // a name; nobody calls
	c.TickMs, c.ElectionMs = etcdTick, etcdElection
	c.QuotaBackendBytes = etcdQuota
	c.AutoCompactionMode, c.AutoCompactionRetention = "revision", etcdHistory
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(etcdLogger(log, failed))
	server, err := launchEtcd(ctx, c, failed)
	if err != nil {
		return nil, fmt.Errorf("start embedded etcd: %w", err)
	}
	e := &etcd{server: server, client: v3client.New(server.Server), failed: failed, stopping: make(chan struct{})}
	if err := e.revokeLeases(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded etcd: %w", err), e.stop())
	}
	go e.watch()
	return e, nil
}

func etcdLogger(file *os.File, failed *failure) *zap.Logger {
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.ISO8601TimeEncoder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(encoder), zapcore.Lock(file), zapcore.InfoLevel)
	return zap.New(core, zap.WithFatalHook(fatalHook{failed}), zap.WithPanicHook(fatalHook{failed}))
}

// launchEtcd starts the server in a goroutine of its own, which a fatal error ends.
func launchEtcd(ctx context.Context, c *embed.Config, failed *failure) (*embed.Etcd, error) {
	type outcome struct {
		server *embed.Etcd
		err    error
	}
	started := make(chan outcome, 1)
	go func() {
		server, err := embed.StartEtcd(c)
		started <- outcome{server, err}
	}()
	select {
	case o := <-started:
		if o.err != nil {
			return nil, o.err
		}
		select {
		case <-o.server.Server.ReadyNotify():
			return o.server, nil
		case <-failed.done:
		case <-ctx.Done():
		}
		o.server.Close()
	case <-failed.done:
	case <-ctx.Done():
	}
	if err := failed.get(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("found it not ready: %w; see %s", context.Cause(ctx), filepath.Join(filepath.Dir(c.Dir), logFolder))
}

// revokeLeases frees what the last process held: it is dead, as its lock on the
// data dir is gone. A leader key of its would else keep this one from leading for
// the rest of its time to live.
func (e *etcd) revokeLeases(ctx context.Context) error {
	leases, err := e.client.Leases(ctx)
	if err != nil {
		return fmt.Errorf("list old leases: %w", err)
	}
	for _, l := range leases.Leases {
		if _, err := e.client.Revoke(ctx, l.ID); err != nil {
			return fmt.Errorf("revoke old lease: %w", err)
		}
	}
	return nil
}

// url is where other processes reach the server, "" where it listens nowhere.
func (e *etcd) url() string {
	if len(e.server.Clients) == 0 {
		return ""
	}
	return "http://" + e.server.Clients[0].Addr().String()
}

// watch reports a server that stops without being asked to.
func (e *etcd) watch() {
	select {
	case <-e.stopping:
	case <-e.server.Server.StopNotify():
		e.failed.set(errors.New("embedded etcd: found it stopped"))
	}
}

func (e *etcd) stop() error {
	close(e.stopping)
	err := e.client.Close()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	closed := make(chan struct{})
	go func() { e.server.Close(); close(closed) }()
	within := stopWithin
	if e.failed.get() != nil {
		within = stopFailedWithin
	}
	select {
	case <-closed:
		return err
	case <-time.After(within):
		return errors.Join(err, fmt.Errorf("stop embedded etcd: found it still stopping after %v", within))
	}
}
