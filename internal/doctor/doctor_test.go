package doctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warmstart-ml/warmstart/internal/doctor"
	"github.com/warmstart-ml/warmstart/internal/natsbus"
	"github.com/warmstart-ml/warmstart/internal/testservers"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// A whole cluster has nothing that fails; each fault brought about in it afterwards is named.
func TestDoctorOnAClusterAndItsFaults(t *testing.T) {
	t.Parallel()
	etcd, s3 := testservers.Etcd(t), testservers.VersityGW(t)
	r := newRig(t, testservers.NATS(t, testservers.Args("--user", "u", "--pass", "p")), etcd, s3)
	r.NATS.User, r.NATS.Password = "u", "p"

	r.finds("leader", doctor.Fail, "no coordinator leads", "test", "start a coordinator")
	r.finds("s3 bucket", doctor.Warn, "is not there", "makes it")
	stop := r.coordinator("one")
	r.await("etcd leader", doctor.OK)
	report := doctor.Examine(t.Context(), r.Config)
	for _, name := range []string{"nats reach", "nats login", "nats payload", "nats round trip", "nats jetstream", "leader", "runs", "etcd reach", "etcd version",
		"etcd alarms", "etcd space", "s3 reach", "s3 login", "s3 read after write", "s3 conditional put", "s3 large object", "state", "clock"} {
		expect(t, report, name, doctor.OK)
	}
	expect(t, report, "leader", doctor.OK, "one", "term 0-")
	expect(t, report, "workers", doctor.Warn, "no worker")
	if report.Failed() > 0 {
		t.Errorf("found %+v, expected none to fail", report.Checks)
	}
	var out bytes.Buffer
	if err := report.WriteJSON(&out); err != nil || strings.Count(out.String(), "\n") != 1 || !json.Valid(out.Bytes()) {
		t.Errorf("found %q, %v, expected one line of JSON", out.String(), err)
	}
	mustContain(t, out.String(), `"fail":0`, `"check":"nats reach"`)
	out.Reset()
	if err := report.Write(&out); err != nil || strings.Count(out.String(), "\n") != len(report.Checks)+1 {
		t.Errorf("found %q, %v, expected a line for each of %d checks and one for all", out.String(), err, len(report.Checks))
	}

	wrong := *r
	wrong.NATS.Password = "wrong"
	wrong.finds("nats login", doctor.Fail, "credentials refused", `as user "u"`, "check them")
	wrong = *r
	wrong.Store.SecretKey = "wrong"
	wrong.finds("s3 login", doctor.Fail, "credentials refused", "secret key")
	wrong = *r
	wrong.Etcd.Endpoints = "127.0.0.1:1"
	wrong.Common.Wait = 2 * time.Second
	wrong.finds("etcd reach", doctor.Fail, "no answer", "check that it runs")

	// The leader is in another etcd than the one named.
	wrong = *r
	wrong.Etcd.Endpoints = testservers.Etcd(t).Endpoint
	wrong.finds("etcd leader", doctor.Fail, "one answers over NATS", "another one")

	stop()
	r.await("leader", doctor.Fail)
	s3.Kill()
	r.Common.Wait = 2 * time.Second
	r.finds("s3 reach", doctor.Fail, "unreachable", "check that the S3 server runs")
}

