package coordinator_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/internal/membus"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// truth is etcd in memory: leadership by create revision, transactions that compare it.
type truth struct {
	mu     sync.Mutex
	rev    int64
	keys   map[string]metatrain.KV
	leader *term
	free   chan struct{} // renewed whenever nobody leads any more

	// fail, where not nil, may end a transaction in place of what it would do; happens says that it is done all the same.
	fail func(t metatrain.Txn) (err error, happens bool)
	// loads counts how often the state was read.
	loads int
}

func newTruth() *truth {
	return &truth{rev: 1, keys: map[string]metatrain.KV{}, free: make(chan struct{})}
}

// term is one leadership.
type term struct {
	truth *truth
	rev   int64
	done  chan struct{}
	once  sync.Once
}

func (e *truth) Campaign(ctx context.Context) (coordinator.Leadership, error) {
	for {
		e.mu.Lock()
		if e.leader == nil {
			e.rev++
			e.leader = &term{truth: e, rev: e.rev, done: make(chan struct{})}
			defer e.mu.Unlock()
			return e.leader, nil
		}
		free := e.free
		e.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-free:
		}
	}
}

func (l *term) Revision() int64       { return l.rev }
func (l *term) Done() <-chan struct{} { return l.done }

func (l *term) Resign(context.Context) error {
	l.once.Do(func() { close(l.done) })
	l.truth.mu.Lock()
	defer l.truth.mu.Unlock()
	if l.truth.leader == l {
		l.truth.leader = nil
		close(l.truth.free)
		l.truth.free = make(chan struct{})
	}
	return nil
}

func (l *term) Load(context.Context) ([]metatrain.KV, error) {
	l.truth.mu.Lock()
	defer l.truth.mu.Unlock()
	l.truth.loads++
	return slices.Collect(maps.Values(l.truth.keys)), nil
}

func (l *term) Commit(_ context.Context, t metatrain.Txn) (int64, error) {
	e := l.truth
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.leader != l {
		return 0, metatrain.ErrDeposed
	}
	var failed error
	if e.fail != nil {
		err, happens := e.fail(t)
		if err != nil && !happens {
			return 0, err
		}
		failed = err
	}
	for _, x := range t.Expect {
		if e.keys[x.Key].ModRev != x.ModRev {
			return 0, fmt.Errorf("%w: %s", metatrain.ErrConflict, x.Key)
		}
	}
	e.rev++
	for _, p := range t.Puts {
		e.keys[p.Key] = metatrain.KV{Key: p.Key, Value: p.Value, ModRev: e.rev}
	}
	return e.rev, failed
}

// setFail changes fail while the truth is in use.
func (e *truth) setFail(fail func(t metatrain.Txn) (error, bool)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail = fail
}

// failOnce has the next transaction end in err.
func (e *truth) failOnce(err error, happens bool) {
	var seen atomic.Bool
	e.setFail(func(metatrain.Txn) (error, bool) {
		if seen.Swap(true) {
			return nil, false
		}
		return err, happens
	})
}

// depose takes the leadership away, as a lease that expired does.
func (e *truth) depose() {
	e.mu.Lock()
	l := e.leader
	e.mu.Unlock()
	_ = l.Resign(context.Background())
}

// store is a directory store that can be out of order.
type store struct {
	checkpoint.Store
	mu   sync.Mutex
	down error
	gets map[string]int

	presign func(ctx context.Context, key string, life time.Duration) (string, error)
}

// Presign is of tests whose parameters are large.
func (s *store) Presign(ctx context.Context, key string, life time.Duration) (string, error) {
	return s.presign(ctx, key, life)
}

func (s *store) failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

func (s *store) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func (s *store) Put(ctx context.Context, key string, data []byte) error {
	if err := s.failing(); err != nil {
		return err
	}
	return s.Store.Put(ctx, key, data)
}

