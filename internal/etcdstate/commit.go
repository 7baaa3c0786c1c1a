package etcdstate

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Commit carries out t as one etcd transaction, on condition that this leadership
// still stands and that every expectation holds. rev is the revision that the
// changed keys now have.
//
// Errors: ErrDeposed and ErrConflict say that there was no effect, ErrAmbiguous
// that there may have been one; any other error is a refusal without effect.
func (l *Leadership) Commit(ctx context.Context, t Txn) (rev int64, err error) {
	if err := validate(t); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("commit: %w", err) // nothing was sent
	}
	if err := l.Err(); err != nil {
		return 0, fmt.Errorf("commit: %w", err)
	}
	ctx, cancel := l.state.request(ctx)
	defer cancel()
	resp, err := l.state.client.Txn(ctx).If(l.conditions(t)...).Then(l.changes(t)...).Else(l.questions(t)...).Commit()
	if err != nil {
		if hadNoEffect(err) {
			return 0, fmt.Errorf("commit: %w", l.state.explain(err))
		}
		return 0, fmt.Errorf("commit: %w: %w", ErrAmbiguous, l.state.explain(err))
	}
	if !resp.Succeeded {
		return 0, fmt.Errorf("commit: %w", l.refusal(t, resp))
	}
	return resp.Header.Revision, nil
}

// conditions compares the leader key first: the fence.
func (l *Leadership) conditions(t Txn) []clientv3.Cmp {
	conds := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(l.state.key(leaderKey)), "=", l.revision)}
	for _, e := range t.Expect {
		conds = append(conds, clientv3.Compare(clientv3.ModRevision(l.state.key(e.Key)), "=", e.ModRev))
	}
	return conds
}

func (l *Leadership) changes(t Txn) []clientv3.Op {
	var ops []clientv3.Op
	for _, p := range t.Puts {
		ops = append(ops, clientv3.OpPut(l.state.key(p.Key), string(p.Value)))
	}
	for _, key := range t.Deletes {
		ops = append(ops, clientv3.OpDelete(l.state.key(key)))
	}
	return ops
}

// questions are asked, in the same transaction, when a condition does not hold:
// what stands in the leader key, and at which revision is each expected key.
func (l *Leadership) questions(t Txn) []clientv3.Op {
	ops := []clientv3.Op{clientv3.OpGet(l.state.key(leaderKey))}
	for _, e := range t.Expect {
		ops = append(ops, clientv3.OpGet(l.state.key(e.Key), clientv3.WithKeysOnly()))
	}
	return ops
}

// refusal reads the answers to questions.
func (l *Leadership) refusal(t Txn, resp *clientv3.TxnResponse) error {
	leader := Leader{}
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) == 1 {
		leader = Leader{ID: string(kvs[0].Value), Revision: kvs[0].CreateRevision}
	}
	if leader.Revision != l.revision {
		err := fmt.Errorf("%w: found %s, expected %s", ErrDeposed, leader, Leader{l.id, l.revision})
		l.end(err)
		return err
	}
	for i, e := range t.Expect {
		found := int64(0)
		if kvs := resp.Responses[i+1].GetResponseRange().Kvs; len(kvs) == 1 {
			found = kvs[0].ModRevision
		}
		if found != e.ModRev {
			return &ConflictError{Key: e.Key, Found: found, Expected: e.ModRev}
		}
	}
	return fmt.Errorf("found the transaction refused though all its conditions hold")
}
