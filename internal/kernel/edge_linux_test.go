package kernel

import (
	"syscall"
	"testing"
	"unsafe"
)

// edges hands out float32 slices that end where memory that may not be touched
// begins, or begin where it ends, so that a kernel that reads or writes beyond a
// slice faults.
type edges struct {
	regions [6][]byte
	next    int
	page    int
	atEnd   bool
}

const edgeRegion = 1 << 19 // bytes

func newEdges(t testing.TB) *edges {
	e := &edges{page: syscall.Getpagesize()}
	for i := range e.regions {
		m, err := syscall.Mmap(-1, 0, edgeRegion+2*e.page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Munmap(m) })
		for _, guard := range [][]byte{m[:e.page], m[len(m)-e.page:]} {
			if err := syscall.Mprotect(guard, syscall.PROT_NONE); err != nil {
				t.Fatal(err)
			}
		}
		e.regions[i] = m[e.page : len(m)-e.page]
	}
	return e
}

// put copies x to an edge, in turn one region after the other.
func (e *edges) put(x []float32) []float32 {
	r := e.regions[e.next%len(e.regions)]
	e.next++
	if e.atEnd {
		r = r[len(r)-4*len(x):]
	}
	if len(x) == 0 {
		return nil
	}
	y := unsafe.Slice((*float32)(unsafe.Pointer(&r[0])), len(x))
	copy(y, x)
	return y
}
