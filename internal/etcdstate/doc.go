// Package etcdstate keeps warmstart's small state in etcd: it elects a leader,
// loads the state, and commits changes that only the leader can make.
//
// It is a shell: it knows keys and values, not what they mean. All keys lie under
// one prefix, followed by a slash, and are written and read without it. The key
// PREFIX/leader is this package's own; it holds the leader's id under a lease.
//
// What the caller can rely on:
//
//  1. A commit is one etcd transaction. It compares the create revision of the
//     leader key, so that a deposed leader's commit has no effect, whatever that
//     leader believes (guarantee G4).
//  2. Leadership.Done closes at the send time of the last confirmed keep-alive +
//     TTL - margin by the local monotonic clock. The server cannot let the lease
//     expire before that send time + TTL, so a leader that stops at Done has
//     stopped before another one can start. That is a courtesy: rule 1 is the fence.
//  3. A commit whose outcome is unknown says so (ErrAmbiguous). The caller then
//     campaigns and loads anew, or loads and compares.
//  4. No call waits longer than Config.RequestTimeout for one answer of etcd;
//     Campaign alone waits, for as long as its context allows, while another leads.
package etcdstate
