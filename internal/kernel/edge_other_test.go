//go:build !linux

package kernel

import "testing"

// edges elsewhere are ordinary memory.
type edges struct {
	atEnd bool
	next  int
}

func newEdges(testing.TB) *edges { return new(edges) }

func (e *edges) put(x []float32) []float32 { return append([]float32(nil), x...) }
