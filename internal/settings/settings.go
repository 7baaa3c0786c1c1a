// Package settings reads a program's flags, each of which may instead stand in the environment or in a file.
package settings

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/warmstart-ml/warmstart/pkg/strictyaml"
)

// ErrUsage is wrapped by what is wrong with the command line itself.
var ErrUsage = errors.New("-h lists the flags")

// Exit tells on stderr why a program ended and returns its exit status: 2 for its command line, 1 for all else.
func Exit(program string, err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 2
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
	if errors.Is(err, ErrUsage) {
		return 2
	}
	return 1
}

// Parse reads args, flags alone, into fs. A flag that args leave out is taken from the environment (--s3-access-key from
// WARMSTART_S3_ACCESS_KEY), else from the YAML file that --config names, whose keys are the flags' names. A value
// "@FILE" stands for the content of that file, so that secrets need not stand on a command line.
func Parse(fs *flag.FlagSet, args []string, lookup func(string) (string, bool)) error {
	config := fs.String("config", "", "YAML `file` with any of these flags as keys")
	fs.SetOutput(io.Discard) // it would print every flag beside the one that is wrong
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fs.SetOutput(os.Stderr)
		fs.Usage()
		return err
	case err != nil:
		return fmt.Errorf("%w; %w", err, ErrUsage)
	case fs.NArg() > 0:
		return fmt.Errorf("found argument %q, expected flags alone; %w", fs.Arg(0), ErrUsage)
	}
	return Fill(fs, fs, config, lookup)
}

// Fill sets the flags of fs that parsed, which holds them too, was not given. config is the value of --config.
func Fill(fs, parsed *flag.FlagSet, config *string, lookup func(string) (string, bool)) error {
	given := map[string]bool{}
	parsed.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if v, ok := lookup(variable("config")); ok && !given["config"] {
		*config = v
	}
	file, err := read(*config, fs)
	if err != nil {
		return err
	}
	var errs []error
	fs.VisitAll(func(f *flag.Flag) {
		value, from, secret := f.Value.String(), "--"+f.Name, false
		if !given[f.Name] {
			if v, ok := lookup(variable(f.Name)); ok && v != "" {
				value, from = v, variable(f.Name)
			} else if v := file[f.Name]; v != "" {
				value, from = v, *config+": "+f.Name
			}
		}
		if path, ok := strings.CutPrefix(value, "@"); ok {
			data, err := os.ReadFile(path)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", from, err))
				return
			}
			value, secret = strings.TrimSpace(string(data)), true
		}
		if value == f.Value.String() {
			return
		}
		if err := f.Value.Set(value); err != nil {
			errs = append(errs, refused(from, value, secret, f))
		}
	})
	return errors.Join(errs...)
}

// refused words a value that a flag does not take. What stood in a file of its own is not shown: it may be secret.
func refused(from, value string, secret bool, f *flag.Flag) error {
	kind, _ := flag.UnquoteUsage(f)
	if secret {
		return fmt.Errorf("%s: found a file of %d bytes, expected a %s", from, len(value), kind)
	}
	return fmt.Errorf("%s: found %q, expected a %s", from, value, kind)
}

// variable is the environment variable of a flag.
func variable(name string) string {
	return "WARMSTART_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// read gives the keys of a settings file. Its errors name lines and keys, never values: some are secret, and a file of
// another kind given by mistake may be nothing but a secret.
func read(path string, fs *flag.FlagSet) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("%s: found no YAML, expected lines of the form key: value", path)
	}
	if doc.Kind == 0 {
		return nil, nil // empty
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: found no mapping, expected lines of the form key: value", path, root.Line)
	}
	var known []string
	fs.VisitAll(func(f *flag.Flag) { known = append(known, f.Name) })
	values := map[string]string{}
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		at := fmt.Sprintf("%s:%d: %s", path, key.Line, key.Value)
		switch _, twice := values[key.Value]; {
		case !slices.Contains(known, key.Value):
			return nil, fmt.Errorf("%s: unknown key%s", at, hint(key.Value, known))
		case value.Kind != yaml.ScalarNode:
			return nil, fmt.Errorf("%s: found a list or mapping, expected one value", at)
		case twice:
			return nil, fmt.Errorf("%s: given twice", at)
		}
		values[key.Value] = value.Value
	}
	return values, nil
}

func hint(key string, known []string) string {
	if near := strictyaml.Nearest(key, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
