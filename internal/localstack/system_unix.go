//go:build unix

package localstack

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// fileLock is a lock that is held. It is a bare descriptor: an os.File would let go
// when the garbage collector finds nobody using it.
type fileLock struct{ fd int }

// tryLock takes the exclusive lock on the file path, made if it is not there, or
// returns nil where another has it.
func tryLock(path string) (*fileLock, error) {
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	l := &fileLock{fd}
	for {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return l, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return nil, l.release()
		case !errors.Is(err, unix.EINTR):
			return nil, errors.Join(&os.PathError{Op: "flock", Path: path, Err: err}, l.release())
		}
	}
}

func (l *fileLock) release() error { return os.NewSyscallError("close", unix.Close(l.fd)) }

// freeBytes returns how much this user can still write in dir.
func freeBytes(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}

// isNoSpace reports whether a write failed for want of space or quota.
func isNoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
