package settings

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const secret = "hunter2-hunter2"

// flags is a set like a program's, with what it is filled into.
type flags struct {
	*flag.FlagSet
	out            strings.Builder
	nats, password string
	slots          int
	lease          time.Duration
}

func newFlags() *flags {
	f := &flags{FlagSet: flag.NewFlagSet("test", flag.ContinueOnError)}
	f.SetOutput(&f.out)
	f.StringVar(&f.nats, "nats", "default", "`address`")
	f.StringVar(&f.password, "nats-password", "", "`password`; @FILE reads it from a file")
	f.IntVar(&f.slots, "slots", 2, "`number` of slots")
	f.DurationVar(&f.lease, "lease", time.Second, "how `long`")
	return f
}

func env(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagBeforeEnvironmentBeforeFile(t *testing.T) {
	path := write(t, "nats: file\nslots: 7\nlease: 4s\n")
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want string
	}{
		"nothing":      {nil, nil, "default"},
		"file":         {[]string{"--config", path}, nil, "file"},
		"file by env":  {nil, map[string]string{"WARMSTART_CONFIG": path}, "file"},
		"env":          {[]string{"--config", path}, map[string]string{"WARMSTART_NATS": "env"}, "env"},
		"flag":         {[]string{"--config", path, "--nats", "flag"}, map[string]string{"WARMSTART_NATS": "env"}, "flag"},
		"default flag": {[]string{"--config", path, "--nats", "default"}, map[string]string{"WARMSTART_NATS": "env"}, "default"},
		"empty env":    {[]string{"--config", path}, map[string]string{"WARMSTART_NATS": ""}, "file"},
	} {
		f := newFlags()
		if err := Parse(f.FlagSet, c.args, env(c.env)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if f.nats != c.want {
			t.Errorf("%s: found %q, expected %q", name, f.nats, c.want)
		}
	}
	f := newFlags()
	if err := Parse(f.FlagSet, []string{"--config", path}, env(map[string]string{"WARMSTART_SLOTS": "9"})); err != nil || f.slots != 9 || f.lease != 4*time.Second {
		t.Errorf("found %d slots, lease %v, %v; expected 9, 4s", f.slots, f.lease, err)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	path := "@" + write(t, secret+"\n")
	config := write(t, "nats-password: \""+path+"\"\n")
	for name, f := range map[string]func(f *flags) error{
		"flag": func(f *flags) error { return Parse(f.FlagSet, []string{"--nats-password", path}, env(nil)) },
		"env": func(f *flags) error {
			return Parse(f.FlagSet, nil, env(map[string]string{"WARMSTART_NATS_PASSWORD": path}))
		},
		"file": func(f *flags) error { return Parse(f.FlagSet, []string{"--config", config}, env(nil)) },
	} {
		set := newFlags()
		if err := f(set); err != nil || set.password != secret {
			t.Errorf("%s: found %q, %v", name, set.password, err)
		}
	}
	set := newFlags()
	if err := Parse(set.FlagSet, []string{"--nats-password", "@/nowhere/at/all"}, env(nil)); err == nil || !strings.Contains(err.Error(), "--nats-password") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestG7_WrongSettingsAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		args []string
		env  map[string]string
		want []string
	}{
		"unknown key":    {file: "\nnats-pasword: x\n", want: []string{"settings.yaml:2", "nats-pasword", `did you mean "nats-password"`}},
		"twice":          {file: "slots: 1\nslots: 2\n", want: []string{"slots"}},
		"a list":         {file: "slots: [1]\n", want: []string{"settings.yaml:1", "slots", "list"}},
		"no mapping":     {file: "- slots\n", want: []string{"settings.yaml:1", "mapping"}},
		"bad number":     {file: "slots: many\n", want: []string{"settings.yaml: slots", `"many"`, "number"}},
		"bad env":        {env: map[string]string{"WARMSTART_SLOTS": "x"}, want: []string{"WARMSTART_SLOTS", `"x"`, "number"}},
		"bad duration":   {env: map[string]string{"WARMSTART_LEASE": "4"}, want: []string{"WARMSTART_LEASE", `"4"`, "long"}},
		"bad flag":       {args: []string{"--slots", "x"}, want: []string{"slots"}},
		"an argument":    {args: []string{"slots=3"}, want: []string{`"slots=3"`}},
		"no such config": {args: []string{"--config", "/nowhere"}, want: []string{"--config", "/nowhere"}},
	} {
		args := c.args
		if c.file != "" {
			args = append(args, "--config", write(t, c.file))
		}
		err := Parse(newFlags().FlagSet, args, env(c.env))
		if err == nil {
			t.Errorf("%s: taken", name)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: error %q does not name %q", name, err, w)
			}
		}
	}
}

func TestG8_SecretsAreNotShown(t *testing.T) {
	file := "@" + write(t, secret)
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		text string
	}{
		"help":                {args: []string{"-h"}, env: map[string]string{"WARMSTART_NATS_PASSWORD": secret}},
		"help after":          {args: []string{"--nats-password", secret, "-h"}},
		"another flag wrong":  {args: []string{"--nats-password", secret, "--nosuch"}},
		"another env wrong":   {env: map[string]string{"WARMSTART_NATS_PASSWORD": secret, "WARMSTART_SLOTS": "x"}},
		"a secret for number": {env: map[string]string{"WARMSTART_SLOTS": file}},
		"a file of a secret":  {text: secret},
		"a list of secrets":   {text: "nats-password: [" + secret + "]"},
		"broken YAML":         {text: "nats-password: \"" + secret + "\n: ["},
		"twice":               {text: "nats-password: " + secret + "\nnats-password: " + secret},
	} {
		f := newFlags()
		args := c.args
		if c.text != "" {
			args = append(args, "--config", write(t, c.text))
		}
		err := Parse(f.FlagSet, args, env(c.env))
		if err == nil {
			t.Errorf("%s: taken", name)
			continue
		}
		if strings.Contains(err.Error()+f.out.String(), secret) {
			t.Errorf("%s: the secret is shown: %v\n%s", name, err, f.out.String())
		}
		if strings.HasPrefix(name, "help") && !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestEmptyFileIsFine(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "nats:\n"} {
		f := newFlags()
		if err := Parse(f.FlagSet, []string{"--config", write(t, text)}, env(nil)); err != nil || f.nats != "default" {
			t.Errorf("%q: found %q, %v", text, f.nats, err)
		}
	}
}
