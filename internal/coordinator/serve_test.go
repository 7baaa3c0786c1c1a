package coordinator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/coordinator"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
	"github.com/warmstart-ml/warmstart/pkg/worker"
)

// ops are the requests a leader answers.
var ops = []string{"lease", "beat", "fail", "result", "fetch", "upload", "submit", "control", "question"}

func (r *rig) lead(op string) string {
	return metatrain.Subject("warmstart", "lead", metatrain.Term{Revision: r.term()}.String(), op)
}

// started waits for a leader.
func (r *rig) started() {
	r.t.Helper()
	if _, _, err := r.client.Runs(r.ctx, ""); err != nil {
		r.t.Fatal(err)
	}
}

func TestG7_MalformedMessagesAreAnsweredAndSurvived(t *testing.T) {
	r := newRig(t)
	r.coordinate("a", metatrain.Config{})
	r.started()
	for name, data := range map[string][]byte{
		"nothing":            nil,
		"half a length":      {1, 0},
		"a huge length":      {255, 255, 255, 255, '{'},
		"no JSON":            append([]byte{4, 0, 0, 0}, "oops"...),
		"another type":       metatrain.EncodeFrame([]string{"a"}, nil),
		"wrong fields":       metatrain.EncodeFrame(map[string]any{"worker": 5, "offset": "x", "run": []int{}, "fresh": 3, "theta": 1, "digest": 2}, nil),
		"a huge payload":     metatrain.EncodeFrame(struct{}{}, make([]byte, metatrain.MaxChunk+1)),
		"negative sizes":     metatrain.EncodeFrame(map[string]any{"offset": -5, "total": -7, "object": "models/x"}, []byte("abc")),
		"a place before all": metatrain.EncodeFrame(map[string]any{"offset": -5, "list": "models/"}, nil),
		"overflows":          metatrain.EncodeFrame(map[string]any{"offset": 1<<63 - 2, "total": 1<<63 - 1, "list": "models/"}, []byte("abc")),
		"beyond the data":    metatrain.EncodeFrame(map[string]any{"offset": 1 << 40, "total": 1 << 62, "theta": "x"}, nil),
	} {
		for _, op := range append(ops, "nonsense") {
			ctx, cancel := context.WithTimeout(r.ctx, 2*time.Second)
			data, err := r.bus.Request(ctx, r.lead(op), data)
			cancel()
			if err != nil {
				t.Errorf("%s on %s: no answer: %v", name, op, err)
				continue
			}
			var head struct {
				Term metatrain.Term `json:"term"`
			}
			if _, err := metatrain.DecodeFrame(data, &head); err != nil || head.Term.Revision != r.term() {
				t.Errorf("%s on %s: answer of term %s (%v), expected the leader's", name, op, head.Term, err)
			}
		}
	}
	r.started() // it still answers
}

// lines is a log to look at.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// having counts the lines that hold all of parts.
func (l *lines) having(parts ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			n++
		}
	}
	return n
}

// What is refused is counted by its source, and logged once for each and tenfold number.
func TestG7_RefusalsAreCountedBySource(t *testing.T) {
	r := newRig(t)
	var log lines
	r.log = slog.New(slog.NewTextHandler(&log, nil))
	r.coordinate("a", metatrain.Config{})
	r.started()
	send := func(op string, data []byte) {
		if _, err := r.bus.Request(r.ctx, r.lead(op), data); err != nil {
			t.Fatal(err)
		}
	}
	other := metatrain.EncodeFrame(metatrain.Hello{Worker: "old", Protocol: 99}, nil)
	for range 25 {
		send("question", []byte("junk"))
		send("beat", metatrain.EncodeFrame(map[string]any{"worker": "broken", "leases": "all"}, nil))
		send("lease", other)
	}
	for i := range 1500 { // ever other names, none of which is known
		send("beat", metatrain.EncodeFrame(map[string]any{"worker": fmt.Sprint("w", i), "leases": 1}, nil))
	}
	for _, c := range []struct {
		lines int
		parts []string
	}{
		{2, []string{"refused a request", "op=question", `source="connection inbox"`}},
		{1, []string{"op=question", "count=10"}},
		{2, []string{"op=beat", `source="worker broken"`, "leases"}},
		{2, []string{"op=lease", `source="worker old"`, "protocol 99"}},
		{3, []string{"source=others"}},
	} {
		if n := log.having(c.parts...); n != c.lines {
			t.Errorf("found %d lines with %q, expected %d", n, c.parts, c.lines)
		}
	}
}

