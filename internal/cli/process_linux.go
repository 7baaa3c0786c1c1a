package cli

import "syscall"

// workerProcess puts a worker in a group of its own, so that ^C reaches this process alone, which then ends its workers
// in order; and has the kernel end it should this process be killed.
func workerProcess() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
