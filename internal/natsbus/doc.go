// Package natsbus carries warmstart's messages over NATS: requests and their
// answers, broadcasts, and the events of runs.
//
// It is a shell: it moves bytes and decides nothing. NATS is transport, not truth;
// what the caller can rely on is only this:
//
//  1. Delivery is at most once. A request may reach its server though its answer
//     is lost, so requests are idempotent and their callers ask again.
//  2. Nothing waits on a connection that is gone. While there is none, publishing
//     and requesting fail at once, and a request that was under way when it broke
//     fails then (ErrDisconnected), not at the end of its long poll. Nothing is
//     kept back and sent later, when its sender may have gone on.
//  3. Once connected, a Bus goes on reconnecting until it is closed. Config.Waiting
//     hears of each outage, Bus.Err tells at any time.
//  4. No message is larger than MaxMessage.
//  5. Events are kept in memory within limits, for followers: a lost one is no harm.
package natsbus
