package etcdstate

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy is a TCP proxy before etcd whose two directions can be held up, as a
// network that loses every packet does: nothing arrives, nothing is refused.
type proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	cond  *sync.Cond
	held  [2]bool // to the server, to the client
	conns []net.Conn
	done  bool
}

const (
	toServer = iota
	toClient
)

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target}
	p.cond = sync.NewCond(&p.mu)
	t.Cleanup(p.close)
	go p.accept()
	return p
}

func (p *proxy) endpoint() string { return "http://" + p.listener.Addr().String() }

// hold stops the flow in the given directions until release.
func (p *proxy) hold(directions ...int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range directions {
		p.held[d] = true
	}
}

func (p *proxy) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = [2]bool{}
	p.cond.Broadcast()
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
	p.cond.Broadcast()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		go p.pump(toServer, server, client)
		go p.pump(toClient, client, server)
	}
}

// pump copies one direction, chunk by chunk, waiting while it is held.
func (p *proxy) pump(direction int, dst io.WriteCloser, src io.ReadCloser) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		p.mu.Lock()
		for p.held[direction] && !p.done {
			p.cond.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
