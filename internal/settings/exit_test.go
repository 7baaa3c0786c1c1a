package settings

import (
	"flag"
	"testing"
)

func TestExitStatusTellsTheCommandLineFromTheRest(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"well":              {nil, 0},
		"help":              {[]string{"-h"}, 2},
		"unknown flag":      {[]string{"--nast", "x"}, 2},
		"an argument":       {[]string{"x"}, 2},
		"file is not there": {[]string{"--config", "/nowhere"}, 1},
	} {
		if found := Exit("test", Parse(flag.NewFlagSet("test", flag.ContinueOnError), c.args, env(nil))); found != c.want {
			t.Errorf("%s: found exit status %d, expected %d", name, found, c.want)
		}
	}
}
