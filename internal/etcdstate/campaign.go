package etcdstate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// grant is a lease and the monotonic time before it was asked for.
type grant struct {
	id   clientv3.LeaseID
	ttl  time.Duration
	sent time.Time
}

// Campaign waits until nobody leads, then takes the leadership under a lease of
// the given ttl (whole seconds, at least 2). id names the candidate to others, and
// should tell host and process. The context bounds the wait, not the leadership.
//
// It returns an error when ctx ends, or when etcd does not answer a question in
// time: the caller then knows, and campaigns again.
func (s *State) Campaign(ctx context.Context, id string, ttl time.Duration) (*Leadership, error) {
	if ttl < minTTL || ttl%time.Second != 0 {
		return nil, fmt.Errorf("campaign as %s: found ttl %v, expected whole seconds, at least %v", id, ttl, minTTL)
	}
	for {
		leader, revision, err := s.leader(ctx)
		if err != nil {
			return nil, fmt.Errorf("campaign as %s: %w", id, err)
		}
		if leader.Revision == 0 {
			l, err := s.take(ctx, id, ttl)
			if err != nil {
				return nil, fmt.Errorf("campaign as %s: %w", id, err)
			}
			if l != nil {
				return l, nil
			}
			continue // see who was faster
		}
		s.awaitVacancy(ctx, revision, ttl)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("campaign as %s: waited for %s: %w", id, leader, context.Cause(ctx))
		}
	}
}

// Leader returns who leads now.
func (s *State) Leader(ctx context.Context) (Leader, error) {
	leader, _, err := s.leader(ctx)
	return leader, err
}

// leader also returns the revision of etcd at which it was found.
func (s *State) leader(ctx context.Context) (Leader, int64, error) {
	ctx, cancel := s.request(ctx)
	defer cancel()
	resp, err := s.client.Get(ctx, s.key(leaderKey))
	if err != nil {
		return Leader{}, 0, fmt.Errorf("read leader: %w", s.explain(err))
	}
	if len(resp.Kvs) == 0 {
		return Leader{}, resp.Header.Revision, nil
	}
	kv := resp.Kvs[0]
	return Leader{ID: string(kv.Value), Revision: kv.CreateRevision}, resp.Header.Revision, nil
}

// take writes the leader key under a new lease where it is absent; where it is
// not, or the lease was gone before it could be used, it returns nil. After an error the lease, and with it a key that may have
// been written, is revoked or expires within its ttl.
func (s *State) take(ctx context.Context, id string, ttl time.Duration) (*Leadership, error) {
	ctx, cancel := s.request(ctx)
	defer cancel()
	g, err := s.grant(ctx, ttl)
	if err != nil {
		return nil, err
	}
	key := s.key(leaderKey)
	resp, err := s.client.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, id, clientv3.WithLease(g.id))).
		Commit()
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil, nil
	}
	if err != nil {
		s.revoke(ctx, g.id)
		return nil, fmt.Errorf("write leader key: %w", s.explain(err))
	}
	if !resp.Succeeded {
		s.revoke(ctx, g.id)
		return nil, nil
	}
	return newLeadership(ctx, s, id, g, resp.Header.Revision), nil
}

func (s *State) grant(ctx context.Context, ttl time.Duration) (grant, error) {
	sent := time.Now()
	resp, err := s.client.Grant(ctx, int64(ttl/time.Second))
	if err != nil {
		return grant{}, fmt.Errorf("grant lease: %w", s.explain(err))
	}
	// A server with slow timing grants more than was asked for. What was asked for
	// is the earlier end, so it stays what the leader goes by.
	return grant{id: resp.ID, ttl: ttl, sent: sent}, nil
}

// revoke gives back a lease that came to nothing. Where that fails it expires.
func (s *State) revoke(ctx context.Context, id clientv3.LeaseID) {
	ctx, cancel := s.request(context.WithoutCancel(ctx))
	defer cancel()
	_, _ = s.client.Revoke(ctx, id)
}

// awaitVacancy returns when the leader key is deleted after the given revision,
// and in any case after poll: a watch that was silently lost delays the next look
// by no more. Its own failures mean only that the caller looks again.
func (s *State) awaitVacancy(ctx context.Context, revision int64, poll time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, poll)
	defer cancel()
	events := s.client.Watch(clientv3.WithRequireLeader(ctx), s.key(leaderKey), clientv3.WithRev(revision+1), clientv3.WithFilterPut())
	for resp := range events {
		if resp.Err() != nil {
			select { // a watch that fails at once must not become a busy loop
			case <-ctx.Done():
			case <-time.After(attemptPause):
			}
			return
		}
		for _, e := range resp.Events {
			if e.Type == mvccpb.DELETE {
				return
			}
		}
	}
}
