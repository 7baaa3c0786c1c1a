//go:build !unix

package localstack

import "errors"

// fileLock is never held here.
type fileLock struct{}

// tryLock refuses: without a lock that ends with its process, two could use one
// data dir and destroy it.
func tryLock(string) (*fileLock, error) {
	return nil, errors.New("the embedded servers need a Unix; use a cluster from here")
}

func (*fileLock) release() error { return nil }

func freeBytes(string) (uint64, error) { return 0, errors.ErrUnsupported }

func isNoSpace(error) bool { return false }
