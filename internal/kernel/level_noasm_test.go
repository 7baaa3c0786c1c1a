//go:build noasm || !amd64

package kernel

import "testing"

func forEachLevel(t *testing.T, f func(t *testing.T)) { t.Run("plain", f) }

func eachLevel(f func(level int)) { f(0) }
