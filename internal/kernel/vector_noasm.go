//go:build noasm || !amd64

package kernel

// Without assembly nothing is done ahead of the loops in plain Go.

func finite32(x []float32) int { return 0 }

func adam32(theta, m, v, g []float32, r *AdamRates) int { return 0 }

func each32(o op, dst, x, y, z []float32, a float32, n, c, yr, zr int) bool { return false }

func columns32(dst, x, y []float32, n, c int) bool                                  { return false }
func transpose32(dst []float32, dr int, src []float32, sr int, rows, cols int) bool { return false }
func curve32(which int, dst, x []float32) bool                                      { return false }
