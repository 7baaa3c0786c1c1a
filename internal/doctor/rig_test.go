package doctor_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/backends"
	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/internal/doctor"
	"github.com/warmstart-ml/warmstart/internal/testservers"
	"github.com/warmstart-ml/warmstart/internal/wiring"
)

// rig is the flags of a cluster of real servers.
type rig struct {
	doctor.Config
	t *testing.T
}

func newRig(t *testing.T, nats *testservers.NATSServer, etcd *testservers.EtcdServer, s3 *testservers.S3) *rig {
	t.Helper()
	r := &rig{t: t, Config: doctor.Config{Common: wiring.Common{Prefix: "test", Wait: 10 * time.Second, LogLevel: "error"}}}
	r.NATS.URL = "nats://127.0.0.1:1"
	if nats != nil {
		r.NATS.URL = nats.URL
	} else {
		r.Common.Wait = 2 * time.Second
	}
	if etcd != nil {
		r.Etcd.Endpoints = etcd.Endpoint
	}
	if s3 != nil {
		r.Store = backends.Store{S3: s3.URL + "/bucket", AccessKey: s3.AccessKey, SecretKey: s3.SecretKey, Region: s3.Region}
	}
	return r
}

// coordinator runs one of these flags until stop.
func (r *rig) coordinator(id string) (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	common := r.Common
	log, _ := common.Log()
	objects, err := r.Store.Open(ctx, &common, log)
	if err != nil {
		r.t.Fatal(err)
	}
	state, err := r.Etcd.Connect(ctx, &common, log)
	if err != nil {
		r.t.Fatal(err)
	}
	bus, err := r.NATS.Connect(ctx, &common, id, log)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := bus.EnsureEvents(ctx); err != nil {
		r.t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		coordinator.Run(ctx, coordinator.Config{ID: id, Prefix: common.Prefix}, backends.Elector{State: state, ID: id, TTL: 2 * time.Second}, bus, objects)
	}()
	stop = func() { cancel(); <-over; bus.Close(); state.Close() }
	r.t.Cleanup(func() { cancel(); <-over })
	return stop
}

// await looks until the check is at a level.
func (r *rig) await(name string, level doctor.Level) {
	r.t.Helper()
	var report doctor.Report
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if report = doctor.Examine(r.t.Context(), r.Config); find(report, name).Level == level {
			return
		}
	}
	r.t.Fatalf("waited a minute for %q to be %s; found %+v", name, level, report.Checks)
}

func find(r doctor.Report, name string) doctor.Check {
	for _, c := range r.Checks {
		if c.Name == name {
			return c
		}
	}
	return doctor.Check{}
}

// finds holds the check to a level and to words in what it found or advises, and returns the report.
func (r *rig) finds(name string, level doctor.Level, words ...string) doctor.Report {
	r.t.Helper()
	report := doctor.Examine(r.t.Context(), r.Config)
	expect(r.t, report, name, level, words...)
	return report
}

func expect(t *testing.T, report doctor.Report, name string, level doctor.Level, words ...string) {
	t.Helper()
	c := find(report, name)
	if c.Level != level {
		t.Errorf("%s: found %+v, expected %s among %+v", name, c, level, report.Checks)
		return
	}
	if level != doctor.OK && c.Remedy == "" {
		t.Errorf("%s: found no remedy for %q", name, c.Found)
	}
	for _, w := range words {
		if !strings.Contains(c.Found+" "+c.Remedy, w) {
			t.Errorf("%s: found %q; %q, expected it to name %q", name, c.Found, c.Remedy, w)
		}
	}
}

// front stands before a server of HTTP. around may change what is asked and answered.
func front(t *testing.T, target string, around func(w http.ResponseWriter, r *http.Request, forward http.Handler)) (address string) {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = r.In.Host // it is signed
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { around(w, r, forward) }))
	t.Cleanup(server.Close)
	return server.URL
}

// skewed is a server whose clock is off.
func skewed(t *testing.T, target string, off time.Duration) string {
	t.Helper()
	return front(t, target, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		forward.ServeHTTP(dated{w, off}, r)
	})
}

type dated struct {
	http.ResponseWriter
	off time.Duration
}

func (d dated) WriteHeader(status int) {
	d.Header().Set("Date", time.Now().Add(d.off).UTC().Format(http.TimeFormat))
	d.ResponseWriter.WriteHeader(status)
}

func mustContain(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("found %q, expected %q in it", text, w)
		}
	}
}
