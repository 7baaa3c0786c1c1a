package taskshards

import "fmt"

// Split says what a task is drawn for. Splits share no job; where there are too
// few jobs for that they share no target (see Division).
type Split int

// The three splits: the outer loop learns on Train, the published model is
// chosen on Validate, figures are reported on Test.
const (
	Train Split = iota
	Validate
	Test
)

// String returns the split's name as it stands in messages and stream domains.
func (s Split) String() string {
	switch s {
	case Train:
		return "train"
	case Validate:
		return "validate"
	case Test:
		return "test"
	}
	return fmt.Sprintf("split %d", int(s))
}

// domains names a family's streams, one for each split, so that equal steps and
// tasks of two splits have nothing in common.
func domains(family string) (d [3]string) {
	for s := range d {
		d[s] = family + "/" + Split(s).String()
	}
	return d
}

// Shape is that of a sample: inputs [features], [time][channels] or
// [height][width][channels] in row-major order, then Extra plain features, and
// Out targets. With Classes the targets are one-hot: Out classes of which each
// sample has one.
type Shape struct {
	In         []int
	Extra, Out int
	Classes    bool
}

// Size is the number of inputs of a sample.
func (s Shape) Size() int {
	n := 1
	for _, d := range s.In {
		n *= d
	}
	return n + s.Extra
}

// Family is a source of tasks.
type Family interface {
	// Shape says what a sample of every task looks like.
	Shape() Shape

	// Sample fills into with the task of that key. The same arguments give the
	// same bits, whatever was sampled before; calls may run concurrently as
	// long as each has a Task of its own. An error means that the split holds
	// nothing to draw from.
	Sample(split Split, seed, step, task uint64, into *Task) error
}

// New builds the family that the configuration names. The data set is nil for a
// family, or a configuration, that reads no data.
func New(c Config, ds *DataSet) (f Family, err error) {
	switch c.Name {
	case "sinusoid":
		f, err = NewSinusoid(c)
	case "load":
		f, err = NewLoad(c, ds)
	case "omniglot":
		f, err = NewOmniglot(c, ds)
	case "arrays":
		f, err = NewArrays(c, ds)
	default:
		err = unknownFamily(c.Name)
	}
	if err != nil {
		return nil, err // not a nil pointer in an interface
	}
	return f, nil
}
