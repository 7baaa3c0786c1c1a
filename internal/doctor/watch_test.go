package doctor_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/backends"
	"github.com/warmstart-ml/warmstart/internal/doctor"
	"github.com/warmstart-ml/warmstart/internal/testservers"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// journal is a log to look at.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// having counts the lines that hold all words.
func (j *journal) having(words ...string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		all := true
		for _, w := range words {
			all = all && strings.Contains(line, w)
		}
		if all {
			n++
		}
	}
	return n
}

func (j *journal) await(t *testing.T, words ...string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); j.having(words...) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %q in the log:\n%s", words, j.text.String())
		}
	}
}

// A coordinator's log names, from its start and while it runs, a clock that goes wrong and whose it is, once and not each
// time; that it is right again; conditional puts that race; and a second cluster on the prefix, though its leader has the
// same name and term.
func TestWatchNamesWhatHarmsACluster(t *testing.T) {
	t.Parallel()
	nats, etcd, s3 := testservers.NATS(t), testservers.Etcd(t), testservers.VersityGW(t)
	r := newRig(t, nats, etcd, s3)
	if _, err := r.Store.Open(t.Context(), &r.Common, slog.New(slog.DiscardHandler)); err != nil { // makes the bucket
		t.Fatal(err)
	}
	var off atomic.Int64
	race := racy()
	r.Store.S3 = front(t, s3.URL, func(w http.ResponseWriter, q *http.Request, forward http.Handler) {
		race(dated{w, time.Duration(off.Load())}, q, forward)
	}) + "/bucket"
	var log journal
	r.Log = slog.New(slog.NewTextHandler(&log, nil))
	bus, err := r.NATS.Connect(t.Context(), &r.Common, "test", r.Log)
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	if err := bus.EnsureEvents(t.Context()); err != nil { // whose stream tells NATS's time
		t.Fatal(err)
	}
	if _, _, _, ok := bus.Clock(t.Context()); !ok {
		t.Error("NATS does not tell the time")
	}
	ctx, stop := context.WithCancel(t.Context())
	w := doctor.Watch{Config: r.Config, Bus: bus, Every: 50 * time.Millisecond}
	over := make(chan struct{})
	go func() { defer close(over); w.Run(ctx) }()
	defer func() { stop(); <-over }()

	log.await(t, "not well", `check="s3 race"`, "both won", "nothing rests on this")
	if log.having("check=clock") > 0 {
		t.Errorf("the clocks agree, and the log says:\n%s", log.text.String())
	}
	off.Store(int64(time.Hour))
	log.await(t, "not well", "check=clock", "S3 at", "1h0m0s ahead of this machine's", "it is the one that is off", "NTP")
	for _, cluster := range []string{"ONE", "TWO"} {
		a := metatrain.Announce{Term: metatrain.Term{Revision: 3}, Leader: "coordinator", Cluster: cluster}
		if _, err := bus.Serve("test.find", func(_, _ string, _ []byte, reply func([]byte)) { reply(metatrain.EncodeFrame(a, nil)) }); err != nil {
			t.Fatal(err)
		}
	}
	log.await(t, "not well", "check=leader", "cluster ONE", "cluster TWO", "two clusters share it", "--prefix")
	off.Store(0)
	log.await(t, "well again", "check=clock")
	if n := log.having("not well", "check=clock"); n != 1 {
		t.Errorf("the clock is named %d times, expected once", n)
	}
	if n := log.having("not well", "s3 race"); n != 1 {
		t.Errorf("races are named %d times, expected once", n)
	}
}

// A coordinator whose S3 requests are refused for the clock says whose it is before it gives up.
func TestWatchNamesTheClockThatKeepsFromStarting(t *testing.T) {
	t.Parallel()
	etcd, s3 := testservers.Etcd(t), testservers.VersityGW(t)
	r := newRig(t, nil, etcd, s3)
	var log journal
	r.Log = slog.New(slog.NewTextHandler(&log, nil))
	r.Store = backends.Store{S3: skewed(t, s3.URL, time.Hour) + "/bucket", AccessKey: s3.AccessKey, SecretKey: s3.SecretKey}
	doctor.NameClocks(t.Context(), r.Config)
	if log.having("check=clock", "S3 at", "it is the one that is off") != 1 {
		t.Errorf("found %q, expected S3's clock named", log.text.String())
	}
}
