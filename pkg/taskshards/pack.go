package taskshards

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// packKind stands in the header of a packed data set, beside the layout's
// version.
const packKind = "warmstart dataset 1"

// packMaxExact is the largest integer below which a float64 holds each one.
const packMaxExact = 1 << 53

// Pack returns the data set as one safetensors object. Equal data sets give
// equal bytes: no path, clock or order of reading is inside. Images and arrays
// are laid out as packImageSet and packArraySet say, traces so:
//
// Four float64 tensors: `series` [S][2] = interval and number of segments,
// `segments` [G][3] = start (Unix ms), number of values, number of held ones,
// `values` and `held`, segment after segment. Names and groups are JSON lists in
// the metadata.
func Pack(ds *DataSet) ([]byte, error) {
	if err := ds.check(); err != nil {
		return nil, fmt.Errorf("pack data set: %w", err)
	}
	if ds.Images != nil || ds.Arrays != nil {
		return packTensors(ds)
	}
	var names, groups []string
	var series, segments, values, held []float64
	for i := range ds.Series {
		s := &ds.Series[i]
		names, groups = append(names, s.Name), append(groups, s.Group)
		series = append(series, s.Interval, float64(len(s.Segments)))
		for _, g := range s.Segments {
			segments = append(segments, float64(g.Start), float64(len(g.Values)), float64(len(g.Held)))
			values = append(values, g.Values...)
			for _, h := range g.Held {
				held = append(held, float64(h))
			}
		}
	}
	meta := map[string]string{"kind": packKind, "names": jsonList(names), "groups": jsonList(groups)}
	data, err := checkpoint.EncodeTensors(meta, []checkpoint.Tensor{
		{Name: "held", Shape: []int{len(held)}, F64: notNil(held)},
		{Name: "segments", Shape: []int{len(segments) / 3, 3}, F64: notNil(segments)},
		{Name: "series", Shape: []int{len(series) / 2, 2}, F64: notNil(series)},
		{Name: "values", Shape: []int{len(values)}, F64: notNil(values)},
	})
	if err != nil {
		return nil, fmt.Errorf("pack data set: %w", err)
	}
	return data, nil
}

func packTensors(ds *DataSet) ([]byte, error) {
	var meta map[string]string
	var tensors []checkpoint.Tensor
	if ds.Images != nil {
		meta, tensors = packImageSet(ds.Images)
	} else {
		meta, tensors = packArraySet(ds.Arrays)
	}
	data, err := checkpoint.EncodeTensors(meta, tensors)
	if err != nil {
		return nil, fmt.Errorf("pack data set: %w", err)
	}
	return data, nil
}

func jsonList(s []string) string {
	if s == nil {
		s = []string{}
	}
	b, _ := json.Marshal(s) // a list of strings always encodes
	return string(b)
}

func notNil(x []float64) []float64 {
	if x == nil {
		return []float64{}
	}
	return x
}

// Digest returns the SHA-256 of a packed data set, in hexadecimal: the identity
// of the data in a spec's digest.
func Digest(packed []byte) string {
	sum := sha256.Sum256(packed)
	return hex.EncodeToString(sum[:])
}

// Unpack is the inverse of Pack. It trusts nothing: whatever is wrong is refused
// by name.
func Unpack(data []byte) (*DataSet, error) {
	meta, tensors, err := checkpoint.DecodeTensors(data)
	if err != nil {
		return nil, fmt.Errorf("unpack data set: %w", err)
	}
	ds, err := unpack(meta, tensors)
	if err == nil {
		err = ds.check()
	}
	if err != nil {
		return nil, fmt.Errorf("unpack data set: %w", err)
	}
	return ds, nil
}

func unpack(meta map[string]string, tensors []checkpoint.Tensor) (*DataSet, error) {
	switch meta["kind"] {
	case packImages:
		s, err := unpackImageSet(meta, tensors)
		return &DataSet{Images: s}, err
	case packArrays:
		s, err := unpackArraySet(meta, tensors)
		return &DataSet{Arrays: s}, err
	}
	u := unpacker{tensors: make(map[string][]float64)}
	for _, t := range tensors {
		u.tensors[t.Name] = t.F64
	}
	return u.dataSet(meta)
}

// unpacker takes numbers off the front of the tensors; the first thing missing
// stays in err.
type unpacker struct {
	tensors map[string][]float64
	err     error
}

func (u *unpacker) dataSet(meta map[string]string) (*DataSet, error) {
	if meta["kind"] != packKind {
		return nil, fmt.Errorf("found kind %q, expected %q", meta["kind"], packKind)
	}
	var names, groups []string
	if err := json.Unmarshal([]byte(meta["names"]), &names); err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	if err := json.Unmarshal([]byte(meta["groups"]), &groups); err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	if len(names) != len(groups) || 2*len(names) != len(u.tensors["series"]) {
		return nil, fmt.Errorf("found %d names, %d groups, %d series, expected equal numbers", len(names), len(groups), len(u.tensors["series"])/2)
	}
	ds := &DataSet{Series: make([]Series, len(names))}
	for i := range ds.Series {
		s := &ds.Series[i]
		s.Name, s.Group, s.Interval = names[i], groups[i], u.number("series")
		for range u.count("series") {
			s.Segments = append(s.Segments, u.segment())
			if u.err != nil {
				return nil, fmt.Errorf("series %q: %w", s.Name, u.err)
			}
		}
	}
	return ds, u.empty()
}

func (u *unpacker) segment() (g Segment) {
	start := u.number("segments")
	if start != math.Trunc(start) || math.Abs(start) > packMaxExact {
		u.fail("segments: found start %g, expected whole milliseconds", start)
		return g
	}
	g.Start = int64(start)
	values, held := u.count("segments"), u.count("segments")
	g.Values = u.take("values", values)
	if held > 0 {
		g.Held = make([]int, 0, min(held, len(u.tensors["held"])))
	}
	for range held {
		g.Held = append(g.Held, u.count("held"))
		if u.err != nil {
			break
		}
	}
	return g
}

// take returns the next n numbers of a tensor, as a slice of their own.
func (u *unpacker) take(name string, n int) []float64 {
	x := u.tensors[name]
	if u.err != nil || n > len(x) {
		u.fail("tensor %s: found %d numbers left, expected %d", name, len(x), n)
		return nil
	}
	u.tensors[name] = x[n:]
	return append([]float64(nil), x[:n]...)
}

func (u *unpacker) number(name string) float64 {
	x := u.tensors[name]
	if u.err != nil || len(x) == 0 {
		u.fail("tensor %s: found its end, expected a number", name)
		return 0
	}
	u.tensors[name] = x[1:]
	return x[0]
}

// count returns the next number, which must be whole and not negative; in case
// of an error it is 0, so that no loop runs on it.
func (u *unpacker) count(name string) int {
	v := u.number(name)
	if !(v >= 0 && v <= math.MaxInt32) || v != math.Trunc(v) {
		u.fail("tensor %s: found %g, expected a whole number of values", name, v)
		return 0
	}
	return int(v)
}

func (u *unpacker) fail(format string, args ...any) {
	if u.err == nil {
		u.err = fmt.Errorf(format, args...)
	}
}

// empty reports an error where numbers were left over, or the first one met.
func (u *unpacker) empty() error {
	for _, name := range []string{"held", "segments", "series", "values"} {
		if n := len(u.tensors[name]); n > 0 {
			u.fail("tensor %s: found %d numbers more than the series hold, expected none", name, n)
		}
	}
	return u.err
}