func (s *store) Get(ctx context.Context, key string) ([]byte, error) {
	if err := s.failing(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.gets[key]++
	s.mu.Unlock()
	return s.Store.Get(ctx, key)
}

func (s *store) List(ctx context.Context, prefix string) ([]checkpoint.Object, error) {
	if err := s.failing(); err != nil {
		return nil, err
	}
	return s.Store.List(ctx, prefix)
}

var errDown = errors.New("the store is down")

// rig is a cluster in memory.
type rig struct {
	t      testing.TB
	bus    *membus.Bus
	truth  *truth
	store  *store
	client *client.Client
	ctx    context.Context
	dir    string
	log    *slog.Logger // of the coordinators
	spool  *coordinator.Spool
	// newCluster draws the ids of clusters; nil binds nothing.
	newCluster func() string
	watch      *coordinator.Watch // of the coordinators
}

// rigLife ends a test that hangs; a fuzzer may run for long.
const rigLife = 10 * time.Minute

// openDir is an empty store.
func openDir(t testing.TB) *checkpoint.Dir {
	t.Helper()
	dir, err := checkpoint.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// newRig makes a cluster without coordinators or workers; what it leaves running fails the test.
func newRig(t testing.TB) *rig {
	t.Helper()
	before := runtime.NumGoroutine()
	dir := t.TempDir()
	objects, err := checkpoint.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, bus: membus.New(), truth: newTruth(), store: &store{Store: objects, gets: map[string]int{}}, dir: dir, log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithTimeout(context.Background(), rigLife)
	r.ctx = ctx
	if r.client, err = client.New(r.bus, "", nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		r.client.Close()
		r.bus.Close()
		if _, fuzzing := t.(*testing.F); fuzzing {
			return // whose own goroutines come and go
		}
		for range 100 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		stacks := make([]byte, 1<<20)
		t.Errorf("goroutines are left: %d, before %d\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
	})
	return r
}

// coordinate runs a coordinator until stop or the test's end.
func (r *rig) coordinate(id string, cfg metatrain.Config) (stop func()) {
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		coordinator.Run(ctx, coordinator.Config{ID: id, Machine: cfg, StorePatience: 500 * time.Millisecond, Log: r.log, Spool: r.spool, NewCluster: r.newCluster, Watch: r.watch}, r.truth, r.bus, r.store)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	r.t.Cleanup(stop)
	return stop
}

// work runs a worker until the test's end.
func (r *rig) work() {
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan error, 1)
	go func() {
		done <- worker.RunSlots(ctx, worker.Config{BeatEvery: 50 * time.Millisecond}, 1, r.client, worker.BuiltinKinds())
	}()
	r.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("worker: %v", err)
		}
	})
}

// spec is a small run.
func (r *rig) spec(name string) metatrain.RunSpec {
	r.t.Helper()
	spec, _, err := worker.BuiltinKinds().ReadSpec("spec.yaml", fmt.Appendf(nil, `
name: %s
family: {name: sinusoid, shots: 3, query: 3}
model: {hidden: [4]}
meta_batch: 4
steps: 40
checkpoint: {every: 10}
validation: {every: 20, tasks: 4, adapt: [], targets: []}
evaluation: {table: false}
`, name), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return spec
}

// train submits a run, follows it to its end and returns its model's bytes.
func (r *rig) train(spec metatrain.RunSpec) string {
	r.t.Helper()
	run, _, err := r.client.Submit(r.ctx, spec, false)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.finish(run.Run)
}

func (r *rig) finish(run string) string {
	r.t.Helper()
	for {
		runs, _, err := r.client.Runs(r.ctx, run)
		if err != nil {
			r.t.Fatal(err)
		}
		switch s := runs[0]; s.State {
		case metatrain.Active:
			time.Sleep(20 * time.Millisecond)
		case metatrain.Finished:
			data, err := r.store.Store.Get(r.ctx, checkpoint.VersionFolder(s.Name, int64(s.Version))+checkpoint.ModelFile)
			if err != nil {
				r.t.Fatal(err)
			}
			return metatrain.Digest(data)
		default:
			r.t.Fatalf("run %s is %s: %s", run, s.State, s.Reason)
		}
	}
}