// FuzzReceive sends anything on every subject, beginning with what a run's worker says: the leader answers, or lets a
// poll wait, and lives.
func FuzzReceive(f *testing.F) {
	r := newRig(f)
	r.coordinate("a", metatrain.Config{})
	r.started()
	r.record(f)
	f.Add(uint8(3), metatrain.EncodeFrame(metatrain.Result{Worker: "w", Total: 5, Offset: 2, Work: metatrain.Work{Run: "r"}}, []byte("abc")))
	f.Add(uint8(0), metatrain.EncodeFrame(metatrain.Hello{Worker: "w", Protocol: metatrain.Protocol, Contract: metatrain.Contract}, nil))
	f.Add(uint8(4), metatrain.EncodeFrame(metatrain.Fetch{Object: "models/", List: "runs/"}, nil))
	f.Add(uint8(5), metatrain.EncodeFrame(metatrain.Upload{Digest: "d", Total: 9}, []byte("abc")))
	f.Add(uint8(6), metatrain.EncodeFrame(metatrain.Submit{Fresh: true}, []byte("{}")))
	f.Fuzz(func(t *testing.T, op uint8, data []byte) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		name := ops[int(op)%len(ops)]
		if name == "lease" { // may wait as long as the message says
			_ = r.bus.Publish(r.lead(name), data)
			name, data = "question", metatrain.EncodeFrame(metatrain.Question{}, nil)
		}
		if _, err := r.bus.Request(ctx, r.lead(name), data); err != nil {
			t.Fatalf("%s: no answer: %v", name, err)
		}
	})
}

// record makes a run that is in the middle of its steps, with nobody at work, and seeds a fuzzer with what was said so
// far: frames that get far into the machine.
func (r *rig) record(f *testing.F) {
	var mu sync.Mutex
	said := map[string][][]byte{}
	for _, op := range ops {
		stop, _ := r.bus.Subscribe(r.lead(op), func(data []byte) {
			mu.Lock()
			defer mu.Unlock()
			said[op] = append(said[op], data)
		})
		defer stop()
	}
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan error, 1)
	go func() {
		done <- worker.RunSlots(ctx, worker.Config{BeatEvery: 20 * time.Millisecond}, 1, r.client, worker.BuiltinKinds())
	}()
	spec := r.spec("fuzzed")
	spec.Steps = 1_000_000_000
	run, _, err := r.client.Submit(r.ctx, spec, false)
	for err == nil && run.Step < 15 {
		var runs []metatrain.RunStatus
		if runs, _, err = r.client.Runs(r.ctx, run.Run); err == nil {
			run = runs[0]
		}
	}
	cancel()
	if ended := <-done; err != nil || ended != nil {
		f.Fatal(err, ended)
	}
	mu.Lock()
	defer mu.Unlock()
	for i, op := range ops {
		for _, data := range said[op][max(0, len(said[op])-3):] {
			f.Add(uint8(i), data)
		}
	}
}

