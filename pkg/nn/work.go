package nn

// Work counts the multiply-adds of one sample's forward pass through all products
// of the model (padding taps left out, and a gru's products with its state before
// the first time), and apart those with the model's own input, which has no
// gradient. Biases, activations, norms and losses do not count.
func (m *Model) Work() (all, first float64) {
	var forks []bool // open ones: whether what they pass on is the input
	for _, s := range m.steps {
		var n, own float64 // own: what does not depend on the layer's input
		raw := s.lo == 0   // nothing before it has parameters
		switch s.kind {
		case "fork":
			forks = append(forks, s.hi == 0)
		case "join":
			raw = forks[len(forks)-1]
			forks = forks[:len(forks)-1]
			if len(s.beside) > 0 {
				n = float64(volume(s.out)) * float64(s.beside[len(s.beside)-1])
			}
		case "conv":
			if w, err := windowOf(s.spec, s.in); err == nil {
				n = float64(len(w.links())) * float64(s.in[len(s.in)-1]) * float64(s.spec.Filters)
			}
		case "dense":
			n = float64(s.in[0]) * float64(s.out[0])
		case "gru":
			time, in, units := float64(s.in[0]), float64(s.in[1]), float64(s.out[1])
			n, own = time*in*gates*units, (time-1)*units*gates*units
		}
		all += n + own
		if raw {
			first += n
		}
	}
	return all, first
}
