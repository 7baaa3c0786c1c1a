package main

import (
	"bytes"
	"strings"
	"testing"
)

// Only what is named is built, all without a name, and nothing where a name is unknown.
func TestBuildsWhatIsNamed(t *testing.T) {
	for names, want := range map[string]string{
		"":           "nats etcd versitygw",
		"nats":       "nats",
		"etcd nats":  "etcd nats",
		"etcd natts": "",
	} {
		var built []string
		var out bytes.Buffer
		err := run(strings.Fields(names), func(name string) (string, error) {
			built = append(built, name)
			return "/cache/" + name + "-v1", nil
		}, &out)
		if found := strings.Join(built, " "); found != want || strings.Count(out.String(), "\n") != len(built) {
			t.Errorf("%q: built %q and said %q, expected %q", names, found, out.String(), want)
		}
		switch {
		case want != "" && err != nil:
			t.Errorf("%q: %v", names, err)
		case want == "" && (err == nil || !strings.Contains(err.Error(), `"natts"`) || !strings.Contains(err.Error(), "nats, etcd, versitygw")):
			t.Errorf("%q: found error %v, expected one that names it and those there are", names, err)
		}
	}
}
