package testservers

import (
	"net"
	"sync"
)

// link is one connection through a gate.
type link struct {
	from, to *Process // from nil: unknown
	down     net.Conn // to who dialled

	mu      sync.Mutex
	up      net.Conn // to the server; nil before it is dialled
	silent  bool
	over    bool
	changed chan struct{} // closed, and replaced, when silent or over change
}

// connected takes the second half in; false: the link was closed meanwhile.
func (k *link) connected(up net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		_ = up.Close()
		return false
	}
	k.up = up
	return true
}

// hold makes the link silent, or ends its silence.
func (k *link) hold(silent bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.silent != silent {
		k.silent = silent
		k.tell()
	}
}

// close resets both halves, so that neither end takes it for an orderly end.
func (k *link) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return
	}
	k.over = true
	k.tell()
	for _, c := range []net.Conn{k.down, k.up} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		}
	}
}

func (k *link) tell() {
	close(k.changed)
	k.changed = make(chan struct{})
}

// await returns once the link is not silent; false: it is over.
func (k *link) await() bool {
	for {
		k.mu.Lock()
		silent, over, changed := k.silent, k.over, k.changed
		k.mu.Unlock()
		if over || !silent {
			return !over
		}
		<-changed
	}
}

// copy carries one direction. What it has read when the silence begins it keeps,
// and hands on after it; then the sender fills its buffers and waits.
func (k *link) copy(to, from net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if !k.await() {
			return
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				k.close()
				return
			}
		}
		if err != nil {
			k.end(to, from)
			return
		}
	}
}

// end hands on an orderly end: what was sent before it still arrives.
func (k *link) end(to, from net.Conn) {
	if tcp, ok := to.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	if tcp, ok := from.(*net.TCPConn); ok {
		_ = tcp.CloseRead()
	}
}
