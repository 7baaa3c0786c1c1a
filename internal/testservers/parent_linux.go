package testservers

import "syscall"

// dieWithParent has the kernel kill the server when the test process dies, which
// runs no clean-up then.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
