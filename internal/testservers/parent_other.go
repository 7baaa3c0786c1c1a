//go:build !linux

package testservers

import "syscall"

// dieWithParent does nothing here: only Linux ties a child's life to its parent's.
func dieWithParent() *syscall.SysProcAttr { return nil }
