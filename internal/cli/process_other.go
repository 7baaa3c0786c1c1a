//go:build !linux

package cli

import "syscall"

// workerProcess puts a worker in a group of its own, so that ^C reaches this process alone, which then ends its workers
// in order. Without Linux's parent-death signal a worker whose parent was killed ends when it finds no NATS.
func workerProcess() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
