package cli

import (
	"bytes"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/natsbus"
	"github.com/warmstart-ml/warmstart/internal/testservers"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// leader answers at a NATS server of its own as who leads does: questions by one run, submissions by a refusal that names
// the user.
func leader(t *testing.T, run metatrain.RunStatus) (url string) {
	t.Helper()
	url = testservers.NATS(t).URL
	bus, err := natsbus.Connect(t.Context(), natsbus.Config{URL: url, Name: "leader", Prefix: "warmstart", DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bus.Close() })
	term := metatrain.Term{Revision: 7}
	for subject, answer := range map[string]func(data []byte) any{
		metatrain.Subject("warmstart", "find"): func([]byte) any { return metatrain.Announce{Term: term, Leader: "fake"} },
		metatrain.Subject("warmstart", "lead", term.String(), "question"): func([]byte) any {
			return metatrain.Answer{Term: term, Runs: []metatrain.RunStatus{run}}
		},
		metatrain.Subject("warmstart", "lead", term.String(), "submit"): func(data []byte) any {
			var s metatrain.Submit
			if _, err := metatrain.DecodeFrame(data, &s); err != nil {
				return metatrain.Answer{Term: term, Error: err.Error()}
			}
			return metatrain.Answer{Term: term, Error: "no more runs of user <" + s.User + ">"}
		},
	} {
		if _, err := bus.Serve(subject, func(_, _ string, data []byte, reply func([]byte)) {
			reply(metatrain.EncodeFrame(answer(data), nil))
		}); err != nil {
			t.Fatal(err)
		}
	}
	return url
}

// Who follows a run learns from the exit status whether it came to a good end.
func TestFollowTellsTheEndByItsStatus(t *testing.T) {
	for state, want := range map[metatrain.RunState]int{metatrain.Finished: exitDone, metatrain.Cancelled: exitFailed, metatrain.Failed: exitFailed} {
		url := leader(t, metatrain.RunStatus{Run: "waves-1", State: state})
		var out, errs bytes.Buffer
		if found := Run([]string{"runs", "follow", "waves-1", "--nats", url}, &out, &errs, worker.BuiltinKinds()); found != want {
			t.Errorf("%s: found exit status %d, expected %d: %s", state, found, want, errs.String())
		}
		if !strings.Contains(out.String(), string(state)) {
			t.Errorf("%s: found %q, expected the state", state, out.String())
		}
	}
}

// A submission carries the user that the flag, else the environment, else the system names.
func TestUserOfASubmission(t *testing.T) {
	url := leader(t, metatrain.RunStatus{})
	spec := filepath.Join(t.TempDir(), "spec.yaml")
	if err := os.WriteFile(spec, []byte("name: x\nfamily: {name: sinusoid}\nsteps: 10\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ flag, env, system, want string }{
		{"ann", "bob", "eve", "ann"},
		{"", "bob", "eve", "bob"},
		{"", "", "eve", "eve"},
	} {
		t.Setenv("WARMSTART_USER", c.env)
		t.Setenv("USER", c.system)
		args := []string{"train", spec, "--cluster", "--nats", url}
		if c.flag != "" {
			args = append(args, "--user", c.flag)
		}
		var out, errs bytes.Buffer
		if Run(args, &out, &errs, worker.BuiltinKinds()); !strings.Contains(errs.String(), "user <"+c.want+">") {
			t.Errorf("%+v: found %q", c, errs.String())
		}
	}
	var out, errs bytes.Buffer
	if found := Run([]string{"train", spec, "--user", strings.Repeat("x", 65)}, &out, &errs, worker.BuiltinKinds()); found != exitUsage || !strings.Contains(errs.String(), "--user") {
		t.Errorf("found exit status %d and %q of a name that is too long", found, errs.String())
	}
}

func TestUserNameWithoutAVariable(t *testing.T) {
	known := func() (*user.User, error) { return &user.User{Username: "ann"}, nil }
	unknown := func() (*user.User, error) { return nil, os.ErrNotExist }
	if a, b, c := userName("", known), userName("", unknown), userName(strings.Repeat("x", 100), unknown); a != "ann" || b != "" || len(c) != maxUser {
		t.Errorf("found %q, %q and %q", a, b, c)
	}
}
