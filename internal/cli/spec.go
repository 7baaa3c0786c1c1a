package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/taskshards"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// input is a spec made complete: the data it names read, packed and digested.
type input struct {
	spec   metatrain.RunSpec
	packed []byte // nil for a family that makes its own data
	groups int    // jobs in the data
	data   *taskshards.DataSet
}

// readInput reads a spec file and its data, and refuses whatever no worker could run.
func (env *environment) readInput(path string, overrides []worker.Override, strict, skipBad bool) (in input, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return in, fmt.Errorf("read spec: %w", err)
	}
	return env.completeInput(path, data, overrides, strict, skipBad)
}

// completeInput is readInput for a spec at hand, which errors call path.
func (env *environment) completeInput(path string, data []byte, overrides []worker.Override, strict, skipBad bool) (in input, err error) {
	if strict {
		overrides = append(overrides, worker.Override{Path: "family.strict", Value: "true", From: "--strict"})
	}
	if skipBad {
		overrides = append(overrides, worker.Override{Path: "family.skip_bad", Value: "true", From: "--skip-bad"})
	}
	spec, paths, err := env.kinds.ReadSpec(path, data, overrides)
	if err != nil {
		return in, err
	}
	in.spec = spec
	var ds *taskshards.DataSet
	if len(paths) > 0 {
		config, err := worker.DataConfig(spec)
		if err != nil {
			return in, err
		}
		if ds, err = readData(paths, config, env.err); err != nil {
			return in, err
		}
		if in.packed, err = taskshards.Pack(ds); err != nil {
			return in, err
		}
		in.groups, in.data = len(ds.Groups()), ds
		in.spec.Data, in.spec.Paths = metatrain.Digest(in.packed), paths
		if want := config.Digest; want != "" && want != in.spec.Data {
			return in, fmt.Errorf("family.digest: the data in %s has SHA-256 %s, expected %s: it is not what the spec was written for", strings.Join(paths, ", "), in.spec.Data, want)
		}
	}
	if in.spec.Family, err = worker.WithoutReading(in.spec.Family); err != nil {
		return in, err
	}
	if in.spec, err = env.kinds.Complete(in.spec, ds); err != nil {
		return in, fmt.Errorf("%s: %w", path, err)
	}
	return in, nil
}

// readData reads a family's data below paths and says what was mended and left out.
func readData(paths []string, config taskshards.Config, log io.Writer) (*taskshards.DataSet, error) {
	var sources []taskshards.Source
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", dataName(config), err)
		}
		root, name := p, "."
		if !info.IsDir() {
			root, name = filepath.Split(p)
			root = cmp.Or(root, ".")
		}
		sources = append(sources, taskshards.Source{FS: os.DirFS(root), Root: name})
	}
	ds, report, err := taskshards.Read(config, sources)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(log, "%s: %s\n", dataName(config), strings.ReplaceAll(report.String(), "\n", "\n        "))
	return ds, nil
}

// dataName is what people call a family's data.
func dataName(c taskshards.Config) string {
	switch c.Name {
	case "omniglot":
		return "images"
	case "arrays":
		return "arrays"
	}
	return "traces"
}

// overrides reads the --set flags.
func overrides(sets []string) ([]worker.Override, error) {
	var out []worker.Override
	for _, s := range sets {
		path, value, ok := strings.Cut(s, "=")
		if !ok || path == "" {
			return nil, usage("--set: found %q, expected PATH=VALUE, such as family.path=traces", s)
		}
		out = append(out, worker.Override{Path: path, Value: value})
	}
	return out, nil
}
