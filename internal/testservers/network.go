package testservers

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
)

// Network carries the connections between processes of one test: who dials a
// server dials a gate in front of it, a TCP proxy, which knows by process who is at
// the other end. So any two processes can be cut off from each other, and one from
// all, without privileges.
//
// What does not go through a gate is not cut: servers must advertise their gates.
type Network struct {
	mu      sync.Mutex
	members []*Process
	gates   []net.Listener
	links   map[*link]struct{}
	cuts    map[*Cut]struct{}
	closed  bool
}

// Cut separates A from B in both directions; B nil is A from everybody.
type Cut struct {
	A, B *Process
	// Silent keeps connections open and delivers nothing until the cut is mended,
	// then everything, as a network does that loses packets. Otherwise connections
	// are closed, and new ones too, as soon as they are accepted.
	Silent bool
}

// NewNetwork returns a network without members.
func NewNetwork() *Network {
	return &Network{links: map[*link]struct{}{}, cuts: map[*Cut]struct{}{}}
}

// Join makes a process known, so that its connections can be cut.
func (n *Network) Join(p *Process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.members = append(n.members, p)
}

// Gate opens a gate to a port of owner, which need not run yet, and returns the
// address to dial instead.
func (n *Network) Gate(owner *Process, target string) (addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("gate to %s: %w", owner.Name, err)
	}
	n.mu.Lock()
	n.gates = append(n.gates, l)
	n.mu.Unlock()
	go n.accept(l, owner, target)
	return l.Addr().String(), nil
}

func (n *Network) accept(l net.Listener, owner *Process, target string) {
	for {
		down, err := l.Accept()
		if err != nil {
			return // the network was closed
		}
		go n.carry(&link{from: n.dialler(down), to: owner, down: down, changed: make(chan struct{})}, target)
	}
}

// carry brings one connection's bytes across until either end closes it.
func (n *Network) carry(k *link, target string) {
	defer k.close()
	if !n.attach(k) {
		return
	}
	defer n.detach(k)
	if !k.await() { // a silent cut holds back the first packet, too
		return
	}
	up, err := net.Dial("tcp", target)
	if err != nil || !k.connected(up) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { k.copy(up, k.down) })
	both.Go(func() { k.copy(k.down, up) })
	both.Wait()
}

func (n *Network) attach(k *link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.links[k] = struct{}{}
	n.judge(k)
	return true
}

func (n *Network) detach(k *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.links, k)
}

// Cut takes effect at once, on connections that exist too. mend undoes it; where
// cuts overlap each holds until it is mended.
func (n *Network) Cut(c Cut) (mend func()) {
	n.change(func() { n.cuts[&c] = struct{}{} })
	return func() { n.change(func() { delete(n.cuts, &c) }) }
}

func (n *Network) change(cuts func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	cuts()
	for k := range n.links {
		n.judge(k)
	}
}

// judge applies the cuts to a link. The caller holds mu.
func (n *Network) judge(k *link) {
	silent := false
	for c := range n.cuts {
		switch {
		case !c.parts(k.from, k.to):
		case !c.Silent:
			k.close()
			return
		default:
			silent = true
		}
	}
	k.hold(silent)
}

// parts tells whether a connection between two processes is cut. A nil process is
// one that the network does not know.
func (c *Cut) parts(from, to *Process) bool {
	if c.B == nil {
		return from == c.A || to == c.A
	}
	return from == c.A && to == c.B || from == c.B && to == c.A
}

// dialler finds the process that dialled an accepted connection, nil where it is no
// member.
func (n *Network) dialler(conn net.Conn) *Process {
	n.mu.Lock()
	members := slices.Clone(n.members)
	n.mu.Unlock()
	if inode := socketInode(conn.RemoteAddr(), conn.LocalAddr()); inode != "" {
		for _, p := range members {
			if holdsSocket(p.PID(), inode) {
				return p
			}
		}
	}
	return nil
}

// Close closes all gates and connections.
func (n *Network) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	var errs []error
	for _, l := range n.gates {
		errs = append(errs, l.Close())
	}
	for k := range n.links {
		k.close()
	}
	return errors.Join(errs...)
}
