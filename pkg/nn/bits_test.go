package nn

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/bits.txt anew; a change of bits is a new numerical contract")

const bitsFile = "testdata/bits.txt"

// TestG1_ModelBits holds digests of outputs, gradients and Hessian products of
// every model of these tests against recorded ones. They must be the same on every
// processor: run it as
//
//	go test ./pkg/nn
//	go test -tags noasm ./pkg/nn
//	GOAMD64=v3 go test ./pkg/nn
//
// (without assembly, and where the compiler fuses what it may).
func TestG1_ModelBits(t *testing.T) {
	var got []string
	for _, c := range shaped {
		got = append(got, c.bits(t))
	}
	for _, c := range models {
		got = append(got, shapedModel{c, Flat(5, 3)}.bits(t))
	}
	for _, c := range lone {
		if len(c.in) <= 3 {
			got = append(got, listed(Shape{In: c.in, Out: 2}, present(c.spec, ending2d(c.in, c.spec))...).bits(t))
		}
	}
	// More than one block of terms, and tiles of every kind.
	got = append(got, shapedModel{Config{Name: "conv4", Filters: 50}, Shape{In: []int{12, 11, 3}, Out: 5}}.bits(t))
	if *update {
		if err := os.WriteFile(bitsFile, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	recorded, err := os.ReadFile(bitsFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(recorded)) {
		if line = strings.TrimSpace(line); !slices.Contains(got, line) {
			t.Errorf("no model has the recorded bits %s", line)
		}
	}
	if n := bytes.Count(recorded, []byte("\n")); n != len(got) {
		t.Errorf("%d models, %d recorded; add new ones by -update and see that no line changes", len(got), n)
	}
}

// ending2d is the layer that makes features of what a layer over positions leaves.
func ending2d(in []int, l LayerSpec) LayerSpec {
	if len(in) == 1 || l.Global || l.Kind == "flatten" || l.Kind == "last" {
		return LayerSpec{}
	}
	return flat
}

// bits is what the model is and a digest of what its passes make.
func (c shapedModel) bits(t *testing.T) string {
	t.Helper()
	m, err := Build(c.Config, c.Shape)
	if err != nil {
		t.Fatal(err)
	}
	const n = 11
	tape, h, size := NewTape[float32](m, n), sha256.New(), m.NumParams()
	theta, v, g, x, dy, rdy := make([]float32, size), make([]float32, size), make([]float32, size), make([]float32, n*m.In()), make([]float32, n*m.Out()), make([]float32, n*m.Out())
	m.Init(3, theta)
	for _, f := range []struct {
		name string
		x    []float32
	}{{"v", v}, {"x", x}, {"dy", dy}, {"rdy", rdy}} {
		Uniform(3, f.name, f.x, -1, 1)
	}
	note := func(x []float32) {
		if err := binary.Write(h, binary.LittleEndian, x); err != nil {
			t.Fatal(err)
		}
	}
	note(tape.Forward(theta, x, n))
	tape.Backward(theta, dy, g)
	note(g)
	note(tape.RForward(theta, v))
	tape.RBackward(theta, v, rdy, g)
	note(g)
	name, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %x", name, h.Sum(nil)[:12])
}
