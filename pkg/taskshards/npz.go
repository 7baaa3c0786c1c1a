package taskshards

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// maxFileBytes bounds one file of arrays.
const maxFileBytes = 1 << 30

// readWhole reads a file of a size that fits.
func readWhole(fsys fs.FS, file string) ([]byte, error) {
	info, err := fs.Stat(fsys, file)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("found %d bytes, expected at most %d", info.Size(), maxFileBytes)
	}
	return fs.ReadFile(fsys, file)
}

// npzEntry is one array of an npz file, not read yet.
type npzEntry struct {
	name string // without .npy
	file *zip.File
}

// openNPZ lists the arrays of an npz file: a zip of .npy files, stored or
// deflated.
func openNPZ(data []byte) ([]npzEntry, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("read npz: %w", err)
	}
	var entries []npzEntry
	seen := map[string]bool{}
	for _, f := range z.File {
		name, ok := strings.CutSuffix(f.Name, ".npy")
		if !ok || name == "" {
			return nil, fmt.Errorf("read npz: found %q inside, expected arrays with names that end in .npy", f.Name)
		}
		if seen[name] {
			return nil, fmt.Errorf("read npz: found array %q twice, expected each once", name)
		}
		seen[name] = true
		entries = append(entries, npzEntry{name, f})
	}
	return entries, nil
}

// read reads the array.
func (e npzEntry) read() (*array, error) {
	r, err := e.file.Open()
	if err != nil {
		return nil, fmt.Errorf("array %s: %w", e.name, err)
	}
	defer r.Close()
	a, err := readNPY(r)
	if err != nil {
		return nil, fmt.Errorf("array %s: %w", e.name, err)
	}
	return a, nil
}

// decodeArrays reads all arrays of an npz or safetensors file, by its ending.
func decodeArrays(file string, data []byte) (map[string]*array, error) {
	if strings.HasSuffix(strings.ToLower(file), ".safetensors") {
		return decodeSafetensors(data)
	}
	entries, err := openNPZ(data)
	if err != nil {
		return nil, err
	}
	arrays := make(map[string]*array, len(entries))
	total := 0
	for _, e := range entries {
		a, err := e.read()
		if err != nil {
			return nil, err
		}
		if total += len(a.data); total > maxArrayBytes {
			return nil, fmt.Errorf("found more than %d bytes of arrays, expected fewer in one file", maxArrayBytes)
		}
		arrays[e.name] = a
	}
	return arrays, nil
}

func decodeSafetensors(data []byte) (map[string]*array, error) {
	_, tensors, err := checkpoint.DecodeRaw(data)
	if err != nil {
		return nil, err
	}
	arrays := make(map[string]*array, len(tensors))
	for _, t := range tensors {
		arrays[t.Name] = &array{shape: t.Shape, elem: safetensorElements[t.DType], data: t.Data}
	}
	return arrays, nil
}

// safetensorElements are that format's element types.
var safetensorElements = map[string]element{
	"BOOL": {'b', 1, false}, "U8": {'u', 1, false}, "I8": {'i', 1, false}, "U16": {'u', 2, false}, "I16": {'i', 2, false},
	"F16": {'f', 2, false}, "BF16": {'h', 2, false}, "U32": {'u', 4, false}, "I32": {'i', 4, false}, "F32": {'f', 4, false},
	"U64": {'u', 8, false}, "I64": {'i', 8, false}, "F64": {'f', 8, false},
}
