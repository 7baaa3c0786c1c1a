package worker

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/membus"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

// leader plays the leader of one term: it grants what the test says and hands on what the worker says.
type leader struct {
	t    *testing.T
	bus  *membus.Bus
	term metatrain.Term
	stop func()
	spec metatrain.RunSpec
	data map[string][]byte // thetas by digest

	hellos  chan metatrain.Hello
	results chan metatrain.Result
	fails   chan metatrain.Failure
	goodbye chan metatrain.Beat // of workers that leave

	mu      sync.Mutex
	specs   int // asked for
	polls   int
	waiting func(metatrain.LeaseReply) // the poll that waits
	grants  []metatrain.LeaseReply
	drop    []uint64
	verdict func(metatrain.Result) metatrain.ResultReply // none: when there is one for another

	unanswered []func(msg any, payload []byte) // results without a verdict
}

// lead begins a term.
func lead(t *testing.T, bus *membus.Bus, revision int64, spec metatrain.RunSpec) *leader {
	t.Helper()
	l := &leader{
		t: t, bus: bus, term: metatrain.Term{Revision: revision}, spec: spec, data: map[string][]byte{},
		hellos: make(chan metatrain.Hello, 1000), results: make(chan metatrain.Result, 1000), fails: make(chan metatrain.Failure, 1000), goodbye: make(chan metatrain.Beat, 1000),
		verdict: func(metatrain.Result) metatrain.ResultReply {
			return metatrain.ResultReply{Verdict: metatrain.Accepted}
		},
	}
	stop, _ := bus.Serve(metatrain.Subject("warmstart", "lead", l.term.String(), "*"), func(subject, _ string, data []byte, reply func([]byte)) {
		l.answer(subject[strings.LastIndexByte(subject, '.')+1:], data, func(msg any, payload []byte) { reply(metatrain.EncodeFrame(msg, payload)) })
	})
	me := metatrain.EncodeFrame(metatrain.Announce{Term: l.term, Leader: "test"}, nil)
	stopFind, _ := bus.Serve("warmstart.find", func(_, _ string, _ []byte, reply func([]byte)) { reply(me) })
	_ = bus.Publish("warmstart.leader", me)
	l.stop = func() { stopFind(); stop() }
	return l
}

func (l *leader) answer(op string, data []byte, reply func(any, []byte)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch op {
	case "lease":
		l.hellos <- decode[metatrain.Hello](l.t, data)
		poll := func(r metatrain.LeaseReply) { r.Term = l.term; reply(r, nil) }
		l.waiting = poll
		l.polls++
		mine := l.polls
		time.AfterFunc(30*time.Millisecond, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.waiting != nil && l.polls == mine {
				l.waiting = nil
				poll(metatrain.LeaseReply{})
			}
		})
		l.grantNext()
	case "beat":
		if b := decode[metatrain.Beat](l.t, data); b.Leaving {
			l.goodbye <- b
		}
		reply(metatrain.Ack{Term: l.term, Drop: l.drop}, nil)
	case "fail":
		l.fails <- decode[metatrain.Failure](l.t, data)
		reply(metatrain.Ack{Term: l.term}, nil)
	case "result":
		res := decode[metatrain.Result](l.t, data)
		r := l.verdict(res)
		r.Term = l.term
		l.results <- res
		l.unanswered = append(l.unanswered, reply)
		if r.Verdict == "" {
			return
		}
		for _, reply := range l.unanswered {
			reply(r, nil)
		}
		l.unanswered = nil
	case "fetch":
		f := decode[metatrain.Fetch](l.t, data)
		content, ok := l.data[f.Theta]
		if f.Spec != "" {
			l.specs++
			content, ok = metatrain.EncodeSpec(l.spec), true
		}
		reply(metatrain.Chunk{Term: l.term, Total: len(content), Absent: !ok}, content)
	}
}

func decode[M any](t *testing.T, data []byte) (msg M) {
	if _, err := metatrain.DecodeFrame(data, &msg); err != nil {
		t.Errorf("the worker sent what cannot be read: %v", err)
	}
	return msg
}

func (l *leader) grantNext() {
	if l.waiting != nil && len(l.grants) > 0 {
		l.waiting(l.grants[0])
		l.waiting, l.grants = nil, l.grants[1:]
	}
}

// grant leases one shard.
func (l *leader) grant(id uint64, node metatrain.Node) metatrain.Work {
	l.mu.Lock()
	defer l.mu.Unlock()
	theta := make([]float32, 19) // of a model 1-6-1
	for i := range theta {
		theta[i] = float32(i%5) / 10
	}
	bytes := metatrain.EncodeFloats(theta)
	work := metatrain.Work{Run: "r", Spec: l.spec.Digest(), Kind: metatrain.Train, Theta: metatrain.Digest(bytes), Node: node}
	l.data[work.Theta] = bytes
	l.grants = append(l.grants, metatrain.LeaseReply{Leases: []metatrain.Lease{{ID: l.id(id), Work: work, Tasks: 8}}})
	l.grantNext()
	return work
}

