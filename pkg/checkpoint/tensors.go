package checkpoint

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Tensor is a named array in row-major order. Exactly one of F32, F64 and U8 is
// not nil and has as many elements as the product of Shape, which is 1 for the
// empty shape. Bits are kept as they are, payloads of NaN included.
type Tensor struct {
	Name  string
	Shape []int
	F32   []float32
	F64   []float64
	U8    []byte
}

// metadataKey is the one name in a header that is no tensor.
const metadataKey = "__metadata__"

// dtype returns the format's name of the element type and its size in bytes.
func (t *Tensor) dtype() (name string, size int) {
	switch {
	case t.F64 != nil:
		return "F64", 8
	case t.U8 != nil:
		return "U8", 1
	}
	return "F32", 4
}

func (t *Tensor) elements() int { return len(t.F32) + len(t.F64) + len(t.U8) }

// kinds is how many element types are set.
func (t *Tensor) kinds() (n int) {
	for _, set := range []bool{t.F32 != nil, t.F64 != nil, t.U8 != nil} {
		if set {
			n++
		}
	}
	return n
}

// check refuses a tensor that breaks the rules of Tensor.
func (t *Tensor) check() error {
	if t.Name == metadataKey {
		return fmt.Errorf("tensor %q: the name is reserved", t.Name)
	}
	if !utf8.ValidString(t.Name) {
		return fmt.Errorf("tensor %q: name is not UTF-8", t.Name)
	}
	if n := t.kinds(); n != 1 {
		return fmt.Errorf("tensor %q: found %d element types set, expected exactly one of F32, F64 and U8", t.Name, n)
	}
	n, err := elements(t.Shape)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if n != t.elements() {
		return fmt.Errorf("tensor %q: %d elements; expected %d by shape %v", t.Name, t.elements(), n, t.Shape)
	}
	return nil
}

// elements is the product of shape, refused where it overflows an int.
func elements(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v: dimension %d is negative", shape, d)
		}
		if d != 0 && n > math.MaxInt/d {
			return 0, fmt.Errorf("shape %v: number of elements overflows", shape)
		}
		n *= d
	}
	return n, nil
}

// EncodeTensors writes the safetensors format: the header's length (8 bytes,
// little-endian), the header (JSON, padded with spaces to 8 bytes), the data.
//
// The bytes are a function of the content alone: in the header metadata comes
// first, then tensors by name; the data holds float64 tensors before float32
// ones, bytes last, each by name, which keeps every element aligned without a hole.
func EncodeTensors(meta map[string]string, ts []Tensor) ([]byte, error) {
	sorted := slices.Clone(ts)
	slices.SortFunc(sorted, func(a, b Tensor) int { return cmp.Compare(a.Name, b.Name) })
	for i := range sorted {
		if err := sorted[i].check(); err != nil {
			return nil, fmt.Errorf("encode tensors: %w", err)
		}
		if i > 0 && sorted[i].Name == sorted[i-1].Name {
			return nil, fmt.Errorf("encode tensors: tensor %q appears twice", sorted[i].Name)
		}
	}
	begin, size := layout(sorted)
	header, err := encodeHeader(meta, sorted, begin)
	if err != nil {
		return nil, fmt.Errorf("encode tensors: %w", err)
	}
	out := make([]byte, 0, 8+len(header)+size)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(header)))
	out = append(out, header...)
	for _, t := range sorted {
		for _, v := range t.F64 {
			out = binary.LittleEndian.AppendUint64(out, math.Float64bits(v))
		}
	}
	for _, t := range sorted {
		for _, v := range t.F32 {
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
		}
	}
	for _, t := range sorted {
		out = append(out, t.U8...)
	}
	return out, nil
}

// layout returns where each tensor's data begins and how long all of it is.
func layout(ts []Tensor) (begin []int, size int) {
	begin = make([]int, len(ts))
	for _, width := range []int{8, 4, 1} {
		for i := range ts {
			if _, w := ts[i].dtype(); w == width {
				begin[i] = size
				size += w * ts[i].elements()
			}
		}
	}
	return begin, size
}

// encodeHeader writes the JSON by hand: its bytes reach digests, so they must
// not move with a library's taste in escapes.
func encodeHeader(meta map[string]string, ts []Tensor, begin []int) ([]byte, error) {
	h := []byte{'{'}
	if len(meta) > 0 {
		h = append(h, `"`+metadataKey+`":{`...)
		for i, k := range slices.Sorted(maps.Keys(meta)) {
			if !utf8.ValidString(k) || !utf8.ValidString(meta[k]) {
				return nil, fmt.Errorf("metadata %q: not UTF-8", k)
			}
			h = appendString(appendComma(h, i), k)
			h = appendString(append(h, ':'), meta[k])
		}
		h = append(h, '}')
	}
	for i := range ts {
		t := &ts[i]
		dtype, width := t.dtype()
		h = appendString(appendComma(h, i+len(meta)), t.Name)
		h = append(h, `:{"dtype":"`+dtype+`","shape":[`...)
		for j, d := range t.Shape {
			h = strconv.AppendInt(appendComma(h, j), int64(d), 10)
		}
		h = append(h, `],"data_offsets":[`...)
		h = strconv.AppendInt(h, int64(begin[i]), 10)
		h = strconv.AppendInt(append(h, ','), int64(begin[i]+width*t.elements()), 10)
		h = append(h, "]}"...)
	}
	h = append(h, '}')
	for len(h)%8 != 0 {
		h = append(h, ' ')
	}
	if len(h) > maxHeader {
		return nil, errors.New("header is longer than 100 MB; expected fewer tensors or less metadata")
	}
	return h, nil
}

func appendComma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

// appendString appends s as a JSON string, with the escapes JSON demands and
// no others.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
