package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// failoverSteps is the length of the runs that train meanwhile: longer than any measurement.
const failoverSteps = 50_000_000

// longSpec is a run whose shards take seconds, fewer of them than workers: what frees those of a dead worker is that it
// beats no more, while short ones that are late are copied before.
const longSpec = `name: worker_long
family: {name: sinusoid, shots: 200, query: 200}
model: {hidden: [256, 256]}
learner: {steps: 100}
meta_batch: 3
steps: 100000
validation: {tasks: 1}
`

// target is what the cluster must keep to, in seconds.
type target struct{ median, worst float64 }

// The lease is 4 s, beats come every 500 ms.
var (
	leaderTarget = target{4, 8}
	workerTarget = target{2, 2}
)

// durations are measurements in seconds.
type durations []float64

func (d durations) median() float64 {
	s := slices.Sorted(slices.Values(d))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// report is what --json prints of one kind of failover.
type report struct {
	Kills   int       `json:"kills"`
	Median  float64   `json:"median_s"`
	Worst   float64   `json:"worst_s"`
	Seconds durations `json:"seconds"`
}

func reportOf(d durations) report { return report{len(d), d.median(), slices.Max(d), d} }

// check is an error where the target is missed.
func (r report) check(what string, t target) error {
	if r.Median < t.median && r.Worst < t.worst {
		return nil
	}
	return fmt.Errorf("%s: found a median of %.2f s and a worst of %.2f s, expected under %.0f and %.0f", what, r.Median, r.Worst, t.median, t.worst)
}

// timeFailover kills leaders, then workers, of a cluster that trains, and times what follows.
func timeFailover(ctx context.Context, o *options, dir string, log *timeline) (err error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	f, err := newFleet(ctx, o, dir, log, fail)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	if err := f.start(ctx); err != nil {
		return err
	}
	reports := map[string]report{}
	var missed []error
	for _, m := range []measurement{
		{"leader", "the next result folded", spec("leader", failoverSteps), f.killLeader, leaderTarget},
		{"worker", "its shard was done elsewhere", spec("worker", failoverSteps), f.killWorker, workerTarget},
		{"worker_long", "its shard was at work elsewhere", longSpec, f.killWorker, workerTarget},
	} {
		r, err := f.measure(ctx, m, o.failover)
		if err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		reports[m.name] = r
		log.say("%s: median %.2f s, worst %.2f s", m.name, r.Median, r.Worst)
		missed = append(missed, r.check(m.name, m.target))
	}
	if o.json {
		missed = append(missed, json.NewEncoder(os.Stdout).Encode(reports))
	}
	return errors.Join(missed...)
}

// measurement is one kind of failover: what is killed while which run trains, and what is waited for.
type measurement struct {
	name   string
	until  string
	spec   string
	kill   func(context.Context, *observer) (took float64, counts bool, err error)
	target target
}

// measure kills n times.
func (f *fleet) measure(ctx context.Context, m measurement, n int) (report, error) {
	watch, err := newObserver(ctx, f, m.name)
	if err != nil {
		return report{}, err
	}
	defer watch.close()
	p, err := f.train(m.name, m.spec)
	if err != nil {
		return report{}, err
	}
	defer p.Kill()
	var all durations
	for len(all) < n {
		if err := f.steady(ctx, watch); err != nil {
			return report{}, err
		}
		took, counts, err := m.kill(ctx, watch)
		if err != nil {
			return report{}, err
		}
		if counts {
			all = append(all, took)
			f.log.say("%s %d of %d: %s after %.2f s", m.name, len(all), n, m.until, took)
		}
	}
	s, err := watch.ask(ctx)
	if err == nil {
		err = watch.client.Control(ctx, s.Run, "cancel")
	}
	return reportOf(all), err
}

// killLeader kills whoever leads and returns the seconds until another has folded a result.
func (f *fleet) killLeader(ctx context.Context, watch *observer) (took float64, counts bool, err error) {
	leader, err := watch.find(ctx)
	if err != nil {
		return 0, false, err
	}
	m := f.members[leader]
	f.fell(m)
	began := time.Now()
	err = poll(ctx, time.Minute, "the next result", func() error {
		s, by, err := watch.peek(ctx)
		if err == nil && (by == leader || s.TasksPerS == 0) {
			err = fmt.Errorf("%s leads, at %.0f tasks/s", by, s.TasksPerS)
		}
		return err
	})
	return time.Since(began).Seconds(), true, errors.Join(err, f.launch(m))
}

// killWorker kills one that has a shard in hand and returns the seconds until that shard is done, or leased to another.
// It does not count where the worker had just given it away.
func (f *fleet) killWorker(ctx context.Context, watch *observer) (took float64, counts bool, err error) {
	s, _, err := watch.peek(ctx)
	if err != nil || s.Phase != metatrain.Train || len(s.Waits) == 0 {
		return 0, false, err
	}
	its := s.Waits[rand.IntN(len(s.Waits))]
	m := f.holder(its)
	if m == nil || its.Since > 1000 { // it may be done any moment
		return 0, false, nil
	}
	f.fell(m)
	began := time.Now()
	err = poll(ctx, time.Minute, "its shard", func() error {
		now, _, err := watch.peek(ctx)
		if err == nil && total(now) == total(s) && slices.ContainsFunc(now.Waits, func(w metatrain.Wait) bool { return w.Lo == its.Lo && w.Worker == its.Worker }) {
			counts, err = true, fmt.Errorf("%v", now.Waits)
		}
		return err
	})
	return time.Since(began).Seconds(), counts, errors.Join(err, f.launch(m))
}

// holder is the worker that a run waits for: its id tells its process.
func (f *fleet) holder(w metatrain.Wait) *member {
	for _, name := range theWorkers {
		if m := f.members[name]; strings.Contains(w.Worker, fmt.Sprintf("-%d-", m.PID())) {
			return m
		}
	}
	return nil
}

// steady waits until both coordinators and all workers are at it, and then a little longer, so that kills fall anywhere
// between two keep-alives.
func (f *fleet) steady(ctx context.Context, watch *observer) error {
	var first metatrain.RunStatus
	err := poll(ctx, time.Minute, "a cluster in good order", func() error {
		if _, err := f.levels(ctx); err != nil {
			return err
		}
		s, _, err := watch.peek(ctx)
		switch {
		case err != nil:
			return err
		case s.Workers != workers:
			return fmt.Errorf("found %d workers, expected %d", s.Workers, workers)
		case first.Run == "" || total(s) < total(first):
			first = s
			return errors.New("asked once")
		case total(s) == total(first):
			return fmt.Errorf("no step since %d", total(s))
		}
		return nil
	})
	if err == nil && !pause(ctx, 2*time.Second+rand.N(2*time.Second)) {
		err = ctx.Err()
	}
	return err
}
