package testservers

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Ports that the kernel gives to connections begin at 32,768 (ip_local_port_range).
// A server that is to come back on its port takes one below, or a connection may
// have it while the server is down.
const lowestPort, highestPort = 15_000, 32_000

// LastingPorts finds n loopback ports that nobody listens on and that no outgoing
// connection will be given.
func LastingPorts(n int) (ports []int, err error) {
	for range 100 * n {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		defer l.Close() // at the end, so that none is found twice
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("find %d free ports: found %d between %d and %d", n, len(ports), lowestPort, highestPort)
}

// Nobody is an address where nobody listens.
func Nobody(t testing.TB) string {
	t.Helper()
	return loopback(freePort(t))
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
