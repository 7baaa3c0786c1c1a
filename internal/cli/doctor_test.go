package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// ran runs one command of the command line.
func ran(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = Run(args, &out, &err, worker.BuiltinKinds())
	return code, out.String(), err.String()
}

func TestDoctorCommand(t *testing.T) {
	code, stdout, _ := ran(t, "doctor", "--nats", "nats://127.0.0.1:1", "--wait", "1s", "--s3", "http://key@127.0.0.1:1/bucket", "--json")
	var report struct {
		Fail   int
		Checks []struct{ Check, Level, Found, Remedy string }
	}
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("found %q, %v, expected one line of JSON", stdout, err)
	}
	if code != exitFailed || report.Fail != 2 || report.Checks[0].Check != "nats reach" || !strings.Contains(stdout, "found credentials in the address") {
		t.Errorf("found exit status %d and %+v, expected 1, with NATS and the address of S3 at fault", code, report)
	}
	for _, args := range [][]string{{"doctor", "rebiuld"}, {"doctor", "--etdc", "x"}, {"doctor", "--config", "/nowhere.yaml"}} {
		if code, _, stderr := ran(t, args...); code != exitUsage || !strings.Contains(stderr, args[len(args)-1]) && !strings.Contains(stderr, args[1]) {
			t.Errorf("%q: found exit status %d: %s", args, code, stderr)
		}
	}
}
