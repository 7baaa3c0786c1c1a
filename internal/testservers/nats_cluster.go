package testservers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// NATSNode is one nats-server of a cluster, with JetStream.
type NATSNode struct {
	*Process
	Client  string // host:port for clients, a gate
	Own     string // host:port for clients, around the gate
	Monitor string // http://host:port of its monitoring pages
	store   string
}

// NewNATSCluster prepares n nats-servers that route to each other, under dir. They
// are started one by one, in any order. Nodes and clients reach each other through
// the network's gates alone.
func NewNATSCluster(net *Network, dir string, n int) ([]*NATSNode, error) {
	path, err := Binary("nats")
	if err != nil {
		return nil, err
	}
	ports, err := LastingPorts(3 * n)
	if err != nil {
		return nil, err
	}
	nodes, routes := make([]*NATSNode, n), make([]string, n)
	for i := range nodes {
		name := fmt.Sprintf("nats-%d", i+1)
		p := &Process{Name: name, Path: path, Log: filepath.Join(dir, name+".log")}
		nodes[i] = &NATSNode{Process: p, Own: loopback(ports[3*i]), Monitor: "http://" + loopback(ports[3*i+1]), store: filepath.Join(dir, name)}
		net.Join(p)
		if nodes[i].Client, err = net.Gate(p, nodes[i].Own); err != nil {
			return nil, err
		}
		if routes[i], err = net.Gate(p, loopback(ports[3*i+2])); err != nil {
			return nil, err
		}
	}
	for i, node := range nodes {
		node.Args = []string{"--name", node.Name, "--addr", "127.0.0.1", "--port", portOf(node.Own), "--http_port", portOf(node.Monitor),
			"--jetstream", "--store_dir", node.store, "--no_advertise",
			"--cluster_name", "test", "--cluster", "nats://" + loopback(ports[3*i+2]), "--cluster_advertise", routes[i],
			"--routes", "nats://" + strings.Join(without(routes, i), ",nats://")}
		node.Ready = func(ctx context.Context) error { return greets(ctx, node.Own) }
	}
	return nodes, nil
}

// Wipe deletes what an ended node has stored.
func (n *NATSNode) Wipe() error { return os.RemoveAll(n.store) }

// portOf returns what follows the last colon.
func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

func without(list []string, i int) []string {
	return append(append([]string{}, list[:i]...), list[i+1:]...)
}
