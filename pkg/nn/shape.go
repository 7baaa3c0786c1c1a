package nn

import "fmt"

// Shape is what a model maps from and to, for one sample.
//
// A sample's inputs are one row of numbers: the values of In in row-major order
// ([features], [time][channels] or [height][width][channels]), then Extra plain
// features, which layers over time or space do not see and the head does.
type Shape struct {
	In    []int
	Extra int
	Out   int
}

// Flat is the shape of in plain features.
func Flat(in, out int) Shape { return Shape{In: []int{in}, Out: out} }

// Size is the length of a sample's row of inputs.
func (s Shape) Size() int { return volume(s.In) + s.Extra }

// check refuses what no model could take.
func (s Shape) check() error {
	if len(s.In) < 1 || len(s.In) > 3 {
		return fmt.Errorf("input of shape %v, expected [features], [time channels] or [height width channels]", s.In)
	}
	for _, d := range s.In {
		if d < 1 || d > maxWidth {
			return fmt.Errorf("input of shape %v, expected 1 to %d along each axis", s.In, maxWidth)
		}
	}
	if s.Extra < 0 || s.Size() > maxWidth || s.Out < 1 || s.Out > maxWidth {
		return fmt.Errorf("%d inputs to %d outputs, expected 1 to %d of each", s.Size(), s.Out, maxWidth)
	}
	return nil
}

// volume is the number of elements of a shape.
func volume(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
