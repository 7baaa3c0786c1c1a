//go:build noasm || !amd64

package kernel

// panel32 reports that there is no kernel: plain Go computes every panel.
func panel32(t *panel[float32], lo, hi int, s []float32, sr int, c []float32, cr, join int) bool {
	return false
}
