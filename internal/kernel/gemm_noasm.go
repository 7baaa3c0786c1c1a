//go:build noasm || !amd64

package kernel

// tile32 reports that there is no kernel: plain Go computes every tile.
func tile32(t *tile[float32], lo, hi int, s []float32, sr int, c []float32, cr int) bool {
	return false
}
