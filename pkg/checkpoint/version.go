package checkpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Names of files in a version's folder. ModelFile and ConfigFile are in every
// version; ManifestFile is there last, and says that the version is whole.
const (
	ModelFile    = "model.safetensors"
	ConfigFile   = "config.json"
	PooledFile   = "pooled.safetensors"
	ManifestFile = "manifest.json"
)

// Manifest says what a version is, where it came from, and which files it has.
// All that is particular to one training stands here, so that the same training
// anywhere gives the same ModelFile.
type Manifest struct {
	Model      string             `json:"model"`
	Version    int64              `json:"version"` // 1, 2, 3, ...
	Run        string             `json:"run"`
	Contract   string             `json:"contract"` // numerical contract, such as "lane/1"
	Spec       string             `json:"spec"`     // YAML
	SpecDigest string             `json:"spec_digest"`
	DataDigest string             `json:"data_digest"`
	Seed       uint64             `json:"seed"`
	Steps      int64              `json:"steps"`     // outer steps behind the published parameters
	Decisions  []string           `json:"decisions"` // recorded decisions, in order
	Metrics    map[string]float64 `json:"metrics"`   // finite
	Created    string             `json:"created"`   // RFC 3339, of the version's allotment
	// OutsideG1 says why the same training need not give these bits again; "": it does. Results is then the digest of
	// the results that counted.
	OutsideG1 string `json:"outside_g1,omitempty"`
	Results   string `json:"results,omitempty"`
	// Files are those of the version, without the manifest.
	Files []File `json:"files"` // sorted by name
}

// File is one file of a version.
type File struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // lower-case hexadecimal
	Size   int64  `json:"size"`   // bytes
}

// Entry is an object to put.
type Entry struct {
	Key  string
	Data []byte
}

// VersionFolder is the prefix of all objects of a version, with its slash.
func VersionFolder(model string, n int64) string {
	return "models/" + model + "/" + strconv.FormatInt(n, 10) + "/"
}

// parseManifestKey returns what version a manifest's key belongs to.
func parseManifestKey(key string) (model string, n int64, ok bool) {
	part := strings.Split(key, "/")
	if len(part) != 4 || part[3] != ManifestFile {
		return "", 0, false
	}
	n, err := strconv.ParseInt(part[2], 10, 64)
	return part[1], n, err == nil && key == VersionFolder(part[1], n)+ManifestFile
}

// checkVersion refuses a model's name or a number that no version has.
func checkVersion(model string, n int64) error {
	if err := CheckName(model); err != nil {
		return fmt.Errorf("model: %w", err)
	}
	if n < 1 {
		return fmt.Errorf("version %d of model %s: expected 1 or more", n, model)
	}
	return nil
}

// BuildVersion returns the objects of a version in the order to put them, the
// manifest last. It sets m.Files from files, which holds ModelFile, ConfigFile
// and what else there is, by name. The bytes are a function of the arguments.
func BuildVersion(files map[string][]byte, m Manifest) ([]Entry, error) {
	if err := checkVersion(m.Model, m.Version); err != nil {
		return nil, fmt.Errorf("build version: %w", err)
	}
	var entries []Entry
	m.Files = nil
	m.Decisions = append([]string{}, m.Decisions...) // [] in JSON, not null
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := CheckName(name); err != nil {
			return nil, fmt.Errorf("build version: file: %w", err)
		}
		data := files[name]
		m.Files = append(m.Files, File{Name: name, SHA256: Digest(data), Size: int64(len(data))})
		entries = append(entries, Entry{VersionFolder(m.Model, m.Version) + name, data})
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("build version: %w", err)
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("build version: manifest: %w", err)
	}
	return append(entries, Entry{VersionFolder(m.Model, m.Version) + ManifestFile, append(data, '\n')}), nil
}

// PublishVersion builds a version and puts it. After an error it may be called
// again with the same arguments.
func PublishVersion(ctx context.Context, store Store, files map[string][]byte, m Manifest) error {
	entries, err := BuildVersion(files, m)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := store.Put(ctx, e.Key, e.Data); err != nil {
			return fmt.Errorf("publish version %d of %s: %w", m.Version, m.Model, err)
		}
	}
	return nil
}

