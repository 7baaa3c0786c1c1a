package nn

import (
	"slices"
)

// Param names one tensor within the flat parameter vector: Shape's product
// elements from Offset on, row-major.
//
// Track tells a tracked statistic from a parameter: a mean or variance that a
// layer normalises by. To every derivative it is a constant, so inner loops leave
// it, a direction has zeros there, and so has what RBackward fills. Backward fills
// its place in a gradient with the tensor less what the batch shows: a plain step
// against it at a rate r in (0, 1] makes the tensor an exponential mean of decay
// 1 - r. An optimizer with moments or a clipped norm must pass it by.
type Param struct {
	Name   string
	Offset int
	Shape  []int
	Track  bool
}

// Size is the number of elements of p.
func (p Param) Size() int { return volume(p.Shape) }

// Group is a range [Lo, Hi) of the parameter vector that belongs to one layer.
type Group struct {
	Name   string
	Lo, Hi int
}

// Model is the shape of a network. It is immutable and shared by any number of
// tapes.
type Model struct {
	config Config
	shape  Shape
	steps  []step
	params []Param
	starts []start // of params, in the same order
	groups []Group
	size   int
}

// step is one layer's place in a model. in and out are the shapes of a sample
// before and after it; a batch of n lies in memory as [n][features], or with the
// positions first, [position...][n][channels], so that layers vectorise over
// channels and a position's samples are the rows of one product.
type step struct {
	kind    string
	spec    LayerSpec
	in, out []int
	lo, hi  int // its parameters
	sets    int // of parameters per inner step
	// beside is the shape that the fork of a join got, where the two differ.
	beside []int
}

// NumParams is the length of the flat parameter vector.
func (m *Model) NumParams() int { return m.size }

// Params lists the named tensors of the parameter vector, in order of offset.
func (m *Model) Params() []Param {
	ps := slices.Clone(m.params)
	for i := range ps {
		ps[i].Shape = slices.Clone(ps[i].Shape)
	}
	return ps
}

// Groups lists the layers that have parameters, in order; together they cover
// the parameter vector.
func (m *Model) Groups() []Group { return slices.Clone(m.groups) }

// In is the number of inputs of a sample.
func (m *Model) In() int { return m.shape.Size() }

// Out is the number of outputs of a sample.
func (m *Model) Out() int { return m.shape.Out }

// Shape is what the model was built for.
func (m *Model) Shape() Shape { return m.shape }

// Head is the last dense layer: the outputs are linear in its parameters, which
// are [Features()+1][Out()], the bias being the last row.
func (m *Model) Head() Group { return m.groups[len(m.groups)-1] }

// Features is the number of inputs of the head: what the layers before it make,
// and the model's inputs beside that where there is a skip.
func (m *Model) Features() int { return volume(m.steps[len(m.steps)-1].in) }

// Activations is the number of elements that the layers make of one sample: what
// a tape holds of it is a small multiple of that.
func (m *Model) Activations() int {
	n := m.shape.Size()
	for _, s := range m.steps {
		n += volume(s.out)
	}
	return n
}
