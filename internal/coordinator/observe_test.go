package coordinator

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Labels are of few values: what a wait says of numbers, reasons and others is left to status and log.
func TestG5_LabelsOfWaitsAreBounded(t *testing.T) {
	o := &observation{known: map[string]bool{"host-1, the (first": true, "b\xff": true}}
	for says, want := range map[string]string{
		"host-1, the (first":       "host-1, the (first",
		"b\xff":                    "b?",
		"a worker (none is known)": "a worker",
		"a worker of class \"gpu\" (none is known, of any class)":                 "a worker of class \"gpu\"",
		"another worker (3 failed; the last: no room)":                            "another worker",
		"the store, to make durable what is done (the limit is 600 s): no answer": "the store",
		"a worker of a third process to say who is wrong: a and b give":           "a worker of a third process to say who is wrong",
	} {
		if found := o.whom(metatrain.Wait{Worker: says}); found != want {
			t.Errorf("%q: found %q, expected %q", says, found, want)
		}
	}
	if found := o.whom(metatrain.Wait{Worker: strings.Repeat("x", 500_000)}); len(found) > 200 {
		t.Errorf("found a label of %d bytes", len(found))
	}
}

// What is strange in an observation costs no page: a state that is not there, names that are no text.
func TestMetricsOfStrangeObservations(t *testing.T) {
	w := &Watch{}
	w.latest.Store(&observation{known: map[string]bool{}, refused: map[string]int{"other": 3}, runs: []metatrain.RunStatus{
		{Run: "broken"},
		{Run: "waits", State: metatrain.Active, Waits: []metatrain.Wait{{Kind: "train", Worker: "a\xffb", Since: 1}, {Kind: "train", Worker: "\xfe", Since: 5000}}},
	}})
	answer := httptest.NewRecorder()
	w.Metrics().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`warmstart_runs{state="unreadable"} 1`, `warmstart_run_oldest_wait_seconds{kind="train",run="waits",whom="?"}`, `{op="other"} 3`} {
		if answer.Code != 200 || !strings.Contains(answer.Body.String(), want) {
			t.Errorf("found status %d and no %s in\n%s", answer.Code, want, answer.Body)
		}
	}
}
