package strictyaml

import "strings"

// Nearest is the known word that word most likely meant, "" when none is near. Near is a third of the letters (at
// least one) inserted, left out, replaced or swapped with a neighbour; case, '-' and '_' do not count; or being the
// beginning, three letters or more, of a single known word. Of equally near words the first wins.
func Nearest(word string, known []string) string {
	const longest = 64
	w := plain(word)
	if len(w) == 0 || len(w) > longest {
		return ""
	}
	best, least := "", max(1, len(w)/3)+1
	var begins []string
	for _, k := range known {
		p := plain(k)
		if len(p) > longest {
			continue
		}
		if d := distance(w, p); d < least && d < len(p) {
			best, least = k, d
		}
		if len(w) >= 3 && strings.HasPrefix(p, w) {
			begins = append(begins, k)
		}
	}
	if best == "" && len(begins) == 1 {
		return begins[0]
	}
	return best
}

func plain(word string) string {
	return strings.ReplaceAll(strings.ToLower(word), "-", "_")
}

// distance is the optimal string alignment distance of two words, by bytes: Levenshtein's with swaps of neighbours,
// no letter edited twice.
func distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
