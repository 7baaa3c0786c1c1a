package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/warmstart-ml/warmstart/internal/testservers"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
)

// fake is a server of our own making. Its config has short patience.
func fake(t *testing.T, handler http.HandlerFunc) Config {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return Config{
		Endpoint: server.URL, Bucket: "bucket", AccessKey: "key", SecretKey: "secret", Region: "us-east-1",
		Timeout: 300 * time.Millisecond, Silence: time.Second,
	}
}

// refuse answers as S3 does.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>said %s</Message></Error>", code, code)
}

// proxy stands before a real server. around may answer in its stead or spoil
// what it says; forward asks the server.
func proxy(t *testing.T, server *testservers.S3, around func(w http.ResponseWriter, r *http.Request, forward http.Handler)) Config {
	t.Helper()
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { around(w, r, forward) }))
	t.Cleanup(front.Close)
	c := config(server)
	c.Endpoint = front.URL
	return c
}

// mustTell holds err to be of the kind and to name all of parts.
func mustTell(t *testing.T, err, kind error, parts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("found error %v, expected %v", err, kind)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestG5_UnreachableSaysWhoWhereSinceWhen(t *testing.T) {
	address := testservers.Nobody(t)
	var told []Retry
	_, err := Open(t.Context(), Config{
		Endpoint: address, Bucket: "bucket", AccessKey: "key", SecretKey: "secret", Timeout: time.Second,
		OnRetry: func(r Retry) { told = append(told, r) },
	})
	mustTell(t, err, ErrUnreachable, "http://"+address+"/bucket", "since 20", "tries", "connection refused", "check that the S3 server runs")
	if len(told) < 2 {
		t.Fatalf("told of %d failed tries, expected some", len(told))
	}
	if wait := told[0].Until.Sub(told[0].Since); wait != time.Second || !strings.Contains(told[0].String(), "trying until 20") {
		t.Errorf("told %q, expected a second's patience", told[0])
	}
}

func TestG5_CallersDeadlineEndsTheWait(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := Open(ctx, Config{Endpoint: testservers.Nobody(t), Bucket: "bucket", AccessKey: "key", SecretKey: "secret"})
	mustTell(t, err, ErrUnreachable, "connection refused")
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) && errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("found error %v before the deadline", err)
	}
}

// TestG5_SilentServerIsLeft: a server that takes the connection and says
// nothing is noticed, and found again when it is back.
func TestG5_SilentServerIsLeft(t *testing.T) {
	server := testservers.VersityGW(t)
	c := config(server)
	c.Silence, c.Timeout = 300*time.Millisecond, time.Second
	store := mustOpen(t, c)
	server.Pause()
	err := store.Put(t.Context(), "a", []byte("x"))
	mustTell(t, err, ErrUnreachable, "no byte moved for 300ms", " tries)")
	server.Resume()
	if err := store.Put(t.Context(), "a", []byte("x")); err != nil {
		t.Error(err)
	}
}

func TestWrongCredentials(t *testing.T) {
	server := testservers.VersityGW(t)
	for name, c := range map[string]struct {
		spoil func(*Config)
		hint  string
	}{
		"access key": {func(c *Config) { c.AccessKey = "nobody" }, "check the access key"},
		"secret key": {func(c *Config) { c.SecretKey = "wrong" }, "check the secret key"},
	} {
		config := config(server)
		c.spoil(&config)
		config.OnRetry = func(r Retry) { t.Errorf("%s: tried again: %v", name, r) }
		_, err := Open(t.Context(), config)
		mustTell(t, err, ErrCredentials, server.Endpoint, c.hint)
	}
}

func TestServerRefusesByName(t *testing.T) {
	for code, c := range map[string]struct {
		status int
		kind   error
		hint   string
	}{
		"RequestTimeTooSkewed": {403, ErrClock, "set the clock"},
		"AccessDenied":         {403, ErrCredentials, "may list, read, write and delete"},
		"ExpiredToken":         {400, ErrCredentials, "check the access key"},
		"InvalidRegion":        {400, ErrCredentials, "check the region"},
		"SlowDown":             {503, ErrUnreachable, "see the log of the S3 server"},
		"InternalError":        {500, ErrUnreachable, "see the log of the S3 server"},
	} {
		_, err := Open(t.Context(), fake(t, func(w http.ResponseWriter, r *http.Request) { refuse(w, c.status, code) }))
		mustTell(t, err, c.kind, "said "+code, c.hint)
	}
}

