//go:build noasm || !amd64

package kernel

func sine64(dst, x []float64) bool { return false }
