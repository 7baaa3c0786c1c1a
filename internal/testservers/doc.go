// Package testservers runs real servers for tests: nats-server, etcd and the
// S3 gateway versitygw.
//
// Each server is pinned by a small module of its own under servers/, so that
// its dependencies stay out of warmstart's go.mod, and is built from source
// once into .cache/servers/NAME-VERSION under the project root. Tests then
// start it on free loopback ports with its data in the test's temporary
// directory:
//
//	s := testservers.NATS(t)
//	nc, err := nats.Connect(s.URL)
//	s.Kill()    // SIGKILL, as a crash would
//	s.Restart() // same port, same data
//
// Clusters of NATS and etcd nodes stand behind a Network of gates, which cuts any
// process off from another or from all; their nodes, and other programs, are a
// Process each, which programs outside a test can run, too.
//
// A server that cannot be built or does not become ready fails the test; no
// test is ever skipped for the lack of one. `go run ./internal/testservers/build`
// builds all of them ahead of a test run, or those it is given the names of.
package testservers
