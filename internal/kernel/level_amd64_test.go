//go:build !noasm && amd64

package kernel

import (
	"fmt"
	"testing"
)

// forEachLevel runs f for every instruction set this processor has.
func forEachLevel(t *testing.T, f func(t *testing.T)) {
	best := level
	defer func() { level = best }()
	for level = 0; level <= best; level++ {
		t.Run(fmt.Sprintf("level%d", level), f)
	}
}

// eachLevel runs f for every instruction set this processor has, plain Go first.
func eachLevel(f func(level int)) {
	best := level
	defer func() { level = best }()
	for level = 0; level <= best; level++ {
		f(level)
	}
}
