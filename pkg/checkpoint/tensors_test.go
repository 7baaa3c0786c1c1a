package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// rawTensors builds a safetensors file from its parts, well-formed or not.
func rawTensors(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestEncodeTensorsGolden(t *testing.T) {
	got, err := EncodeTensors(map[string]string{"b": "<\"\\\n\u2028>", "a": "1"}, []Tensor{
		{Name: "w", Shape: []int{3}, F32: []float32{1, 2, float32(math.Copysign(0, -1))}},
		{Name: "m", Shape: nil, F64: []float64{math.Inf(1)}},
		{Name: "a", Shape: []int{0, 2}, F32: []float32{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"a":"1","b":"<\"\\\u000a` + "\u2028" + `>"},` +
		`"a":{"dtype":"F32","shape":[0,2],"data_offsets":[8,8]},` +
		`"m":{"dtype":"F64","shape":[],"data_offsets":[0,8]},` +
		`"w":{"dtype":"F32","shape":[3],"data_offsets":[8,20]}}`
	for len(header)%8 != 0 {
		header += " "
	}
	want := rawTensors(header, 0)
	want = append(want, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0, 0x80)
	if !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if !json.Valid(got[8 : 8+binary.LittleEndian.Uint64(got)]) {
		t.Error("header is not JSON")
	}
}

func TestTensorsRoundTrip(t *testing.T) {
	meta := map[string]string{"": "empty key", "k": "\x00\x1f\u00e9"}
	nan := math.Float32frombits(0x7fa00001) // a signalling NaN with payload
	in := []Tensor{
		{Name: "", Shape: []int{}, F32: []float32{5}},
		{Name: "a/b", Shape: []int{2, 2}, F32: []float32{nan, 1, -0.5, math.MaxFloat32}},
		{Name: "z", Shape: []int{1, 1, 2}, F64: []float64{math.SmallestNonzeroFloat64, 2}},
	}
	data, err := EncodeTensors(meta, in)
	if err != nil {
		t.Fatal(err)
	}
	gotMeta, out, err := DecodeTensors(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(gotMeta, meta) {
		t.Errorf("metadata: got %v, want %v", gotMeta, meta)
	}
	if got := math.Float32bits(out[1].F32[0]); got != 0x7fa00001 {
		t.Errorf("NaN bits: got %x", got)
	}
	in[1].F32[0], out[1].F32[0] = 0, 0 // NaN is not equal to itself
	if !reflect.DeepEqual(out, in) {
		t.Errorf("tensors: got %v, want %v", out, in)
	}
	clear(data)
	if out[2].F64[1] != 2 {
		t.Error("a decoded tensor shares memory with the file")
	}
}

func TestEncodeTensorsDoesNotDependOnOrder(t *testing.T) {
	a := Tensor{Name: "a", Shape: []int{1}, F32: []float32{1}}
	b := Tensor{Name: "b", Shape: []int{1}, F64: []float64{2}}
	x, err := EncodeTensors(nil, []Tensor{a, b})
	if err != nil {
		t.Fatal(err)
	}
	y, err := EncodeTensors(map[string]string{}, []Tensor{b, a})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Error("bytes depend on the order of tensors, or on a nil map")
	}
}

func TestG7_EncodeTensorsRefuses(t *testing.T) {
	one := []float32{1}
	for name, c := range map[string]struct {
		meta map[string]string
		ts   []Tensor
		want string
	}{
		"no data":        {nil, []Tensor{{Name: "a"}}, "exactly one of F32, F64 and U8"},
		"two data":       {nil, []Tensor{{Name: "a", F32: one, F64: []float64{1}}}, "exactly one of F32, F64 and U8"},
		"shape":          {nil, []Tensor{{Name: "a", Shape: []int{2}, F32: one}}, "1 elements; expected 2"},
		"negative":       {nil, []Tensor{{Name: "a", Shape: []int{-1, -1}, F32: one}}, "negative"},
		"overflow":       {nil, []Tensor{{Name: "a", Shape: []int{1 << 62, 8}, F32: one}}, "overflows"},
		"twice":          {nil, []Tensor{{Name: "a", F32: one}, {Name: "a", F32: one}}, "appears twice"},
		"reserved":       {nil, []Tensor{{Name: "__metadata__", F32: one}}, "reserved"},
		"name encoding":  {nil, []Tensor{{Name: "\xff", F32: one}}, "not UTF-8"},
		"value encoding": {map[string]string{"k": "\xff"}, nil, "not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := EncodeTensors(c.meta, c.ts)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

const goodEntry = `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`

// malformed holds one file for every rule of the format.
var malformed = map[string]struct {
	data []byte
	want string
}{
	"empty":               {nil, "0 bytes"},
	"short length":        {make([]byte, 7), "7 bytes"},
	"length beyond file":  {append(binary.LittleEndian.AppendUint64(nil, 3), "{}"...), "cut short"},
	"length above limit":  {binary.LittleEndian.AppendUint64(nil, 100_000_001), "at most 100000000"},
	"length overflows":    {binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "at most 100000000"},
	"no header":           {rawTensors("", 0), "'{'"},
	"space first":         {rawTensors(" {}", 0), "'{'"},
	"array":               {rawTensors("[]", 0), "'{'"},
	"padded with newline": {rawTensors("{}\n", 0), "padded with spaces"},
	"padded with zeros":   {rawTensors("{}\x00\x00", 0), "padded with spaces"},
	"two objects":         {rawTensors("{}{}", 0), "one JSON object"},
	"open":                {rawTensors("{", 0), "one JSON object"},
	"trailing comma":      {rawTensors(`{`+goodEntry+`,}`, 8), "one JSON object"},
	"not UTF-8":           {rawTensors("{\"\xff\":1}", 0), "UTF-8"},
	"tensor is a number":  {rawTensors(`{"a":1}`, 0), "expected {"},
	"tensor twice":        {rawTensors(`{`+goodEntry+`,`+goodEntry+`}`, 8), `key "a" appears twice`},
	"escaped twice":       {rawTensors(`{`+goodEntry+`,"\u0061":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}}`, 8), "appears twice"},
	"field twice":         {rawTensors(`{"a":{"dtype":"F32","dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, 8), `key "dtype" appears twice`},
	"field unknown":       {rawTensors(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}`, 8), "unknown key"},
	"field in capitals":   {rawTensors(`{"a":{"DType":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), "unknown key"},
	"field missing":       {rawTensors(`{"a":{"shape":[2],"data_offsets":[0,8]}}`, 8), "expected dtype, shape"},
	"metadata twice":      {rawTensors(`{"__metadata__":{},"__metadata__":{}}`, 0), "appears twice"},
	"metadata key twice":  {rawTensors(`{"__metadata__":{"k":"1","k":"2"}}`, 0), "appears twice"},
	"metadata number":     {rawTensors(`{"__metadata__":{"k":1}}`, 0), "expected a string"},
	"metadata string":     {rawTensors(`{"__metadata__":"k"}`, 0), "expected {"},
	"dtype unknown":       {rawTensors(`{"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}`, 8), `dtype "F16"`},
	"dtype number":        {rawTensors(`{"a":{"dtype":4,"shape":[4],"data_offsets":[0,8]}}`, 8), "expected a string"},
	"shape null":          {rawTensors(`{"a":{"dtype":"F32","shape":null,"data_offsets":[0,4]}}`, 4), "expected ["},
	"shape negative":      {rawTensors(`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8), "whole number"},
	"shape fraction":      {rawTensors(`{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}`, 8), "whole number"},
	"shape exponent":      {rawTensors(`{"a":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}}`, 8), "whole number"},
	"shape string":        {rawTensors(`{"a":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}`, 8), "whole number"},
	"shape nested":        {rawTensors(`{"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}}`, 8), "whole number"},
	"shape overflows":     {rawTensors(`{"a":{"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}`, 0), "overflows"},
	"bytes overflow":      {rawTensors(`{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}`, 0), "expected 2305843009213693952 elements"},
	"shape too large":     {rawTensors(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), "span 8 bytes"},
	"offsets three":       {rawTensors(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}`, 8), "two data_offsets"},
	"offsets backward":    {rawTensors(`{"a":{"dtype":"F32","shape":[0],"data_offsets":[8,0]}}`, 8), "end before begin"},
	"offsets overflow":    {rawTensors(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551616]}}`, 8), "whole number"},
	"data cut short":      {rawTensors(`{`+goodEntry+`}`, 7), "cut short"},
	"trailing bytes":      {rawTensors(`{`+goodEntry+`}`, 9), "belong to no tensor"},
	"data without tensor": {rawTensors(`{}`, 1), "belong to no tensor"},
	"hole at the start":   {rawTensors(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "a hole"},
	"hole between":        {rawTensors(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`, 12), "a hole"},
	"overlap":             {rawTensors(`{`+goodEntry+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), "an overlap"},
	"same bytes twice":    {rawTensors(`{`+goodEntry+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8), "an overlap"},
	"empty within":        {rawTensors(`{`+goodEntry+`,"b":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}}`, 8), "an overlap"},
}

func TestG7_DecodeTensorsRefuses(t *testing.T) {
	if _, _, err := DecodeTensors(rawTensors(`{`+goodEntry+`}  `, 8)); err != nil {
		t.Fatalf("the well-formed file: %v", err)
	}
	for name, c := range malformed {
		t.Run(name, func(t *testing.T) {
			_, _, err := DecodeTensors(c.data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// TestG3_TornTensorsRefused: no prefix of a file is taken for a file.
func TestG3_TornTensorsRefused(t *testing.T) {
	whole, err := EncodeTensors(nil, []Tensor{{Name: "a", Shape: []int{3}, F32: []float32{1, 2, 3}}})
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, _, err := DecodeTensors(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken for a file", n, len(whole))
		}
	}
}

// FuzzDecodeTensors: whatever is taken encodes to one canonical form, which
// decodes to the same content.
func FuzzDecodeTensors(f *testing.F) {
	for _, c := range malformed {
		f.Add(c.data)
	}
	f.Add(rawTensors(`{"__metadata__":{"k":"v"},`+goodEntry+`}`, 8))
	f.Fuzz(func(t *testing.T, data []byte) {
		meta, ts, err := DecodeTensors(data)
		if err != nil {
			return
		}
		canonical, err := EncodeTensors(meta, ts)
		if err != nil {
			t.Fatalf("decoded content is refused: %v", err)
		}
		meta2, ts2, err := DecodeTensors(canonical)
		if err != nil {
			t.Fatalf("canonical form is refused: %v", err)
		}
		again, err := EncodeTensors(meta2, ts2)
		if err != nil || !bytes.Equal(again, canonical) {
			t.Fatalf("canonical form moved: %v", err)
		}
	})
}

func TestTensorsOfBytes(t *testing.T) {
	in := []Tensor{{Name: "b", Shape: []int{3}, U8: []byte{1, 2, 255}}, {Name: "a", Shape: []int{1}, F32: []float32{4}}}
	data, err := EncodeTensors(nil, in)
	if err != nil {
		t.Fatal(err)
	}
	_, out, err := DecodeTensors(data)
	if err != nil || len(out) != 2 || out[1].Name != "b" || !slices.Equal(out[1].U8, in[0].U8) || out[0].F32[0] != 4 {
		t.Fatalf("got %+v, %v", out, err)
	}
	_, raw, err := DecodeRaw(data)
	if err != nil || raw[1].DType != "U8" || !slices.Equal(raw[1].Data, in[0].U8) || len(raw[0].Data) != 4 {
		t.Fatalf("got %+v, %v", raw, err)
	}
	other := rawTensors(`{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}`, 8)
	if _, raw, err := DecodeRaw(other); err != nil || raw[0].DType != "I64" {
		t.Errorf("DecodeRaw of whole numbers: %+v, %v", raw, err)
	}
	if _, _, err := DecodeTensors(other); err == nil {
		t.Error("DecodeTensors took whole numbers of 64 bits")
	}
}
