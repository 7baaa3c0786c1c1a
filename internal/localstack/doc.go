// Package localstack embeds NATS, etcd and a directory store in one process, so that
// a training on one machine needs no server beside it. The same drivers and wire
// forms run on it as on a cluster.
//
// Everything lies in one data dir, which one process at a time may use:
//
//	lock      who uses it: held by flock, so that it never outlives its holder
//	etcd/     the small state
//	nats/     JetStream's own; events are kept in memory
//	store/    checkpoints and models
//	log/      what the servers log, this start's and the one's before
//
// The embedded etcd has no socket: only this process reaches it. NATS listens, on
// loopback unless told otherwise, because workers are processes of their own; it
// asks for a password that is new at each start.
package localstack