// id carries the term, as the machine's do.
func (l *leader) id(n uint64) uint64 { return uint64(l.term.Revision)<<32 + n }

func (l *leader) judge(verdict func(metatrain.Result) metatrain.ResultReply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.verdict = verdict
}

// holdAll has no room for any result, and wants each again so many milliseconds later.
func (l *leader) holdAll(retryMS int64) {
	l.judge(func(metatrain.Result) metatrain.ResultReply {
		return metatrain.ResultReply{Verdict: metatrain.Hold, RetryMS: retryMS}
	})
}

func (l *leader) dropAll(ids ...uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop = ids
}

// next waits for what comes on a channel.
func next[M any](t *testing.T, what string, from <-chan M) M {
	t.Helper()
	select {
	case m := <-from:
		return m
	case <-time.After(5 * time.Second):
		t.Fatalf("no %s came", what)
		panic("unreachable")
	}
}

// helloWith waits for a request for work that satisfies ok.
func (l *leader) helloWith(what string, ok func(metatrain.Hello) bool) metatrain.Hello {
	l.t.Helper()
	last := metatrain.Hello{}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		if last = next(l.t, "hello "+what, l.hellos); ok(last) {
			return last
		}
	}
	l.t.Fatalf("no hello %s came; the last is %+v", what, last)
	panic("unreachable")
}

// gate is a family whose tasks wait until they are let through, and are counted.
type gate struct {
	taskshards.Family
	started chan struct{}
	pass    chan struct{}
}

func (g *gate) Sample(split taskshards.Split, seed, step, task uint64, into *taskshards.Task) error {
	g.started <- struct{}{}
	<-g.pass
	return g.Family.Sample(split, seed, step, task, into)
}

// stage is a worker and what it runs on.
type stage struct {
	bus      *membus.Bus
	client   *client.Client
	families Families
	gate     *gate
	spec     metatrain.RunSpec
}

func newStage(t *testing.T) *stage {
	t.Helper()
	spec, _ := read(t, tiny, "model.skip=false")
	inner, err := BuiltinFamilies().Build(spec.Family, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{bus: membus.New(), spec: spec, families: BuiltinFamilies()}
	s.gate = &gate{inner, make(chan struct{}, 1000), make(chan struct{})}
	kind := s.families["sinusoid"]
	kind.Build = func(json.RawMessage, *taskshards.DataSet) (taskshards.Family, error) { return s.gate, nil }
	s.families["sinusoid"] = kind
	if s.client, err = client.New(s.bus, "", nil); err != nil {
		t.Fatal(err)
	}
	return s
}

// open lets all tasks through from now on.
func (s *stage) open() { close(s.gate.pass) }

// run starts the worker; at the test's end it must stop cleanly.
func (s *stage) run(t *testing.T) { s.runUntil(t, nil, 0) }

// runUntil is run of a worker that leaves when it is asked to.
func (s *stage) runUntil(t *testing.T, leave <-chan struct{}, grace time.Duration) (left <-chan error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- RunSlots(ctx, Config{BeatEvery: 20 * time.Millisecond, Leave: leave, Grace: grace}, 1, s.client, Kinds{s.families, BuiltinModels(), nil})
	}()
	t.Cleanup(func() {
		cancel()
		if leave == nil {
			if err := next(t, "end of the worker", done); err != nil {
				t.Errorf("worker: %v", err)
			}
		}
		s.client.Close()
		s.bus.Close()
	})
	return done
}

// bare is a worker without its loops, which the test calls itself.
func (s *stage) bare() *worker {
	return &worker{
		cfg: Config{ID: "w", Log: slog.New(slog.DiscardHandler)}.withDefaults(), client: s.client,
		engines: newEngines(s.client, Kinds{s.families, BuiltinModels(), nil}),
		holding: map[uint64]*job{}, room: make(chan struct{}, 1), settled: make(chan struct{}, 1),
	}
}

// end closes what a test without a worker began.
func (s *stage) end() {
	s.client.Close()
	s.bus.Close()
}

// jobOf is a finished piece of work with a result of so many bytes.
func jobOf(size int) *job {
	ctx, drop := context.WithCancel(context.Background())
	return &job{lease: metatrain.Lease{ID: 1, Work: metatrain.Work{Run: "r", Kind: metatrain.Train, Step: 3}}, dropped: ctx.Done(), drop: drop, payload: make([]byte, size)}
}
