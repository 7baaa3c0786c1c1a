//go:build noasm || !amd64

package kernel

// Without assembly nothing is done ahead of the loops in plain Go.

func addInto32(dst, src []float32) int                    { return 0 }
func axpy32(dst, x []float32, a float32, y []float32) int { return 0 }
func scale32(dst []float32, a float32, x []float32) int   { return 0 }
func relu32(dst, x []float32) int                         { return 0 }
func gate32(dst, x, y []float32) int                      { return 0 }
func finite32(x []float32) int                            { return 0 }

func each32(o op, dst, x, y, z []float32, n, c, yr, zr int) bool { return false }
func columns32(dst, x, y []float32, n, c int) bool               { return false }
func transpose32(dst, src []float32, rows, cols int) bool        { return false }
func curve32(which int, dst, x []float32) bool                   { return false }
