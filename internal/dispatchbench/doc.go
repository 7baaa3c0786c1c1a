// Package dispatchbench measures what dispatch costs: a real coordinator in a process of its own, real etcd, real NATS
// over TCP, and workers that keep the protocol (pkg/client) but wait instead of computing. A worker's vector is a known
// function of theta, step and task, so that the base model that comes out must equal, bit for bit, one made by a serial
// loop here: no result can be lost, repeated or misplaced unseen.
//
// Model predicts the same figures from measured costs of single messages, for fleets that no machine here holds.
package dispatchbench
