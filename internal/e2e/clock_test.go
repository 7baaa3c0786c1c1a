//go:build linux

package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// An S3 server whose clock is an hour ahead refuses signatures: the coordinator ends, and names whose clock is off, by what
// etcd's says.
func TestG7_ClockThatKeepsACoordinatorFromStarting(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ahead := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large</Message></Error>`)
	}))
	defer ahead.Close()
	code, _, stderr := program{args: []string{"coordinator", "--config", c.config(), "--s3", ahead.URL + "/" + bucket, "--s3-region", "us-east-1"}}.run(t)
	if code != 1 {
		t.Errorf("exit status %d, expected 1", code)
	}
	says(t, stderr, "check=clock", "S3 at", "1h0m0s ahead of this machine's", "it is the one that is off", "NTP")
	says(t, lastLine(stderr), "clock differs from the S3 server's", "set the clock")
}