func TestBucketIsMadeWhereAllowed(t *testing.T) {
	server := testservers.VersityGW(t)
	mustOpen(t, config(server)) // not there before
	mustOpen(t, config(server)) // there
	_, err := Open(t.Context(), fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			refuse(w, 404, "NoSuchBucket")
		} else {
			refuse(w, 403, "AccessDenied")
		}
	}))
	mustTell(t, err, ErrNoBucket, "make bucket http://", "said AccessDenied")
}

// TestG4_ServerWithoutConditionIsRefused: one that takes every put would let
// a late write replace an object.
func TestG4_ServerWithoutConditionIsRefused(t *testing.T) {
	_, err := Open(t.Context(), fake(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodGet {
			fmt.Fprint(w, "<ListBucketResult><Name>bucket</Name></ListBucketResult>")
		}
	}))
	mustTell(t, err, ErrUnfit, "replaced an object in spite of If-None-Match")
}

// TestG3_LargePutKeepsItsCondition: beyond 16 MiB the client would go
// multipart and drop the condition.
func TestG3_LargePutKeepsItsCondition(t *testing.T) {
	var puts atomic.Int64
	store := mustOpen(t, proxy(t, testservers.VersityGW(t), func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if r.Method == http.MethodPost || r.Method == http.MethodPut && r.URL.Query().Has("uploadId") {
			t.Errorf("a multipart upload: %s %s", r.Method, r.URL)
		}
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/large") {
			puts.Add(1)
			if r.Header.Get("If-None-Match") != "*" {
				t.Error("a put without condition")
			}
		}
		forward.ServeHTTP(w, r)
	}))
	if err := store.Put(t.Context(), "large", make([]byte, 20<<20)); err != nil {
		t.Fatal(err)
	}
	if puts.Load() != 1 {
		t.Errorf("found %d puts, expected 1", puts.Load())
	}
}

// TestG3_LostAnswerIsNoConflict: the put had effect, its answer is lost, and
// the next try finds the key taken, by its own bytes or by another's.
func TestG3_LostAnswerIsNoConflict(t *testing.T) {
	server := testservers.VersityGW(t)
	direct := mustOpen(t, config(server))
	var lose atomic.Int64
	store := mustOpen(t, proxy(t, server, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if r.Method != http.MethodPut || lose.Add(-1) < 0 {
			forward.ServeHTTP(w, r)
			return
		}
		forward.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}))
	lose.Store(1)
	if err := store.Put(t.Context(), "a", []byte("ours")); err != nil {
		t.Errorf("put with a lost answer: %v", err)
	}
	if err := direct.Put(t.Context(), "b", []byte("theirs")); err != nil {
		t.Fatal(err)
	}
	lose.Store(1)
	mustTell(t, store.Put(t.Context(), "b", []byte("ours")), checkpoint.ErrExists, "/warmstart/team/a/b", "found 6 bytes")
	if data, err := direct.Get(t.Context(), "b"); err != nil || string(data) != "theirs" {
		t.Errorf("found %q with error %v", data, err)
	}
}

// TestG5_FlickeringObjectIsReported: the server says of a key that it is taken,
// and that there is no object.
func TestG5_FlickeringObjectIsReported(t *testing.T) {
	c := proxy(t, testservers.VersityGW(t), func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		switch {
		case !strings.HasSuffix(r.URL.Path, "/orphan"):
			forward.ServeHTTP(w, r)
		case r.Method == http.MethodPut:
			refuse(w, 412, "PreconditionFailed")
		default:
			refuse(w, 404, "NoSuchKey")
		}
	})
	c.Timeout = 300 * time.Millisecond
	err := mustOpen(t, c).Put(t.Context(), "orphan", []byte("x"))
	mustTell(t, err, ErrUnfit, "taken, yet there is no object", "unconditionally")
}