func TestG8_FetchServesOnlyWhatIsOpen(t *testing.T) {
	r := newRig(t)
	for _, key := range []string{"runs/r/spec.yaml", "models/m/1/manifest.json", "tasks/d/series.safetensors", "cluster/epoch/seven", "modelsx/a", "runs/r/faults/0-1.safetensors"} {
		if err := r.store.Put(r.ctx, key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	r.coordinate("a", metatrain.Config{})
	for _, f := range []metatrain.Fetch{
		{Object: "runs/r/spec.yaml"}, {Object: "cluster/epoch/seven"}, {Object: "modelsx/a"}, {Object: "/models/m/1/manifest.json"},
		{Object: "models/../runs/r/spec.yaml"}, {Object: "runs/r/faults/../spec.yaml"}, {Object: "runs/faults/a"}, {List: "runs/r/"}, {List: "runs/"}, {List: "models"}, {List: "models/../runs/"},
		{Object: "models/", List: "runs/"}, {Object: "tasks/x", List: "cluster/"}, {Object: "models/m/1/manifest.json", List: "runs/r/spec.yaml"},
	} {
		reply, data, err := client.Ask[metatrain.Chunk](r.ctx, r.client, "fetch", f, nil, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if reply.Error == "" || len(data) > 0 {
			t.Errorf("%+v: served %q", f, data)
		}
	}
	if data, err := r.client.Get(r.ctx, "models/m/1/manifest.json"); err != nil || string(data) != "models/m/1/manifest.json" {
		t.Errorf("a model's manifest: %q, %v", data, err)
	}
	if found, err := r.client.List(r.ctx, metatrain.FaultFolder("r")); err != nil || len(found) != 1 {
		t.Errorf("list of faults: %v, %v", found, err)
	}
	if found, err := r.client.List(r.ctx, "tasks/"); err != nil || len(found) != 1 {
		t.Errorf("list of data sets: %v, %v", found, err)
	}
}

// A data set of many chunks, asked for by many workers at once, is read from the store once (G6).
func TestG6_FetchReadsAnObjectOnce(t *testing.T) {
	r := newRig(t)
	r.coordinate("a", metatrain.Config{})
	data := bytes.Repeat([]byte("0123456789abcde\n"), 120_000) // 5 chunks
	var told []int
	digest, err := r.client.Upload(r.ctx, data, func(done, total int) { told = append(told, done) })
	if err != nil || digest != metatrain.Digest(data) || len(told) != 4 {
		t.Fatalf("upload: %.12s, %v, progress %v", digest, err, told)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			found, err := r.client.Data(r.ctx, digest)
			if err != nil || !bytes.Equal(found, data) {
				t.Errorf("fetch: %d bytes, %v", len(found), err)
			}
		})
	}
	all.Wait()
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	if n := r.store.gets[metatrain.DataObject(digest)]; n != 1 {
		t.Errorf("the object was read %d times, expected once", n)
	}
}

func TestUploadOutlastsAStoreThatFails(t *testing.T) {
	r := newRig(t)
	r.coordinate("a", metatrain.Config{})
	r.started()
	data := bytes.Repeat([]byte("x"), metatrain.MaxChunk+5)
	failed := make(chan struct{})
	digest, err := r.client.Upload(r.ctx, data, func(int, int) {
		select {
		case <-failed:
		default:
			close(failed)
			r.store.set(errDown)
			time.AfterFunc(100*time.Millisecond, func() { r.store.set(nil) })
		}
	})
	if err != nil || digest != metatrain.Digest(data) {
		t.Errorf("upload: %.12s, %v", digest, err)
	}
}

func TestG7_UploadOfOtherBytesIsRefused(t *testing.T) {
	r := newRig(t)
	r.coordinate("a", metatrain.Config{})
	up := metatrain.Upload{Digest: strings.Repeat("a", 64), Total: 3}
	answer, _, err := client.Ask[metatrain.Answer](r.ctx, r.client, "upload", up, []byte("abc"), time.Second)
	if err != nil || answer.Error == "" || answer.Durable || answer.Retry {
		t.Errorf("answer %+v, %v, expected a refusal for good", answer, err)
	}
	if found, err := r.client.List(r.ctx, "tasks/"); err != nil || len(found) != 0 {
		t.Errorf("found %v, %v, expected nothing", found, err)
	}
}

// A machine is not told of a result in pieces; followers hear of a run.
func TestFollowersHear(t *testing.T) {
	r := newRig(t)
	r.coordinate("a", metatrain.Config{})
	r.work()
	spec := r.spec("heard")
	run, _, err := r.client.Submit(r.ctx, spec, false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	events, err := r.bus.Follow(ctx, run.Run)
	if err != nil {
		t.Fatal(err)
	}
	r.finish(run.Run)
	var last metatrain.RunStatus
	for data := range events {
		if err := json.Unmarshal(data, &last); err != nil {
			t.Fatal(err)
		}
		if last.State == metatrain.Finished {
			break
		}
	}
	cancel()
	for range events { // ends with ctx
	}
}

func TestEpochIsTheHighest(t *testing.T) {
	r := newRig(t)
	for _, key := range []string{"cluster/epoch/000000000002", "cluster/epoch/000000000010", "cluster/epoch/x"} {
		if err := r.store.Put(r.ctx, key, []byte("e")); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := coordinator.Epoch(r.ctx, r.store); err != nil || n != 10 {
		t.Errorf("found epoch %d, %v, expected 10", n, err)
	}
}
