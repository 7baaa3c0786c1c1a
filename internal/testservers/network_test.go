//go:build linux

package testservers

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// patience bounds every wait here; most take milliseconds.
const patience = 90 * time.Second

// await polls until holds returns nil.
func await(t *testing.T, what string, holds func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s: %v", patience, what, err)
		}
	}
}

// echo serves lines on a port of its own until the test ends.
func echo(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	return l.Addr().String()
}

func testNetwork(t *testing.T) *Network {
	n := NewNetwork()
	t.Cleanup(func() { n.Close() })
	return n
}

// say sends a line and reads it back.
func say(c net.Conn, line string, within time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c, line); err != nil {
		return err
	}
	found, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && found != line+"\n" {
		err = fmt.Errorf("found %q, expected %q", found, line)
	}
	return err
}

func TestCutClosesConnectionsAndRefusesNewOnes(t *testing.T) {
	n := testNetwork(t)
	server := &Process{Name: "server"}
	addr, err := n.Gate(server, echo(t))
	if err != nil {
		t.Fatal(err)
	}
	dial := func() error {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer c.Close()
		return say(c, "hello", patience)
	}
	old, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := say(old, "before", patience); err != nil {
		t.Fatal(err)
	}
	mend := n.Cut(Cut{A: server})
	if err := say(old, "lost", patience); err == nil {
		t.Error("found an answer over a connection that was cut")
	}
	if dial() == nil {
		t.Error("found an answer over a new connection through a cut")
	}
	mend()
	if err := dial(); err != nil {
		t.Errorf("found no answer after the cut was mended: %v", err)
	}
}

func TestSilentCutDeliversWhenMended(t *testing.T) {
	n := testNetwork(t)
	server := &Process{Name: "server"}
	addr, err := n.Gate(server, echo(t))
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := say(c, "one", patience); err != nil {
		t.Fatal(err)
	}
	mend := n.Cut(Cut{A: server, Silent: true})
	if err := say(c, "two", 300*time.Millisecond); err == nil {
		t.Fatal("found an answer through a silent cut")
	}
	mend()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "two\n" {
		t.Fatalf("found %q (%v) after the silence, expected what was sent during it", line, err)
	}
}

func natsCluster(t *testing.T, n *Network) []*NATSNode {
	t.Helper()
	nodes, err := NewNATSCluster(n, t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		t.Cleanup(node.Kill)
		if err := node.Start(); err != nil {
			t.Fatalf("%v\n%s", err, node.Tail())
		}
	}
	return nodes
}

// crosses publishes at one node and hears it at another.
func crosses(from, to *NATSNode) error {
	a, err := nats.Connect("nats://" + from.Own)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := nats.Connect("nats://" + to.Own)
	if err != nil {
		return err
	}
	defer b.Close()
	sub, err := b.SubscribeSync("x")
	if err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	for range 20 {
		if err := a.Publish("x", []byte("y")); err != nil {
			return err
		}
		if _, err := sub.NextMsg(50 * time.Millisecond); err == nil {
			return nil
		}
	}
	return fmt.Errorf("found nothing of what %s sent at %s", from.Name, to.Name)
}

// All traffic between nodes goes through the gates: a node that is cut off hears nothing of the others, whoever
// dialled whom, and does again afterwards; one that lost everything comes back.
func TestNATSClusterIsCutMendedAndWiped(t *testing.T) {
	net := testNetwork(t)
	nodes := natsCluster(t, net)
	await(t, "routes", func() error { return crosses(nodes[0], nodes[2]) })
	await(t, "routes", func() error { return crosses(nodes[1], nodes[2]) })
	mend := net.Cut(Cut{A: nodes[2].Process})
	for _, other := range nodes[:2] {
		if crosses(other, nodes[2]) == nil || crosses(nodes[2], other) == nil {
			t.Errorf("found a message between %s and %s, which is cut off", other.Name, nodes[2].Name)
		}
	}
	mend()
	await(t, "routes after the cut", func() error { return crosses(nodes[0], nodes[2]) })
	nodes[2].Kill()
	if err := nodes[2].Wipe(); err != nil {
		t.Fatal(err)
	}
	if err := nodes[2].Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "routes of the wiped node", func() error { return crosses(nodes[2], nodes[0]) })
}

// Two members decide without the third; one alone decides nothing, which shows that members reach each other through
// the gates alone; one that lost its data is taken in again.
func TestEtcdClusterIsCutMendedAndWiped(t *testing.T) {
	net := testNetwork(t)
	nodes, err := NewEtcdCluster(net, t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		t.Cleanup(node.Kill)
		if err := node.Start(); err != nil {
			t.Fatal(err)
		}
	}
	put := func(node *EtcdNode, within time.Duration) error {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{node.Own}, Logger: zap.NewNop()})
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Put(ctx, "k", "v")
		return err
	}
	served := func(node *EtcdNode) func() error { return func() error { return put(node, 2*time.Second) } }
	for _, node := range nodes {
		await(t, node.Name, served(node))
	}
	for _, silent := range []bool{false, true} {
		mend := net.Cut(Cut{A: nodes[0].Process, Silent: silent})
		if err := put(nodes[0], 3*time.Second); err == nil {
			t.Errorf("found a write at %s, which is cut off (silent: %v)", nodes[0].Name, silent)
		}
		await(t, "the majority", served(nodes[1]))
		mend()
		await(t, "the member that was cut off", served(nodes[0]))
	}
	nodes[2].Kill()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := nodes[2].Wipe(ctx); err != nil {
		t.Fatal(err)
	}
	if err := nodes[2].Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the wiped member", served(nodes[2]))
}

// Cuts between two named processes part those two alone.
func TestCutKnowsWhoDialled(t *testing.T) {
	net := testNetwork(t)
	nodes := natsCluster(t, net)
	await(t, "routes", func() error { return crosses(nodes[0], nodes[1]) })
	await(t, "routes", func() error { return crosses(nodes[1], nodes[2]) })
	mend := net.Cut(Cut{A: nodes[1].Process, B: nodes[0].Process})
	defer mend()
	if crosses(nodes[0], nodes[1]) == nil {
		t.Error("found a message between two nodes cut off from each other")
	}
	for _, node := range nodes[:2] {
		if err := crosses(node, nodes[2]); err != nil {
			t.Error(err)
		}
	}
}
