package nn

// TapeSize is about how many numbers a tape of m holds for batches of n rows: its
// own, with what its layers keep, and those it shares with tapes beside it. Curved
// tapes run the R-passes too.
func (m *Model) TapeSize(n int, curved bool) (own, shared int) {
	rows, spare, piece := 16, 0, pieceSize
	for rows < n { // as it grows where batches come in any order
		rows *= 2
	}
	for i, s := range m.steps {
		in, out, params := volume(s.in), volume(s.out), s.hi-s.lo
		if !m.inPlace(i) {
			own += rows * out
			if s.lo > 0 { // not the first with parameters
				own += rows * in
			}
			if curved && s.hi > 0 {
				shared += rows * (in + out)
			}
		}
		own += s.keeps(n, curved)
		switch s.kind {
		case "conv":
			spare, piece = max(spare, params), max(piece, params)
		case "dense":
		default:
			piece = max(piece, params)
		}
	}
	return own, shared + spare + piece
}

// linkSize is what a convolution keeps of a pair of positions, in numbers: a link
// and a tap in each of three tables.
const linkSize = 3 * (12 + 16) / 4

// keeps is about how many numbers the layer itself keeps for n rows.
func (s step) keeps(n int, curved bool) int {
	in, out := n*volume(s.in), n*volume(s.out)
	switch s.kind {
	case "conv":
		if w, err := windowOf(s.spec, s.in); err == nil {
			return linkSize * len(w.links())
		}
	case "join":
		return 2 * n * volume(s.beside) * min(len(s.beside), 1)
	case "maxpool", "tanh", "sigmoid":
		return out
	case "gelu":
		return 2 * out
	case "batchnorm":
		return 3 * in
	case "layernorm":
		return 8 * in
	case "gru": // slabs of each gate and step, and the weights transposed
		weights := gates * volume(s.out[1:]) * (s.in[1] + s.out[1])
		if !curved {
			return 13*out + weights
		}
		return 25*out + 2*weights
	}
	return 0
}

// LaneTapeSize is how many numbers a LaneTape of m holds for batches of n rows.
func (m *Model) LaneTapeSize(n int) (size int) {
	for i, s := range m.steps {
		size += 2 * volume(s.out)
		if i > 0 {
			size += 2 * volume(s.in)
		}
	}
	return size * n * Lanes
}

// Widest says what to narrow where a model is too large: the field of Config that
// its size goes with or, of a list, the layer with the most parameters.
func (m *Model) Widest() string {
	switch m.config.Name {
	case "mlp":
		return "hidden"
	case "conv4":
		return "filters"
	case "tcn":
		return "channels"
	case "gru":
		return "units"
	}
	widest := Group{Name: "head"}
	for _, g := range m.groups {
		if g.Hi-g.Lo > widest.Hi-widest.Lo {
			widest = g
		}
	}
	return "layers (most of all " + widest.Name + ")"
}
