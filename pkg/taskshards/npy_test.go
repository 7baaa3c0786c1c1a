package taskshards

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// npy is an array as numpy writes it, with any header.
func npy(header string, data ...any) []byte {
	var b bytes.Buffer
	b.WriteString("\x93NUMPY\x01\x00")
	binary.Write(&b, binary.LittleEndian, uint16(len(header)))
	b.WriteString(header)
	for _, d := range data {
		binary.Write(&b, binary.LittleEndian, d)
	}
	return b.Bytes()
}

func header(descr string, fortran bool, shape string) string {
	order := "False"
	if fortran {
		order = "True"
	}
	return fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': (%s), }          \n", descr, order, shape)
}

// npzOf is a zip of arrays, each a name and its bytes.
func npzOf(tb testing.TB, arrays map[string][]byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range arrays {
		w, err := z.Create(name + ".npy")
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func values(a *array) (v []float64) {
	for i := range a.len() {
		v = append(v, a.at(i))
	}
	return v
}

func TestNumpyArraysAreRead(t *testing.T) {
	for _, c := range []struct {
		data  []byte
		shape []int
		want  []float64
	}{
		{npy(header("<f4", false, "2,"), []float32{1.5, -2}), []int{2}, []float64{1.5, -2}},
		{npy(header("<f8", false, ""), 7.25), nil, []float64{7.25}},
		{npy(header(">i2", false, "2,"), []byte{255, 254, 0, 3}), []int{2}, []float64{-2, 3}},
		{npy(header("<i8", false, "1,"), int64(-1)), []int{1}, []float64{-1}},
		{npy(header("<u8", false, "1,"), uint64(1)<<63), []int{1}, []float64{1 << 63}},
		{npy(header("|i1", false, "1,"), int8(-128)), []int{1}, []float64{-128}},
		{npy(header("|b1", false, "2,"), []byte{0, 255}), []int{2}, []float64{0, 1}},
		{npy(header("<f2", false, "6,"), []uint16{0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000, 0x3555}), []int{6},
			[]float64{1, -2, 1.0 / (1 << 24), 65504, math.Copysign(0, -1), 0.333251953125}},
		{npy(header("<f4", true, "2, 3"), []float32{1, 4, 2, 5, 3, 6}), []int{2, 3}, []float64{1, 2, 3, 4, 5, 6}},
		{npy(header("<f4", false, "0, 3")), []int{0, 3}, nil},
		{npy(`{"shape": (1,), "fortran_order": False, "descr": "<f4"}`, float32(3)), []int{1}, []float64{3}},
	} {
		a, err := readNPY(bytes.NewReader(c.data))
		if err != nil {
			t.Errorf("%q: %v", c.data[10:60], err)
			continue
		}
		if got := values(a); !slices.Equal(a.shape, c.shape) || !slices.Equal(got, c.want) {
			t.Errorf("%q: got %v of shape %v, want %v of %v", c.data[10:60], got, a.shape, c.want, c.shape)
		}
	}
	inf, _ := readNPY(bytes.NewReader(npy(header("<f2", false, "2,"), []uint16{0x7c00, 0x7e00})))
	if !math.IsInf(inf.at(0), 1) || !math.IsNaN(inf.at(1)) {
		t.Errorf("got %v, want Inf and NaN", values(inf))
	}
}

func TestG7_NumpyArraysAreRefusedByName(t *testing.T) {
	one := []float32{1}
	for want, data := range map[string][]byte{
		"found no numpy array":       []byte("PK"),
		"numpy format 9.0":           []byte("\x93NUMPY\x09\x00"),
		"end of the file":            []byte("\x93NUMPY\x01\x00\x01"),
		"at most 65536":              []byte("\x93NUMPY\x02\x00\xff\xff\xff\xff"),
		"cut short, expected 9":      []byte("\x93NUMPY\x01\x00\x09\x00{"),
		`type "|O"`:                  npy(header("|O", false, "1,"), one),
		`type "<c8"`:                 npy(header("<c8", false, "1,"), one),
		`type "|f4"`:                 npy(header("|f4", false, "1,"), one),
		`type "=f4"`:                 npy(header("=f4", false, "1,"), one),
		"structured":                 npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", one),
		"True or False":              npy("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", one),
		"whole numbers":              npy(header("<f4", false, "-1,"), one),
		"at most 1073741824 element": npy(header("<f4", false, "99999999, 99999999"), one),
		"found 4 bytes of data":      npy(header("<f4", false, "2,"), one),
		"more data than":             npy(header("<f4", false, "1,"), one, one),
		`key "descr" twice`:          npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", one),
		`found key "more"`:           npy("{'more': 1}", one),
		"found 2 keys":               npy("{'descr': '<f4', 'shape': (1,)}", one),
		"after the dictionary":       npy(header("<f4", false, "1,")+"x", one),
		"text in quotes":             npy("{descr: 3}", one),
		`expected "{"`:               npy("", one),
	} {
		if _, err := readNPY(bytes.NewReader(data)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestG7_ZipsAreRefusedByName(t *testing.T) {
	good := npzOf(t, map[string][]byte{"x": npy(header("<f4", false, "1,"), float32(1))})
	broken := slices.Clone(good)
	at := bytes.Index(broken, []byte("NUMPY")) // stored or deflated, a bit of it turned
	if at < 0 {
		at = 40
	}
	broken[at+3] ^= 1
	var other bytes.Buffer
	z := zip.NewWriter(&other)
	z.Create("notes.txt")
	z.Close()
	for want, data := range map[string][]byte{"zip": []byte("no zip"), "array x": broken, "notes.txt": other.Bytes()} {
		if _, err := decodeArrays("a.npz", data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	if a, err := decodeArrays("a.npz", good); err != nil || len(a) != 1 || a["x"].at(0) != 1 {
		t.Errorf("got %v, %v", a, err)
	}
}

// What is read holds what its shape promises; nothing makes the reader panic or allocate beyond its input.
func FuzzNumpy(f *testing.F) {
	f.Add(npy(header("<f4", false, "2,"), []float32{1.5, -2}))
	f.Add(npy(header("<f2", true, "1, 2"), []uint16{1, 2}))
	f.Add(npy(header(">i8", false, "0,")))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := readNPY(bytes.NewReader(data))
		if err != nil {
			return
		}
		n := 1
		for _, d := range a.shape {
			n *= d
		}
		if a.len() != n || len(a.data) > len(data) {
			t.Fatalf("got %d elements of shape %v", a.len(), a.shape)
		}
		for i := range n {
			a.at(i)
		}
	})
}

func FuzzArrayFiles(f *testing.F) {
	f.Add(npzOf(f, map[string][]byte{"x": npy(header("<f4", false, "2,"), []float32{1, 2}), "y": npy(header("<i8", false, "2,"), []int64{0, 1})}), true)
	f.Add([]byte("{}"), false)
	f.Fuzz(func(t *testing.T, data []byte, npz bool) {
		name := "a.safetensors"
		if npz {
			name = "a.npz"
		}
		arrays, err := decodeArrays(name, data)
		if err != nil {
			return
		}
		for _, a := range arrays {
			values(a)
		}
	})
}
