package etcdstate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	// leaderKey is the name, under the prefix, of the key whose holder leads.
	leaderKey = "leader"
	// minTTL is the shortest lease that an etcd with default timing grants.
	minTTL = 2 * time.Second
	// keepAlivesPerTTL is how many keep-alives fall into one TTL: one may be lost
	// before the leadership is. Each renews the lease in full, so that a leader that
	// dies is replaced the sooner the fewer there are: after 5/6 of the TTL in the
	// mean, and etcd's half second for noticing.
	keepAlivesPerTTL = 3
	// marginShare is the part of the TTL, 1/8, that a leader stops early by: for
	// clocks that run at different speeds, and for its own last actions.
	marginShare = 8
)

// Leader says who leads.
type Leader struct {
	ID       string // as given to Campaign
	Revision int64  // create revision of the leader key; 0 = nobody leads
}

// String words the leader for errors and status.
func (l Leader) String() string {
	if l.Revision == 0 {
		return "no leader"
	}
	return fmt.Sprintf("leader %s of revision %d", l.ID, l.Revision)
}

// Leadership is one term of leading, from a Campaign to its end. Its methods are
// safe for concurrent use.
type Leadership struct {
	state    *State
	id       string
	revision int64
	lease    clientv3.LeaseID
	ttl      time.Duration

	done   chan struct{}
	cancel context.CancelFunc // stops the keep-alives
	loops  sync.WaitGroup

	mu       sync.Mutex
	err      error // why it ended; nil while it stands
	failure  error // of the last keep-alive; nil after a confirmed one
	deadline *time.Timer
}

// Revision returns the create revision of the leader key: the fencing number of
// this leadership, higher than those of all before it in the same etcd.
func (l *Leadership) Revision() int64 { return l.revision }

// Done closes when the leader must stop: at the send time of the last confirmed
// keep-alive + TTL - TTL/8 by the monotonic clock, or earlier where etcd says that
// the lease is gone, a commit finds another leader, or Resign is called. A process
// that was suspended may see it late; its commits are refused all the same.
func (l *Leadership) Done() <-chan struct{} { return l.done }

// Err returns nil while Done is open, then why it closed: an error that is
// ErrDeposed.
func (l *Leadership) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// newLeadership starts the keep-alives of a lease whose grant was asked for at sent.
func newLeadership(ctx context.Context, s *State, id string, g grant, revision int64) *Leadership {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &Leadership{state: s, id: id, revision: revision, lease: g.id, ttl: g.ttl, done: make(chan struct{}), cancel: cancel}
	l.mu.Lock() // the timer may fire at once
	l.deadline = time.AfterFunc(time.Until(l.stopAt(g.sent)), l.expire)
	l.mu.Unlock()
	l.loops.Go(func() { l.keepAlive(ctx) })
	return l
}

// stopAt returns when to stop if no keep-alive sent after the given one is
// confirmed. sent carries the monotonic clock.
func (l *Leadership) stopAt(sent time.Time) time.Time {
	return sent.Add(l.ttl - l.ttl/marginShare)
}

// keepAlive renews the lease until ctx ends or the lease is gone.
func (l *Leadership) keepAlive(ctx context.Context) {
	interval := l.ttl / keepAlivesPerTTL
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := l.renew(ctx, interval); errors.Is(err, rpctypes.ErrLeaseNotFound) {
			l.end(fmt.Errorf("%w: found the lease of %s expired or revoked", ErrDeposed, Leader{l.id, l.revision}))
			return
		}
	}
}

// renew sends one keep-alive. The time is taken before it is sent: the server
// starts the TTL anew when it is received, which is later. A retry inside the
// client only makes the true send time later still, never earlier.
func (l *Leadership) renew(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	sent := time.Now()
	_, err := l.state.client.KeepAliveOnce(ctx, l.lease)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = err
	if err == nil && l.err == nil {
		// Where the timer has just fired, expire ends the leadership all the same.
		l.deadline.Reset(time.Until(l.stopAt(sent)))
	}
	return err
}

// expire ends the leadership for want of confirmed keep-alives.
func (l *Leadership) expire() {
	l.mu.Lock()
	failure := l.failure
	l.mu.Unlock()
	if failure == nil {
		failure = errors.New("the process did not run")
	}
	l.end(fmt.Errorf("%w: found no keep-alive of %s confirmed for %v: %w", ErrDeposed, Leader{l.id, l.revision}, l.ttl-l.ttl/marginShare, l.state.explain(failure)))
}

// end closes Done, once.
func (l *Leadership) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = err
	l.deadline.Stop()
	l.cancel()
	close(l.done)
}

// Resign ends the leadership and hands over at once: it closes Done, then revokes
// the lease, which deletes the leader key. After an error the next leader has to
// wait until the lease expires. It is right to resign a lost leadership.
func (l *Leadership) Resign(ctx context.Context) error {
	l.end(fmt.Errorf("%w: %s resigned", ErrDeposed, Leader{l.id, l.revision}))
	l.loops.Wait()
	ctx, cancel := l.state.request(ctx)
	defer cancel()
	if _, err := l.state.client.Revoke(ctx, l.lease); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("resign: revoke lease: %w", l.state.explain(err))
	}
	return nil
}
