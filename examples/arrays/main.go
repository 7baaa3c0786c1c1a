// Arrays writes a small fleet of tasks as .npz files for family arrays: samples of three classes by eight sensors, of
// which two tell the classes apart, each task's at places of its own, and six are noise. That two do is what a base model
// can know before it sees a new task.
//
//	go run ./examples/arrays sensors
//	warmstart train examples/arrays.yaml --set family.path=sensors
package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/warmstart-ml/warmstart/pkg/taskshards"
)

const (
	tasks   = 300
	classes = 3
	shots   = 2  // of each class in the support
	query   = 10 // of each class in the query
	noise   = 6  // features that say nothing
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "arrays:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("found %d arguments, expected a folder to write to", len(args))
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return err
	}
	for k := range tasks {
		data, err := task(uint64(k))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(args[0], fmt.Sprintf("task%03d.npz", k)), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// task is one file: each class is a cloud around a place of its own in the first two features.
func task(k uint64) ([]byte, error) {
	st := taskshards.NewStream(1, "examples/arrays", 0, k)
	var places [classes][2]float64
	for c := range places {
		places[c] = [2]float64{st.Uniform(-2, 2), st.Uniform(-2, 2)}
	}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, part := range []struct {
		name string
		n    int
	}{{"support", shots}, {"query", query}} {
		var x []float32
		var y []int64
		for range part.n {
			for c, at := range places {
				x = append(x, float32(at[0]+0.4*st.Normal()), float32(at[1]+0.4*st.Normal()))
				for range noise {
					x = append(x, float32(st.Normal()))
				}
				y = append(y, int64(c))
			}
		}
		if err := array(z, part.name+"_x", "<f4", fmt.Sprintf("(%d, %d)", len(y), 2+noise), x); err != nil {
			return nil, err
		}
		if err := array(z, part.name+"_y", "<i8", fmt.Sprintf("(%d,)", len(y)), y); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// array adds one array in numpy's format 1.0.
func array(z *zip.Writer, name, descr, shape string, data any) error {
	w, err := z.Create(name + ".npy")
	if err != nil {
		return err
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape)
	header += fmt.Sprintf("%*s\n", 117-len(header), "") // magic, version, length and header fill 128 bytes
	if _, err := fmt.Fprintf(w, "\x93NUMPY\x01\x00%c%c%s", byte(len(header)), 0, header); err != nil {
		return err
	}
	return binary.Write(w, binary.LittleEndian, data)
}
