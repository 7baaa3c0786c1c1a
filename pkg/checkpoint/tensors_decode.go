package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxHeader is the format's own limit on the header, in bytes.
const maxHeader = 100_000_000

// tensorEntry is one tensor as its header declares it; offsets count from the
// end of the header.
type tensorEntry struct {
	name       string
	dtype      string
	shape      []int
	begin, end int
}

// RawTensor is a tensor as it lies in a file: elements of DType, the format's
// name of it, row-major and little-endian.
type RawTensor struct {
	Name, DType string
	Shape       []int
	Data        []byte
}

// ownTypes are the element types of files that warmstart writes, with their
// size in bytes; allTypes those of other people's.
var (
	ownTypes = map[string]int{"F32": 4, "F64": 8, "U8": 1}
	allTypes = map[string]int{"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
		"U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8}
)

// DecodeTensors reads the safetensors format, of which it takes the element
// types F32, F64 and U8, and returns tensors sorted by name. It allocates no more
// than a small multiple of len(data), whatever the header says, and keeps no
// reference to data.
//
// Refused are: a length beyond the data or above 100 MB; a header that is not
// one JSON object from its first byte, padded with spaces only; a key that
// appears twice or is not known; metadata other than strings; a shape that
// does not give the declared length; data with a hole, an overlap, or bytes
// that belong to no tensor.
func DecodeTensors(data []byte) (meta map[string]string, ts []Tensor, err error) {
	meta, entries, data, err := decode(data, ownTypes)
	if err != nil {
		return nil, nil, err
	}
	ts = make([]Tensor, len(entries))
	for i, e := range entries {
		ts[i] = e.read(data[e.begin:e.end])
	}
	return meta, ts, nil
}

// DecodeRaw is DecodeTensors for any element type of whole bytes. Its tensors
// refer to data.
func DecodeRaw(data []byte) (meta map[string]string, ts []RawTensor, err error) {
	meta, entries, data, err := decode(data, allTypes)
	if err != nil {
		return nil, nil, err
	}
	ts = make([]RawTensor, len(entries))
	for i, e := range entries {
		ts[i] = RawTensor{Name: e.name, DType: e.dtype, Shape: e.shape, Data: data[e.begin:e.end]}
	}
	return meta, ts, nil
}

// decode reads the header and checks it against what follows, which it returns.
func decode(data []byte, types map[string]int) (meta map[string]string, entries []tensorEntry, body []byte, err error) {
	if len(data) < 8 {
		return nil, nil, nil, fmt.Errorf("decode tensors: %d bytes; expected at least 8 for the header's length", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	data = data[8:]
	if n > maxHeader {
		return nil, nil, nil, fmt.Errorf("decode tensors: header of %d bytes; expected at most %d", n, maxHeader)
	}
	if n > uint64(len(data)) {
		return nil, nil, nil, fmt.Errorf("decode tensors: header of %d bytes; only %d follow its length (file is cut short)", n, len(data))
	}
	meta, entries, err = decodeHeader(data[:n], types)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("decode tensors: header: %w", err)
	}
	data = data[n:]
	if err := checkLayout(entries, len(data)); err != nil {
		return nil, nil, nil, fmt.Errorf("decode tensors: %w", err)
	}
	slices.SortFunc(entries, func(a, b tensorEntry) int { return cmp.Compare(a.name, b.name) })
	return meta, entries, data, nil
}

// checkLayout holds that the entries cover size bytes, each exactly once.
func checkLayout(entries []tensorEntry, size int) error {
	slices.SortStableFunc(entries, func(a, b tensorEntry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	at := 0
	for _, e := range entries {
		switch {
		case e.begin > at:
			return fmt.Errorf("tensor %q: data begins at %d; expected %d (a hole)", e.name, e.begin, at)
		case e.begin < at:
			return fmt.Errorf("tensor %q: data begins at %d; expected %d (an overlap)", e.name, e.begin, at)
		case e.end > size:
			return fmt.Errorf("tensor %q: data ends at %d; only %d bytes follow the header (file is cut short)", e.name, e.end, size)
		}
		at = e.end
	}
	if at != size {
		return fmt.Errorf("%d bytes follow the header; expected %d (bytes that belong to no tensor)", size, at)
	}
	return nil
}

// check holds that offsets, shape and element type agree.
func (e *tensorEntry) check(types map[string]int) error {
	width := types[e.dtype]
	if width == 0 {
		return fmt.Errorf("dtype %q; expected one of %s", e.dtype, strings.Join(slices.Sorted(maps.Keys(types)), ", "))
	}
	n, err := elements(e.shape)
	if err != nil {
		return err
	}
	if e.begin > e.end {
		return fmt.Errorf("data_offsets [%d,%d]: end before begin", e.begin, e.end)
	}
	if n > math.MaxInt/width || e.end-e.begin != n*width {
		return fmt.Errorf("data_offsets [%d,%d] span %d bytes; expected %d elements of %d bytes by shape %v",
			e.begin, e.end, e.end-e.begin, n, width, e.shape)
	}
	return nil
}

func (e *tensorEntry) read(data []byte) Tensor {
	t := Tensor{Name: e.name, Shape: e.shape}
	switch e.dtype {
	case "U8":
		t.U8 = append([]byte{}, data...)
		return t
	case "F64":
		t.F64 = make([]float64, len(data)/8)
		for i := range t.F64 {
			t.F64[i] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*i:]))
		}
		return t
	}
	t.F32 = make([]float32, len(data)/4)
	for i := range t.F32 {
		t.F32[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return t
}

// decodeHeader walks the JSON token by token: json.Unmarshal would take the
// last of two equal keys, and keys in the wrong case.
func decodeHeader(header []byte, types map[string]int) (meta map[string]string, entries []tensorEntry, err error) {
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, errors.New("expected '{' as its first byte")
	}
	body := bytes.TrimRight(header, " ")
	if body[len(body)-1] != '}' || !utf8.Valid(body) || !json.Valid(body) {
		return nil, nil, errors.New("expected one JSON object in UTF-8, padded with spaces only")
	}
	d := headerReader{json.NewDecoder(bytes.NewReader(body)), types}
	d.UseNumber()
	err = d.object(func(key string) error {
		if key == metadataKey {
			meta = map[string]string{}
			return d.object(func(k string) error {
				v, err := d.str()
				meta[k] = v
				return err
			})
		}
		e, err := d.entry(key)
		entries = append(entries, e)
		return err
	})
	return meta, entries, err
}

// headerReader reads the few shapes of JSON a header is made of.
type headerReader struct {
	*json.Decoder
	types map[string]int // element types it takes, and their sizes
}

// object reads an object; field reads the value of each key. Errors name the
// path of keys that led to them.
func (d headerReader) object(field func(key string) error) error {
	if err := d.delim('{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := d.str()
		if err != nil {
			return err
		}
		if seen[key] {
			return fmt.Errorf("key %q appears twice", key)
		}
		seen[key] = true
		if err := field(key); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
	}
	return d.delim('}')
}

func (d headerReader) entry(name string) (tensorEntry, error) {
	e := tensorEntry{name: name}
	var offsets []int
	fields := 0
	err := d.object(func(key string) (err error) {
		fields++
		switch key {
		case "dtype":
			e.dtype, err = d.str()
		case "shape":
			e.shape, err = d.ints()
		case "data_offsets":
			offsets, err = d.ints()
		default:
			err = errors.New("unknown key; expected dtype, shape, data_offsets")
		}
		return err
	})
	if err != nil {
		return e, err
	}
	if fields != 3 || len(offsets) != 2 {
		return e, errors.New("expected dtype, shape and two data_offsets")
	}
	e.begin, e.end = offsets[0], offsets[1]
	return e, e.check(d.types)
}

func (d headerReader) delim(want json.Delim) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("found %v; expected %v", t, want)
	}
	return nil
}

func (d headerReader) str() (string, error) {
	t, err := d.Token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("found %v; expected a string", t)
	}
	return s, nil
}

// ints reads an array of whole numbers of 0 or more.
func (d headerReader) ints() ([]int, error) {
	if err := d.delim('['); err != nil {
		return nil, err
	}
	list := []int{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		number, _ := t.(json.Number)
		v, err := strconv.ParseUint(string(number), 10, strconv.IntSize-1)
		if err != nil {
			return nil, fmt.Errorf("found %v; expected a whole number of 0 or more", t)
		}
		list = append(list, int(v))
	}
	return list, d.delim(']')
}
