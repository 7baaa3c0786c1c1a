package testservers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// EtcdNode is one member of an etcd cluster.
type EtcdNode struct {
	*Process
	Client string // http://host:port for clients, a gate
	Own    string // http://host:port for clients, around the gate
	peer   string // http://host:port for other members, a gate
	data   string
	others []*EtcdNode
}

// NewEtcdCluster prepares n members, under dir. They are started one by one, in any
// order, and none waits for the others. Members and clients reach each other
// through the network's gates alone. Timing is etcd's default; nothing is fsynced.
func NewEtcdCluster(net *Network, dir string, n int) ([]*EtcdNode, error) {
	path, err := Binary("etcd")
	if err != nil {
		return nil, err
	}
	ports, err := LastingPorts(2 * n)
	if err != nil {
		return nil, err
	}
	nodes, initial := make([]*EtcdNode, n), make([]string, n)
	for i := range nodes {
		name := fmt.Sprintf("etcd-%d", i+1)
		p := &Process{Name: name, Path: path, Log: filepath.Join(dir, name+".log")}
		net.Join(p)
		client, err := net.Gate(p, loopback(ports[2*i]))
		if err != nil {
			return nil, err
		}
		peer, err := net.Gate(p, loopback(ports[2*i+1]))
		if err != nil {
			return nil, err
		}
		nodes[i] = &EtcdNode{Process: p, Client: "http://" + client, Own: "http://" + loopback(ports[2*i]), peer: "http://" + peer, data: filepath.Join(dir, name)}
		initial[i] = name + "=" + nodes[i].peer
		p.Args = []string{"--name", name, "--data-dir", nodes[i].data, "--unsafe-no-fsync", "--log-level", "warn",
			"--auto-compaction-mode", "revision", "--auto-compaction-retention", "1000",
			"--listen-client-urls", nodes[i].Own, "--advertise-client-urls", nodes[i].Client,
			"--listen-peer-urls", "http://" + loopback(ports[2*i+1]), "--initial-advertise-peer-urls", nodes[i].peer,
			"--initial-cluster-state", "new", "--initial-cluster"}
	}
	for i, node := range nodes {
		node.Args = append(node.Args, strings.Join(initial, ","))
		node.others = slices.Delete(slices.Clone(nodes), i, i+1)
	}
	return nodes, nil
}

// Healthy says by nil that the member serves, as part of a cluster with a leader.
func (n *EtcdNode) Healthy(ctx context.Context) error { return healthy(n.Own + "/health")(ctx) }

// Wipe deletes an ended member's data and has the others take its successor, of the
// same name, in its place: a member must not come back without what it voted for.
// It tries until ctx ends, since the others may lack a majority.
func (n *EtcdNode) Wipe(ctx context.Context) error {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{n.others[0].Own, n.others[1].Own}, Logger: zap.NewNop()})
	if err != nil {
		return fmt.Errorf("wipe %s: %w", n.Name, err)
	}
	defer c.Close()
	for {
		err := n.replace(ctx, c)
		if err == nil {
			n.Args = slices.Clone(n.Args)
			n.Args[slices.Index(n.Args, "--initial-cluster-state")+1] = "existing"
			return os.RemoveAll(n.data)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wipe %s: %w", n.Name, errors.Join(err, ctx.Err()))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// replace removes the member that has this one's address, if there is one, and adds
// another at the same. It may be repeated.
func (n *EtcdNode) replace(ctx context.Context, c *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	list, err := c.MemberList(ctx)
	if err != nil {
		return err
	}
	for _, m := range list.Members {
		if slices.Contains(m.PeerURLs, n.peer) {
			if m.Name == "" {
				return nil // added before, and not started since
			}
			if _, err := c.MemberRemove(ctx, m.ID); err != nil {
				return err
			}
		}
	}
	_, err = c.MemberAdd(ctx, []string{n.peer})
	return err
}
