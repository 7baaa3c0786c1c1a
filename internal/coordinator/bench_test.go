package coordinator_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/backends"
	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/internal/etcdstate"
	"github.com/warmstart-ml/warmstart/internal/localstack"
	"github.com/warmstart-ml/warmstart/internal/natsbus"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// params is the size of the sinusoid MLP, 1-40-40-1.
const params = 1761

// BenchmarkLeaseRoundTrip is what one shard costs beside its computation: a lease asked for and granted, a result of
// 1,761 parameters offered, checked, folded and accepted, and the outer step it completes; over TCP to an embedded
// NATS, with worker and coordinator in one process. A worker hides it behind the shard it computes meanwhile.
func BenchmarkLeaseRoundTrip(b *testing.B) {
	ctx, c := embedded(b)
	spec, _, err := worker.BuiltinKinds().ReadSpec("bench.yaml", []byte(`
name: bench
family: sinusoid
meta_batch: 1
steps: 100000000
checkpoint: {every: 100000000}
validation: {every: 100000000, tasks: 1}
evaluation: {table: false}
`), nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, _, err := c.Submit(ctx, spec, false); err != nil {
		b.Fatal(err)
	}
	payload := metatrain.EncodeFloats(make([]float32, params))
	sum := metatrain.Digest(payload)
	shard := func() metatrain.Kind {
		hello := metatrain.Hello{Worker: "bench", Protocol: metatrain.Protocol, Contract: metatrain.Contract, WaitMS: 5000}
		grant, _, err := client.Ask[metatrain.LeaseReply](ctx, c, "lease", hello, nil, 7*time.Second)
		if err != nil {
			b.Fatal(err)
		}
		if len(grant.Leases) == 0 {
			return ""
		}
		l := grant.Leases[0]
		res := metatrain.Result{Worker: "bench", Lease: l.ID, Work: l.Work, Tasks: 1, Micros: 1, Metrics: []float64{1}, Total: len(payload), SHA256: sum}
		body := payload
		switch l.Work.Kind {
		case metatrain.Init:
			res.Layout = `[{"name":"w","offset":0,"shape":[1761]}]`
		case metatrain.Validate:
			body, res.Total, res.SHA256 = nil, 0, metatrain.Digest(nil)
		}
		reply, _, err := client.Ask[metatrain.ResultReply](ctx, c, "result", res, body, 5*time.Second)
		if err != nil {
			b.Fatal(err)
		}
		if reply.Verdict != metatrain.Accepted {
			b.Fatalf("%s of step %d: %s %s", l.Work.Kind, l.Work.Step, reply.Verdict, reply.Reason)
		}
		return l.Work.Kind
	}
	for shard() != metatrain.Train {
	}
	for b.Loop() {
		shard()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N), "µs/shard")
}

// embedded brings up a stack with a coordinator, and a client over TCP.
func embedded(b *testing.B) (context.Context, *client.Client) {
	ctx := b.Context()
	log := slog.New(slog.DiscardHandler)
	stack, err := localstack.Start(ctx, localstack.Config{DataDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	user, password := stack.Credentials()
	bus, err := natsbus.Connect(ctx, natsbus.Config{InProcess: stack.InProcess(), User: user, Password: password})
	if err != nil {
		b.Fatal(err)
	}
	outside, err := natsbus.Connect(ctx, natsbus.Config{URL: stack.NATSURL()})
	if err != nil {
		b.Fatal(err)
	}
	c, err := client.New(outside, "", log)
	if err != nil {
		b.Fatal(err)
	}
	life, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		coordinator.Run(life, coordinator.Config{ID: "bench", Log: log},
			backends.Elector{State: etcdstate.FromClient(stack.EtcdClient(), ""), ID: "bench", TTL: 4 * time.Second}, bus, stack.Store())
	}()
	b.Cleanup(func() {
		end()
		<-done
		c.Close()
		_ = outside.Close()
		_ = bus.Close()
		_ = stack.Stop()
	})
	return ctx, c
}
