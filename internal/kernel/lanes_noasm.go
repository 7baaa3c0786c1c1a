//go:build noasm || !amd64

package kernel

const maxLaneRows = 5

func laneRows() int { return maxLaneRows }

// Without assembly nothing is done ahead of plain Go.

func laneStrips(start Start, bias []float32, m, n, k int, a, b *Operand, c []float32, cr int) bool {
	return false
}

func laneDot32(chain *[dotChains * Lanes]float32, x, y []float32) int { return 0 }

func laneSum32(dst, x []float32, mask *LaneMask) int { return 0 }

func laneStep32(dst, x []float32, shared bool, r, g []float32) bool { return false }

func laneScale32(dst, r, x []float32) bool { return false }

func subProduct32(dst, x, y []float32) int { return 0 }

// Level names the instruction set in use.
func Level() string { return "plain" }