func TestBusyServerIsTriedAgain(t *testing.T) {
	var busy, told atomic.Int64
	c := proxy(t, testservers.VersityGW(t), func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		if busy.Add(-1) >= 0 {
			refuse(w, 503, "SlowDown")
			return
		}
		forward.ServeHTTP(w, r)
	})
	c.OnRetry = func(Retry) { told.Add(1) }
	store := mustOpen(t, c)
	for name, do := range map[string]func() error{
		"put":    func() error { return store.Put(t.Context(), "a", []byte("x")) },
		"get":    func() error { _, err := store.Get(t.Context(), "a"); return err },
		"list":   func() error { _, err := store.List(t.Context(), ""); return err },
		"delete": func() error { return store.Delete(t.Context(), "b") },
	} {
		if name == "get" {
			if err := store.Put(t.Context(), "a", []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		busy.Store(2)
		told.Store(0)
		// A put that gets no clear answer reads back: one busy answer more.
		if err := do(); err != nil || told.Load() < 1 {
			t.Errorf("%s: found error %v after %d tries", name, err, told.Load())
		}
	}
}

// TestG3_ServerKilledMidRun: writers wait for a killed server to come back,
// and every object is there and whole. The kill waits for requests under way:
// a versitygw that keeps metadata beside the data, killed between the two,
// says for ever that a key is taken and that there is no object.
func TestG3_ServerKilledMidRun(t *testing.T) {
	server := testservers.VersityGW(t)
	var underWay sync.RWMutex
	store := mustOpen(t, proxy(t, server, func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		underWay.RLock()
		defer underWay.RUnlock()
		forward.ServeHTTP(w, r)
	}))
	content := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 300_000) }
	var writers sync.WaitGroup
	var written atomic.Int64
	for w := range 4 {
		writers.Go(func() {
			for i := w; i < 120; i += 4 {
				if err := store.Put(t.Context(), fmt.Sprintf("o/%d", i), content(i)); err != nil {
					t.Error(err)
				}
				written.Add(1)
			}
		})
	}
	for _, after := range []int64{20, 60} {
		for written.Load() < after {
			time.Sleep(time.Millisecond)
		}
		underWay.Lock()
		server.Kill()
		underWay.Unlock()
		time.Sleep(200 * time.Millisecond)
		server.Restart()
	}
	writers.Wait()
	for i := range 120 {
		if data, err := store.Get(t.Context(), fmt.Sprintf("o/%d", i)); err != nil || !bytes.Equal(data, content(i)) {
			t.Errorf("object %d: found %d bytes with error %v", i, len(data), err)
		}
	}
}

func TestListDoesNotSeeWhatIsNoObject(t *testing.T) {
	store := mustOpen(t, config(testservers.VersityGW(t)))
	for _, key := range []string{"folder/", "a b"} {
		if _, err := store.client.Client.PutObject(t.Context(), "warmstart", "team/a/"+key, strings.NewReader(""), 0, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Put(t.Context(), "folder/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	objects, err := store.List(t.Context(), "")
	if err != nil || len(objects) != 1 || objects[0].Key != "folder/x" {
		t.Errorf("found %v with error %v, expected folder/x alone", objects, err)
	}
}

func TestG3_PullFromS3(t *testing.T) {
	store := mustOpen(t, config(testservers.VersityGW(t)))
	files := map[string][]byte{checkpoint.ModelFile: []byte("parameters"), checkpoint.ConfigFile: []byte("{}")}
	if err := checkpoint.PublishVersion(t.Context(), store, files, checkpoint.Manifest{Model: "m", Version: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Pull(t.Context(), store, "m", 1, filepath.Join(t.TempDir(), "m")); err != nil {
		t.Error(err)
	}
}

func TestG7_ConfigRefuses(t *testing.T) {
	good := Config{Endpoint: "localhost:9000", Bucket: "bucket", AccessKey: "k", SecretKey: "s"}
	for name, spoil := range map[string]func(*Config){
		"no endpoint":  func(c *Config) { c.Endpoint = "" },
		"path":         func(c *Config) { c.Endpoint = "http://localhost/x" },
		"scheme":       func(c *Config) { c.Endpoint = "s3://localhost" },
		"no bucket":    func(c *Config) { c.Bucket = "" },
		"no key":       func(c *Config) { c.SecretKey = "" },
		"prefix":       func(c *Config) { c.Prefix = "../x" },
		"bad timeout":  func(c *Config) { c.Timeout = -1 },
		"empty prefix": func(c *Config) { c.Prefix = "/" },
	} {
		c := good
		spoil(&c)
		if _, err := c.withDefaults(); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	c := good
	c.Endpoint, c.Prefix = "https://s3.example.org/", "a"
	c, err := c.withDefaults()
	if err != nil || !c.Secure || c.where("k") != "https://s3.example.org/bucket/a/k" {
		t.Errorf("found %+v with error %v", c, err)
	}
}