func TestDoctorOnNATS(t *testing.T) {
	t.Parallel()
	small := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(small, []byte("max_payload: 65536\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		newRig(t, nil, nil, nil).finds("nats reach", doctor.Fail, "no connection since", "check that it runs there")
	})
	t.Run("payload", func(t *testing.T) {
		t.Parallel()
		newRig(t, testservers.NATS(t, testservers.Args("-c", small)), nil, nil).finds("nats payload", doctor.Fail, "65536", "raise its max_payload")
	})
	t.Run("no jetstream", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, testservers.NATS(t, testservers.Args("--jetstream=false")), nil, nil)
		report := r.finds("nats jetstream", doctor.Warn, "followers see no history", "-js")
		expect(t, report, "nats login", doctor.Warn, "asks for no login")
		expect(t, report, "nats round trip", doctor.OK)
	})
	t.Run("permissions", func(t *testing.T) {
		t.Parallel()
		conf := filepath.Join(t.TempDir(), "nats.conf")
		if err := os.WriteFile(conf, []byte(`authorization: {users: [{user: u, password: p, permissions: {publish: ["test.find", "$JS.API.>"], subscribe: ["_INBOX.>"]}}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		r := newRig(t, testservers.NATS(t, testservers.Args("-c", conf)), nil, nil)
		r.NATS.User, r.NATS.Password = "u", "p"
		r.finds("nats round trip", doctor.Fail, "ermissions", "test.>")
	})
	t.Run("two clusters", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, testservers.NATS(t), nil, nil)
		bus, err := natsbus.Connect(t.Context(), natsbus.Config{URL: r.NATS.URL})
		if err != nil {
			t.Fatal(err)
		}
		defer bus.Close()
		for _, a := range []metatrain.Announce{{Term: metatrain.Term{Revision: 3}, Leader: "ours"}, {Term: metatrain.Term{Revision: 9}, Leader: "theirs"}} {
			if _, err := bus.Serve("test.find", func(_, _ string, _ []byte, reply func([]byte)) { reply(metatrain.EncodeFrame(a, nil)) }); err != nil {
				t.Fatal(err)
			}
		}
		r.finds("leader", doctor.Fail, "ours (term 0-3)", "theirs (term 0-9)", "two clusters share it", "--prefix")
	})
}

func TestDoctorOnEtcd(t *testing.T) {
	t.Parallel()
	etcd := testservers.Etcd(t, testservers.Args("--quota-backend-bytes", "1000000"))
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd.Endpoint}, DialTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for err == nil {
		_, err = client.Put(ctx, "elsewhere", strings.Repeat("x", 100_000))
	}
	r := newRig(t, nil, etcd, nil)
	r.finds("etcd alarms", doctor.Fail, "NOSPACE", "defrag", "auto-compaction")
	r.finds("etcd state", doctor.Fail, "space exceeded")

	for _, do := range []func() error{
		func() error { return alarmOff(ctx, client) },
		func() error { _, err := client.RoleAdd(ctx, "root"); return err },
		func() error { _, err := client.UserAdd(ctx, "root", "secret"); return err },
		func() error { _, err := client.UserGrantRole(ctx, "root", "root"); return err },
		func() error { _, err := client.AuthEnable(ctx); return err },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	r.finds("etcd login", doctor.Fail, "credentials refused")
	r.Etcd.User, r.Etcd.Password = "root", "wrong"
	r.finds("etcd login", doctor.Fail, "password wrong", `"root"`)
	r.Etcd.Password = "secret"
	r.finds("etcd reach", doctor.OK)
}

// alarmOff frees the space and lets etcd write again.
func alarmOff(ctx context.Context, client *clientv3.Client) error {
	got, err := client.Get(ctx, "elsewhere")
	if err == nil {
		_, err = client.Compact(ctx, got.Header.Revision)
	}
	if err == nil {
		_, err = client.Defragment(ctx, client.Endpoints()[0])
	}
	if err == nil {
		_, err = client.AlarmDisarm(ctx, &clientv3.AlarmMember{})
	}
	return err
}

// A clock an hour off is named, whose it is, and what suffers.
func TestDoctorNamesTheClockThatIsOff(t *testing.T) {
	t.Parallel()
	etcd, s3 := testservers.Etcd(t), testservers.VersityGW(t)
	r := newRig(t, nil, etcd, s3)
	r.finds("clock", doctor.OK, "agrees with", "etcd", "S3")

	honest := r.Store.S3
	r.Store.S3 = skewed(t, s3.URL, time.Hour) + "/bucket"
	r.finds("clock", doctor.Fail, "S3 at", "1h0m0s ahead of this machine's", "it is the one that is off", "S3 signatures", "leases", "NTP")

	// With all others off by the same, it is this machine's that is.
	r.Store.S3, r.Etcd.Endpoints = skewed(t, s3.URL, -time.Hour)+"/bucket", skewed(t, etcd.Endpoint, -time.Hour)
	r.Common.Wait = time.Second // etcd's own protocol does not pass that front
	r.finds("clock", doctor.Fail, "this machine's clock is the one that is off", "1h0m0s ahead of theirs")

	r.Store.S3 = honest
	r.finds("clock", doctor.Fail, "etcd at", "1h0m0s behind")
}

// stores that do not keep what is asked of them, each a front that spoils one thing of a real server.
func TestDoctorOnS3(t *testing.T) {
	t.Parallel()
	s3 := testservers.VersityGW(t)
	r := newRig(t, nil, nil, s3)
	if _, err := r.Store.Open(t.Context(), &r.Common, r.Log); err != nil { // makes the bucket
		t.Fatal(err)
	}
	r.finds("s3 conditional put", doctor.OK)

	unconditional := *r
	unconditional.Store.S3 = front(t, s3.URL, overwriting(func(*http.Request) (bool, func()) { return true, func() {} })) + "/bucket"
	unconditional.finds("s3 conditional put", doctor.Fail, "in spite of If-None-Match", "conditional puts")

	racing := *r
	racing.Store.S3 = front(t, s3.URL, racy()) + "/bucket"
	report := racing.finds("s3 race", doctor.Warn, "both won", "nothing rests on this")
	expect(t, report, "s3 conditional put", doctor.OK)

	stale := *r
	stale.Store.S3 = front(t, s3.URL, func(w http.ResponseWriter, q *http.Request, forward http.Handler) {
		if q.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent) // and does nothing
			return
		}
		forward.ServeHTTP(w, q)
	}) + "/bucket"
	stale.finds("s3 read after write", doctor.Fail, "deleted just now still there")

	broken := *r
	broken.Store.S3 = "ftp://" + s3.Endpoint
	broken.finds("s3 address", doctor.Fail, "--s3", "expected http(s)")
}

// racy is a server that compares first and writes then, as some do: right until two come at once.
func racy() func(http.ResponseWriter, *http.Request, http.Handler) {
	var mu sync.Mutex
	writing := map[string]int{}
	return overwriting(func(q *http.Request) (bool, func()) {
		mu.Lock()
		defer mu.Unlock()
		writing[q.URL.Path]++
		return writing[q.URL.Path] > 1, func() { mu.Lock(); writing[q.URL.Path]--; mu.Unlock() }
	})
}

// overwriting is a server that ignores If-None-Match where blind says so. The header is signed, so what the server behind
// refuses is called written here.
func overwriting(blind func(*http.Request) (yes bool, done func())) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, q *http.Request, forward http.Handler) {
		if q.Method == http.MethodPut {
			yes, done := blind(q)
			defer done()
			if yes {
				w = &forgiving{w, false}
			}
		}
		forward.ServeHTTP(w, q)
	}
}

// forgiving turns 412 Precondition Failed into success.
type forgiving struct {
	http.ResponseWriter
	turned bool
}

func (f *forgiving) WriteHeader(status int) {
	if f.turned = status == http.StatusPreconditionFailed; f.turned {
		f.Header().Set("ETag", `"d41d8cd98f00b204e9800998ecf8427e"`)
		f.Header().Set("Content-Length", "0")
		status = http.StatusOK
	}
	f.ResponseWriter.WriteHeader(status)
}

func (f *forgiving) Write(p []byte) (int, error) {
	if f.turned {
		return len(p), nil
	}
	return f.ResponseWriter.Write(p)
}

// State that etcd has lost, though the store has it, is told.
func TestDoctorMissesRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, testservers.Etcd(t), nil)
	r.Store.Dir = t.TempDir()
	report := r.finds("state", doctor.OK)
	expect(t, report, "store folder", doctor.OK)
	if err := os.MkdirAll(filepath.Join(r.Store.Dir, "runs", "waves-0123456789"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.Store.Dir, "runs", "waves-0123456789", "spec.yaml"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.finds("state", doctor.Warn, "none of the 1 runs", "doctor rebuild")
}
