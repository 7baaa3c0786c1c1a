package nn

import "slices"

// Info describes one layer as it stands in a model, for those who compute it by
// other means: engines of other kinds, exports, people.
type Info struct {
	// Kind is dense, conv, maxpool, avgpool, spread (rows to positions first),
	// flatten, last, fork and join (the ends of a residual), skip (the end of the
	// input's row beside the features), or an entry of LayerSpec.Kind.
	Kind string
	// Spec is the layer's entry in a list of layers, with its options.
	Spec LayerSpec
	// In and Out are a sample's shapes before and after it; Beside is what a join
	// gets from its fork where it maps that by a 1x1 convolution.
	In, Out, Beside []int
	// Lo and Hi bound its parameters.
	Lo, Hi int
}

// Layers lists the layers in the order in which they run.
func (m *Model) Layers() []Info {
	list := make([]Info, len(m.steps))
	for i, s := range m.steps {
		list[i] = Info{Kind: s.kind, Spec: s.spec, In: slices.Clone(s.in), Out: slices.Clone(s.out), Beside: slices.Clone(s.beside), Lo: s.lo, Hi: s.hi}
	}
	return list
}
