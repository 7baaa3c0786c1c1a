// Package e2e tests the whole system as its users meet it: the three programs, built and run as processes, on the
// embedded stack and against real NATS, etcd and S3 servers (internal/testservers). It holds tests alone.
package e2e
