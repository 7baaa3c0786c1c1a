package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/warmstart-ml/warmstart/internal/natsbus"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// watchEvery is how often the observer asks how far the run is.
const watchEvery = 250 * time.Millisecond

// observer asks the cluster around the gates, as somebody whom no fault cuts off.
type observer struct {
	bus    *natsbus.Bus
	client *client.Client
	name   string // of the run it asks about

	mu     sync.Mutex
	last   metatrain.RunStatus
	most   int64     // steps folded, over all tracks
	moved  time.Time // when most last rose
	leader string
}

func newObserver(ctx context.Context, f *fleet, name string) (*observer, error) {
	bus, err := natsbus.Connect(ctx, natsbus.Config{URL: f.natsOwn(), Name: "observer"})
	if err != nil {
		return nil, err
	}
	c, err := client.New(bus, "", slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	o := &observer{bus: bus, client: c, name: name, moved: time.Now()}
	_, err = bus.Subscribe(c.Subject("leader"), func(data []byte) {
		var a metatrain.Announce
		if _, err := metatrain.DecodeFrame(data, &a); err == nil {
			o.mu.Lock()
			o.leader = a.Leader
			o.mu.Unlock()
			f.log.say("%s leads, term %s", a.Leader, a.Term)
		}
	})
	return o, err
}

func (o *observer) close() {
	o.client.Close()
	_ = o.bus.Close() // nothing is on its way
}

// follow asks for the run's status until ctx ends.
func (o *observer) follow(ctx context.Context) {
	for pause(ctx, watchEvery) {
		s, err := o.ask(ctx)
		if err != nil {
			continue // nobody leads just now
		}
		o.mu.Lock()
		if o.last = s; total(s) > o.most {
			o.most, o.moved = total(s), time.Now()
		}
		o.mu.Unlock()
	}
}

// ask returns the status of the run.
func (o *observer) ask(ctx context.Context) (metatrain.RunStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	runs, _, err := o.client.Runs(ctx, "")
	if err != nil {
		return metatrain.RunStatus{}, err
	}
	return o.pick(runs)
}

func (o *observer) pick(runs []metatrain.RunStatus) (metatrain.RunStatus, error) {
	i := slices.IndexFunc(runs, func(r metatrain.RunStatus) bool { return r.Name == o.name })
	if i < 0 {
		return metatrain.RunStatus{}, fmt.Errorf("found no run %s", o.name)
	}
	return runs[i], nil
}

// peek asks whoever leads now, once, and also tells who that is.
func (o *observer) peek(ctx context.Context) (s metatrain.RunStatus, leader string, err error) {
	var a metatrain.Announce
	if err := o.request(ctx, "find", nil, &a); err != nil {
		return s, "", err
	}
	var answer metatrain.Answer
	if err := o.request(ctx, "lead."+a.Term.String()+".question", metatrain.Question{}, &answer); err != nil {
		return s, "", err
	}
	s, err = o.pick(answer.Runs)
	return s, a.Leader, err
}

func (o *observer) request(ctx context.Context, subject string, question, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	data, err := o.bus.Request(ctx, o.client.Subject(subject), metatrain.EncodeFrame(question, nil))
	if err == nil {
		_, err = metatrain.DecodeFrame(data, answer)
	}
	return err
}

// find asks who leads now.
func (o *observer) find(ctx context.Context) (string, error) {
	var a metatrain.Announce
	err := o.request(ctx, "find", nil, &a)
	return a.Leader, err
}

// total is the steps done over all tracks.
func total(s metatrain.RunStatus) int64 { return int64(s.Track)*s.Steps + s.Step }

// step is how many steps are folded: those that a failover has computed again count once.
func (o *observer) step() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.most
}

// rests is for how long no further step was folded.
func (o *observer) rests() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return time.Since(o.moved)
}

func (o *observer) status() metatrain.RunStatus {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}
