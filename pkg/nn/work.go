package nn

// Work counts the multiply-adds of one sample's forward pass through all products
// of the model (padding taps left out), and those of the first layer with products
// apart: its input has no gradient. Biases, activations, norms and losses do not
// count.
func (m *Model) Work() (all, first float64) {
	for _, s := range m.steps {
		var n float64
		switch s.kind {
		case "conv":
			if w, err := windowOf(s.spec, s.in); err == nil {
				n = float64(len(w.links())) * float64(s.in[len(s.in)-1]) * float64(s.spec.Filters)
			}
		case "dense":
			n = float64(s.in[0]) * float64(s.out[0])
		}
		if all += n; first == 0 {
			first = n
		}
	}
	return all, first
}
