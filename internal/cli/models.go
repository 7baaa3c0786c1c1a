package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/warmstart-ml/warmstart/builtin"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/coldstart"
)

// models lists, shows, verifies and pulls published base models.
func models(ctx context.Context, env *environment, args []string) error {
	var p place
	set := env.flags()
	p.add(set)
	to := set.String("to", "", "`folder` to pull to")
	asJSON := set.Bool("json", false, "print JSON, one line")
	positional, err := p.parse(set, args)
	if err != nil {
		return err
	}
	if len(positional) == 0 {
		return usage("found no verb, expected ls, show, verify or pull")
	}
	verb, rest := positional[0], positional[1:]
	if verb != "ls" && len(rest) != 1 {
		return usage("%s: found %d arguments, expected one MODEL", verb, len(rest))
	}
	switch verb {
	case "ls":
		return p.listModels(ctx, env, *asJSON)
	case "show", "verify":
		man, err := p.manifest(ctx, rest[0])
		if err != nil {
			return err
		}
		if verb == "verify" {
			fmt.Fprintf(env.out, "%s:%d is whole: %d files verified\n", man.Model, man.Version, len(man.Files))
			return nil
		}
		return showModel(env, man, *asJSON)
	case "pull":
		if *to == "" {
			return usage("pull: --to FOLDER is missing")
		}
		return p.pull(ctx, env, rest[0], *to)
	}
	return usage("found verb %q, expected ls, show, verify or pull", verb)
}

// source is where published models are read from: the cluster through its coordinator, or the embedded store.
func (p *place) source(ctx context.Context) (checkpoint.Reader, func(), error) {
	if p.cluster {
		s, err := openCluster(ctx, &p.common, &p.nats)
		if err != nil {
			return nil, nil, err
		}
		return s.getter, s.close, nil
	}
	folder := filepath.Join(p.dataDir, "store")
	if _, err := os.Stat(folder); err != nil {
		return nil, nil, fmt.Errorf("no models: %s is not there; `warmstart train` makes it, --data-dir names another, --cluster asks a cluster", folder)
	}
	dir, err := checkpoint.OpenDir(folder)
	if err != nil {
		return nil, nil, err
	}
	return dir, func() {}, nil
}

// version reads NAME or NAME:N; without a number it is the newest.
func version(ctx context.Context, source checkpoint.Reader, model string) (name string, n int64, err error) {
	name, number, given := strings.Cut(model, ":")
	if given {
		if n, err = strconv.ParseInt(number, 10, 64); err != nil || n < 1 {
			return "", 0, usage("found model %q, expected NAME or NAME:N with N from 1", model)
		}
		return name, n, nil
	}
	versions, err := checkpoint.ListVersions(ctx, source, name)
	if err != nil {
		return "", 0, err
	}
	if len(versions) == 0 {
		return "", 0, fmt.Errorf("no version of model %q; `warmstart models ls` lists what there is", name)
	}
	return name, versions[len(versions)-1], nil
}

// manifest verifies a model, a folder of the user's or a published one, and returns its manifest.
func (p *place) manifest(ctx context.Context, model string) (checkpoint.Manifest, error) {
	if info, err := os.Stat(model); err == nil && info.IsDir() {
		return checkpoint.VerifyFolder(model)
	}
	source, done, err := p.source(ctx)
	if err != nil {
		return checkpoint.Manifest{}, err
	}
	defer done()
	name, n, err := version(ctx, source, model)
	if err != nil {
		return checkpoint.Manifest{}, err
	}
	return checkpoint.VerifyVersion(ctx, source, name, n)
}

func (p *place) pull(ctx context.Context, env *environment, model, to string) error {
	source, done, err := p.source(ctx)
	if err != nil {
		return err
	}
	defer done()
	name, n, err := version(ctx, source, model)
	if err != nil {
		return err
	}
	man, err := checkpoint.Pull(ctx, source, name, n, to)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.out, "%s:%d  %s  sha256 %s\n", name, n, to, digestOf(man, checkpoint.ModelFile))
	return nil
}

func digestOf(man checkpoint.Manifest, file string) string {
	for _, f := range man.Files {
		if f.Name == file {
			return f.SHA256
		}
	}
	return ""
}

func (p *place) listModels(ctx context.Context, env *environment, asJSON bool) error {
	source, done, err := p.source(ctx)
	if err != nil {
		return err
	}
	defer done()
	numbers, err := checkpoint.ListModels(ctx, source)
	if err != nil {
		return err
	}
	list := []checkpoint.Manifest{}
	for _, model := range slices.Sorted(maps.Keys(numbers)) {
		for _, n := range numbers[model] {
			man, err := readManifest(ctx, source, model, n)
			if err != nil {
				return err
			}
			list = append(list, man)
		}
	}
	if asJSON {
		return json.NewEncoder(env.out).Encode(list)
	}
	w := tabwriter.NewWriter(env.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "MODEL\tCREATED\tSTEPS\tVALIDATION\tRUN\tSHA256")
	for _, v := range list {
		fmt.Fprintf(w, "%s:%d\t%s\t%d\t%.4f\t%s\t%.12s\n", v.Model, v.Version, v.Created, v.Steps, v.Metrics["validation"], v.Run, digestOf(v, checkpoint.ModelFile))
	}
	return w.Flush()
}

func readManifest(ctx context.Context, source checkpoint.Reader, model string, n int64) (checkpoint.Manifest, error) {
	data, err := source.Get(ctx, checkpoint.VersionFolder(model, n)+checkpoint.ManifestFile)
	if err != nil {
		return checkpoint.Manifest{}, err
	}
	return checkpoint.DecodeManifest(data, model, n)
}

func showModel(env *environment, man checkpoint.Manifest, asJSON bool) error {
	enc := json.NewEncoder(env.out)
	if !asJSON {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(man)
}

// base loads a base model by what people call it: builtin:load, a folder, NAME or NAME:N.
func (p *place) base(ctx context.Context, model string) (*coldstart.Base, error) {
	if name, ok := strings.CutPrefix(model, "builtin:"); ok {
		files, err := fs.Sub(builtin.Models, name)
		if err == nil {
			_, err = fs.Stat(files, checkpoint.ConfigFile)
		}
		if err != nil {
			return nil, fmt.Errorf("no built-in model %q; there is builtin:load", name)
		}
		return coldstart.Load(func(file string) ([]byte, error) { return fs.ReadFile(files, file) })
	}
	if info, err := os.Stat(model); err == nil && info.IsDir() {
		if _, err := checkpoint.VerifyFolder(model); err != nil {
			return nil, err
		}
		return coldstart.Load(func(file string) ([]byte, error) { return os.ReadFile(filepath.Join(model, file)) })
	}
	source, done, err := p.source(ctx)
	if err != nil {
		return nil, fmt.Errorf("model %q is no folder and no built-in one (builtin:load): %w", model, err)
	}
	defer done()
	name, n, err := version(ctx, source, model)
	if err != nil {
		return nil, err
	}
	if _, err := checkpoint.VerifyVersion(ctx, source, name, n); err != nil {
		return nil, err
	}
	folder := checkpoint.VersionFolder(name, n)
	return coldstart.Load(func(file string) ([]byte, error) {
		data, err := source.Get(ctx, folder+file)
		if errors.Is(err, checkpoint.ErrNotFound) {
			err = fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
		}
		return data, err
	})
}
