package dispatchbench

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/warmstart-ml/warmstart/internal/natsbus"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// fleet is all waiters, the links they share, and a client such as the command line's.
type fleet struct {
	cfg     Config
	meter   *meter
	bus     *natsbus.Bus
	client  *client.Client
	links   []*link
	thetas  *thetas
	waiters []*waiter
	fail    func(error)
	ctx     context.Context
	end     context.CancelFunc
	loops   sync.WaitGroup
	once    sync.Once
}

// newFleet connects; fail hears of what ends the bench.
func newFleet(ctx context.Context, s *site, m *meter, fail func(error)) (*fleet, error) {
	f := &fleet{cfg: s.cfg, meter: m, thetas: newThetas(), fail: fail}
	f.ctx, f.end = context.WithCancel(ctx)
	if err := f.connect(s); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func (f *fleet) connect(s *site) (err error) {
	url := s.stack.NATSURL()
	f.bus, err = natsbus.Connect(f.ctx, natsbus.Config{URL: url, Name: "bench", Failed: func(err error) { s.cfg.Log.Warn("NATS", "err", err) }})
	if err != nil {
		return err
	}
	if f.client, err = client.New(f.bus, "", s.cfg.Log); err != nil {
		return err
	}
	find, cancel := context.WithTimeout(f.ctx, 30*time.Second)
	defer cancel()
	for i := range f.cfg.Connections {
		l, err := newLink(url, fmt.Sprintf("fleet %d", i), metatrain.Subject("warmstart", "theta"), func() { f.meter.requests.Add(1) }, f.fail)
		if err != nil {
			return err
		}
		f.links = append(f.links, l)
		if err := l.follow(find); err != nil {
			return err
		}
		f.loops.Go(func() { l.run(f.ctx, f.thetas.ear()) })
	}
	return nil
}

// start lets the workers ask and beat.
func (f *fleet) start() {
	for i := range f.cfg.Workers {
		f.waiters = append(f.waiters, newWaiter(f, i))
	}
	for _, w := range f.waiters {
		w.poll()
	}
	f.loops.Go(f.beat)
}

// beatEvery is the default of pkg/worker, and beatTurn how often a beat may fall due.
const (
	beatEvery = 500 * time.Millisecond
	beatTurn  = 5 * time.Millisecond
)

// beat lets each worker beat that holds leases and has said nothing for beatEvery, as in pkg/worker.
func (f *fleet) beat() {
	ticker := time.NewTicker(beatTurn)
	defer ticker.Stop()
	for {
		select {
		case <-f.ctx.Done():
			return
		case now := <-ticker.C:
			for _, w := range f.waiters {
				if now.UnixNano()-w.spoke.Load() >= int64(beatEvery) {
					w.beat()
				}
			}
		}
	}
}

// close ends the workers and their connections.
func (f *fleet) close() {
	f.once.Do(func() {
		f.end()
		f.loops.Wait()
		for _, w := range f.waiters {
			w.stop()
		}
		for _, l := range f.links {
			l.nc.Close()
		}
		if f.client != nil {
			f.client.Close()
		}
		if f.bus != nil {
			_ = f.bus.Close() // nothing is left to say
		}
	})
}
