package testservers

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// socketInode finds, in /proc/net/tcp (proc_net(5)), the socket whose own address
// is local and which is connected to remote; "" where there is none.
func socketInode(local, remote net.Addr) string {
	data, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	ends := procAddr(local) + " " + procAddr(remote) + " "
	for line := range strings.Lines(string(data)) {
		if _, rest, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(rest, ends) {
			if fields := strings.Fields(rest); len(fields) > 8 && fields[8] != "0" {
				return fields[8]
			}
		}
	}
	return ""
}

// procAddr writes an IPv4 address as /proc/net/tcp does: the address in the
// machine's own byte order.
func procAddr(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || tcp.IP.To4() == nil {
		return "none"
	}
	return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(tcp.IP.To4()), tcp.Port)
}

// holdsSocket tells whether a process has a socket open.
func holdsSocket(pid int, inode string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if name, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && name == "socket:["+inode+"]" {
			return true
		}
	}
	return false
}
