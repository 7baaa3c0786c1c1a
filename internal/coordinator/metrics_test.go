package coordinator_test

import (
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// metrics is the page as it is now.
func (r *rig) metrics() string {
	r.t.Helper()
	answer := httptest.NewRecorder()
	r.watch.Metrics().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if answer.Code != 200 {
		r.t.Fatalf("found status %d: %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// metric waits until a line of the page has that name and labels and a value that will do.
func (r *rig) metric(name string, will func(v float64) bool) {
	r.t.Helper()
	line := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`)
	page := ""
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		page = r.metrics()
		if m := line.FindStringSubmatch(page); m != nil {
			if v, err := strconv.ParseFloat(m[1], 64); err == nil && will(v) {
				return
			}
		}
	}
	r.t.Fatalf("found no %s as expected in\n%s", name, page)
}

func is(want float64) func(float64) bool { return func(v float64) bool { return v == want } }
func above(least float64) func(float64) bool {
	return func(v float64) bool { return v > least }
}

func TestG5_MetricsTellWhatIsWaitedFor(t *testing.T) {
	r := newRig(t)
	r.watch = &coordinator.Watch{}
	r.metric("warmstart_leading", is(0))
	if page := r.metrics(); strings.Contains(page, "warmstart_runs") || !strings.Contains(page, "process_resident_memory_bytes") {
		t.Errorf("found of one that stands by\n%s", page)
	}
	stop := r.coordinate("a", metatrain.Config{})
	spec := r.spec("watched")
	spec.Steps = 100_000
	run, _, err := r.client.Submit(r.ctx, spec, false)
	if err != nil {
		t.Fatal(err)
	}
	_, _, _ = client.Ask[metatrain.LeaseReply](r.ctx, r.client, "lease", metatrain.Hello{Worker: "old"}, nil, time.Second)
	of := func(name string) string { return name + `{run="` + run.Run + `"}` }
	r.metric("warmstart_leading", is(1))
	r.metric("warmstart_term_revision", is(float64(r.term())))
	r.metric(`warmstart_runs{state="active"}`, is(1))
	r.metric(`warmstart_run_oldest_wait_seconds{kind="init",run="`+run.Run+`",whom="a worker"}`, above(0.1))
	r.metric(`warmstart_refused_requests_total{op="lease"}`, above(0))
	r.metric("warmstart_store_outage_seconds", is(0))
	r.work()
	r.metric(of("warmstart_run_step"), above(0))
	r.metric("warmstart_workers", is(1))
	r.store.set(errDown)
	r.metric("warmstart_store_outage_seconds", above(0))
	r.store.set(nil)
	r.metric("warmstart_store_outage_seconds", is(0))
	if err := r.client.Control(r.ctx, run.Run, "cancel"); err != nil {
		t.Fatal(err)
	}
	r.metric(`warmstart_runs{state="cancelled"}`, is(1))
	r.metric(`warmstart_runs{state="active"}`, is(0))
	stop()
	r.metric("warmstart_leading", is(0))
}
