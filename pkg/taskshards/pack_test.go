package taskshards

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

func smallSet(tb testing.TB) *DataSet {
	tb.Helper()
	ds, err := NewDataSet([]Series{
		{Name: "b", Group: "g", Interval: 300, Segments: []Segment{{Start: -5, Values: []float64{1, 2.5, 2.5, -3}, Held: []int{2}}}},
		{Name: "a/é", Group: "g", Interval: 0.001, Segments: []Segment{{Start: 1, Values: []float64{math.Copysign(0, -1)}}, {Start: 7, Values: []float64{5e-324, 1e100}, Held: []int{1}}}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return ds
}

func mustPack(tb testing.TB, ds *DataSet) []byte {
	tb.Helper()
	data, err := Pack(ds)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestG1_PackedDataSetIsAFunctionOfItsContent(t *testing.T) {
	ds := smallSet(t)
	if ds.Series[0].Name != "a/é" {
		t.Fatalf("first series is %q, want names in order", ds.Series[0].Name)
	}
	data := mustPack(t, ds)
	back, err := Unpack(data)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(ds, back) {
		t.Errorf("got %+v, want %+v", back, ds)
	}
	if again := mustPack(t, back); !bytes.Equal(data, again) || Digest(again) != Digest(data) {
		t.Error("packed again, the bytes differ")
	}
	back.Series[1].Segments[0].Values[1] = math.Nextafter(2.5, 3)
	if Digest(mustPack(t, back)) == Digest(data) {
		t.Error("another value has the same digest")
	}
}

func TestEmptyDataSetPacks(t *testing.T) {
	ds, err := Unpack(mustPack(t, &DataSet{}))
	if err != nil || len(ds.Series) != 0 {
		t.Errorf("got %v, %v", ds, err)
	}
}

func TestG7_UnpackRefusesByName(t *testing.T) {
	type parts struct {
		meta                           map[string]string
		series, segments, values, held []float64
	}
	cases := []struct {
		name string
		edit func(*parts)
		want string
	}{
		{"kind", func(p *parts) { p.meta["kind"] = "model" }, `found kind "model"`},
		{"names", func(p *parts) { p.meta["names"] = "x" }, "read names"},
		{"groups", func(p *parts) { p.meta["groups"] = `["g","h"]` }, "equal numbers"},
		{"interval", func(p *parts) { p.series[0] = math.NaN() }, "interval NaN"},
		{"segments", func(p *parts) { p.series[1] = 1e300 }, "whole number"},
		{"no segment", func(p *parts) { p.series[1], p.segments, p.values = 0, nil, nil }, "no segment"},
		{"start", func(p *parts) { p.segments[0] = 0.5 }, "whole milliseconds"},
		{"length", func(p *parts) { p.segments[1] = 3 }, "expected 3"},
		{"more", func(p *parts) { p.values = append(p.values, 1) }, "1 numbers more"},
		{"value", func(p *parts) { p.values[1] = math.Inf(1) }, "value 1"},
		{"held", func(p *parts) { p.segments[2], p.held = 1, []float64{2} }, "held position 2"},
		{"held count", func(p *parts) { p.segments[2] = 2e9 }, "tensor held"},
	}
	for _, tc := range cases {
		p := parts{
			meta:   map[string]string{"kind": packKind, "names": `["a"]`, "groups": `["g"]`},
			series: []float64{60, 1}, segments: []float64{0, 2, 0}, values: []float64{1, 2}, held: []float64{},
		}
		tc.edit(&p)
		data, err := checkpoint.EncodeTensors(p.meta, []checkpoint.Tensor{
			{Name: "series", Shape: []int{len(p.series)}, F64: p.series}, {Name: "segments", Shape: []int{len(p.segments)}, F64: notNil(p.segments)},
			{Name: "values", Shape: []int{len(p.values)}, F64: notNil(p.values)}, {Name: "held", Shape: []int{len(p.held)}, F64: p.held},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Unpack(data); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want an error with %q", tc.name, err, tc.want)
		}
	}
}

func TestG7_DataSetIsChecked(t *testing.T) {
	one := []Segment{{Values: []float64{1}}}
	for _, tc := range []struct {
		want   string
		series []Series
	}{
		{"each once", []Series{{Name: "a", Group: "g", Interval: 1, Segments: one}, {Name: "a", Group: "h", Interval: 1, Segments: one}}},
		{"to be named", []Series{{Group: "g", Interval: 1, Segments: one}}},
		{"interval 0", []Series{{Name: "a", Group: "g", Segments: one}}},
		{"UTF-8", []Series{{Name: "a\xff", Group: "g", Interval: 1, Segments: one}}},
		{"no value", []Series{{Name: "a", Group: "g", Interval: 1, Segments: []Segment{{}}}}},
		{"found NaN", []Series{{Name: "a", Group: "g", Interval: 1, Segments: []Segment{{Values: []float64{math.NaN()}}}}}},
	} {
		if _, err := NewDataSet(tc.series); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want an error with %q", err, tc.want)
		}
	}
}

// What Unpack takes, Pack gives back bit for bit, and nothing makes it panic or
// allocate beyond its input.
func FuzzUnpack(f *testing.F) {
	f.Add(mustPack(f, smallSet(f)))
	f.Add(mustPack(f, &DataSet{}))
	f.Add(mustPack(f, glyphs(2, 2, 3)))
	f.Add(mustPack(f, drawnArrays(2, true)))
	f.Add(mustPack(f, drawnArrays(2, false)))
	f.Fuzz(func(t *testing.T, data []byte) {
		ds, err := Unpack(data)
		if err != nil {
			return
		}
		again, err := Unpack(mustPack(t, ds))
		if err != nil {
			t.Fatalf("packed again: %v", err)
		}
		if !reflect.DeepEqual(ds, again) {
			t.Fatalf("got %+v, want %+v", again, ds)
		}
	})
}
