package metatrain

import (
	"strings"
	"testing"
)

// A shape is part of a spec's digest where it is given; where it is not, specs keep the digests they had.
func TestShapeInTheSpec(t *testing.T) {
	plain := testSpec()
	if data := string(EncodeSpec(plain)); strings.Contains(data, `"shape"`) {
		t.Errorf("a spec without a shape stores one: %s", data)
	}
	shaped := plain
	shaped.Shape = Shape{In: []int{28, 28, 1}, Out: 5, Classes: true}
	if shaped.Digest() == plain.Digest() {
		t.Error("a shape does not change the digest")
	}
	back, err := DecodeSpec(EncodeSpec(shaped))
	if err != nil || !back.Shape.Equal(shaped.Shape) || back.Digest() != shaped.Digest() {
		t.Errorf("got %+v, %v", back.Shape, err)
	}
	for _, bad := range []Shape{{In: []int{0}, Out: 1}, {In: []int{1, 1, 1, 1}, Out: 1}, {In: []int{1}}, {In: []int{1}, Out: 1, Extra: -1}, {In: []int{1 << 17}, Out: 1}} {
		shaped.Shape = bad
		if err := shaped.Validate(); err == nil || !strings.Contains(err.Error(), "shape") {
			t.Errorf("%+v: got %v", bad, err)
		}
	}
}

// The published configuration has the shape that the run's spec has.
func TestPublish_ShapeIsInTheConfiguration(t *testing.T) {
	for want, shape := range map[string]Shape{`"out": 5,`: {In: []int{28, 28, 1}, Out: 5, Classes: true}, "": {}} {
		g := atPublication(t, func(s *RunSpec) { s.Shape = shape })
		g.settle()
		config := string(g.objects["models/base/1/config.json"])
		if config == "" || strings.Contains(config, `"shape"`) != (want != "") || !strings.Contains(config, want) {
			t.Errorf("shape %+v: got configuration %s", shape, config)
		}
	}
}
