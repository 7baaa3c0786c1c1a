package localstack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// listener words the process that listens on a TCP port, or returns "" where that
// cannot be told, as for processes of other users. It serves an error message alone.
func listener(port int) string {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			// sl, local address, remote address, state (0A: listening), ..., inode
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				sockets["socket:["+f[9]+"]"] = true
			}
		}
	}
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil && sockets[target] {
			proc := filepath.Dir(filepath.Dir(file))
			command, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
			return fmt.Sprintf("process %s (%s)", filepath.Base(proc), strings.TrimSpace(strings.ReplaceAll(string(command), "\x00", " ")))
		}
	}
	return ""
}
