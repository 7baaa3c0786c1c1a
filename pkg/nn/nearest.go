package nn

import (
	"fmt"
	"strings"
)

// unknown is the error for a name that is none of known.
func unknown(field, name string, known ...string) error {
	return fmt.Errorf("%s: unknown %q, expected %s; did you mean %q?", field, name, strings.Join(known, " or "), Nearest(name, known))
}

// Nearest returns the entry of known with the fewest edits from name, the first
// of equals, or "" where known is empty.
func Nearest(name string, known []string) string {
	best, dist := "", -1
	for _, k := range known {
		if d := edits(name, k); dist < 0 || d < dist {
			best, dist = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance of a and b in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diag
			if a[i] != b[j] {
				d++
			}
			diag = row[j+1]
			row[j+1] = min(d, row[j]+1, diag+1)
		}
	}
	return row[len(b)]
}
