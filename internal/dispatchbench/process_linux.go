package dispatchbench

import (
	"fmt"
	"math"
	"os"
	"strings"
	"syscall"
	"time"
)

// dependent has the kernel end the coordinator should this process be killed, and keeps ^C from reaching it.
func dependent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// resident is a process's memory in megabytes by one of the kernel's names, NaN where it is gone.
func resident(pid int, name string) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, found := strings.Cut(string(data), name+":")
	var kb float64
	if _, scan := fmt.Sscan(rest, &kb); err != nil || !found || scan != nil {
		return math.NaN()
	}
	return kb / 1024
}

// processCPU is the processor time of a process so far, 0 where it is gone; in ticks of 10 ms.
func processCPU(pid int) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		return 0
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// ownCPU is the processor time of this process so far.
func ownCPU() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