// check holds the rules of a manifest that its own content can break.
func (m *Manifest) check() error {
	seen := map[string]bool{}
	for _, f := range m.Files {
		switch {
		case CheckName(f.Name) != nil || f.Name == ManifestFile:
			return fmt.Errorf("file %q: not the name of a version's file", f.Name)
		case seen[f.Name]:
			return fmt.Errorf("file %q appears twice", f.Name)
		case f.Size < 1:
			return fmt.Errorf("file %q has %d bytes; expected at least 1", f.Name, f.Size)
		}
		seen[f.Name] = true
	}
	for _, name := range []string{ModelFile, ConfigFile} {
		if !seen[name] {
			return fmt.Errorf("file %q is missing", name)
		}
	}
	for name, v := range m.Metrics {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("metric %q is %v; expected a finite number", name, v)
		}
	}
	return nil
}

// DecodeManifest reads a manifest and holds it to be that of the version.
func DecodeManifest(data []byte, model string, n int64) (Manifest, error) {
	m, err := decodeManifest(data)
	if err == nil && (m.Model != model || m.Version != n) {
		err = fmt.Errorf("found model %s version %d", m.Model, m.Version)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("manifest of version %d of %s: %w", n, model, err)
	}
	return m, nil
}

// decodeManifest takes unknown keys, which a later release may have written.
func decodeManifest(data []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%w (torn or corrupted)", err)
	}
	if err := checkVersion(m.Model, m.Version); err != nil {
		return m, err
	}
	return m, m.check()
}

// verify holds data to be the file's.
func (f File) verify(data []byte) error {
	if int64(len(data)) != f.Size || Digest(data) != f.SHA256 {
		return fmt.Errorf("file %s: found %s; expected %d bytes with sha256 %.12s (torn or corrupted)",
			f.Name, Describe(data), f.Size, f.SHA256)
	}
	return nil
}

// VerifyVersion reads every file of a version and holds it to the manifest.
// A version without a manifest is not there: ErrNotFound.
func VerifyVersion(ctx context.Context, from Getter, model string, n int64) (Manifest, error) {
	m, _, err := readVersion(ctx, from, model, n, func(File, []byte) error { return nil })
	return m, err
}

// readVersion hands each verified file to take, one after the other, and
// returns the manifest, also as the bytes that were found.
func readVersion(ctx context.Context, from Getter, model string, n int64, take func(File, []byte) error) (Manifest, []byte, error) {
	if err := checkVersion(model, n); err != nil {
		return Manifest{}, nil, err
	}
	folder := VersionFolder(model, n)
	raw, err := from.Get(ctx, folder+ManifestFile)
	if err != nil {
		return Manifest{}, nil, fmt.Errorf("read version %d of %s: %w", n, model, err)
	}
	m, err := DecodeManifest(raw, model, n)
	if err != nil {
		return Manifest{}, nil, err
	}
	for _, f := range m.Files {
		data, err := from.Get(ctx, folder+f.Name)
		if err == nil {
			err = f.verify(data)
		}
		if err == nil {
			err = take(f, data)
		}
		if err != nil {
			return Manifest{}, nil, fmt.Errorf("read version %d of %s: %w", n, model, err)
		}
	}
	return m, raw, nil
}

// ListVersions returns the numbers of the model's versions that are there,
// that is, have a manifest, ascending.
func ListVersions(ctx context.Context, store Reader, model string) ([]int64, error) {
	if err := CheckName(model); err != nil {
		return nil, fmt.Errorf("list versions: model: %w", err)
	}
	byModel, err := listVersions(ctx, store, "models/"+model+"/")
	return byModel[model], err
}

// ListModels returns the versions of every model, as ListVersions does.
func ListModels(ctx context.Context, store Reader) (map[string][]int64, error) {
	return listVersions(ctx, store, "models/")
}

func listVersions(ctx context.Context, store Reader, prefix string) (map[string][]int64, error) {
	objects, err := store.List(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("list versions: %w", err)
	}
	byModel := map[string][]int64{}
	for _, o := range objects {
		if model, n, ok := parseManifestKey(o.Key); ok && n > 0 {
			byModel[model] = append(byModel[model], n)
		}
	}
	for _, numbers := range byModel {
		slices.Sort(numbers) // keys sort 10 before 2
	}
	return byModel, nil
}
