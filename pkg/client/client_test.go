package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warmstart-ml/warmstart/internal/membus"
	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/client"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// rig is a client on a bus. What is left running fails the test.
type rig struct {
	t   *testing.T
	bus *membus.Bus
	c   *client.Client
	ctx context.Context
}

func newRig(t *testing.T) *rig {
	t.Helper()
	before := runtime.NumGoroutine()
	bus := membus.New()
	c, err := client.New(bus, "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(func() {
		cancel()
		c.Close()
		bus.Close()
		for range 50 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("goroutines are left: %d, before %d", runtime.NumGoroutine(), before)
	})
	return &rig{t, bus, c, ctx}
}

type answer func(op string, data []byte, reply func(msg any, payload []byte))

// lead serves a term: beats by itself, the rest by handle. found: it also answers those who search, announce: it says
// that it leads.
func (r *rig) lead(term metatrain.Term, found, announce bool, handle answer) (stop func()) {
	stopLead, _ := r.bus.Serve(metatrain.Subject("test", "lead", term.String(), "*"), func(subject, _ string, data []byte, reply func([]byte)) {
		answer := func(msg any, payload []byte) { reply(metatrain.EncodeFrame(msg, payload)) }
		if op := subject[strings.LastIndexByte(subject, '.')+1:]; op != "beat" {
			handle(op, data, answer)
			return
		}
		answer(metatrain.Ack{Term: term}, nil)
	})
	me := metatrain.EncodeFrame(metatrain.Announce{Term: term, Leader: term.String()}, nil)
	stopFind := func() {}
	if found {
		stopFind, _ = r.bus.Serve("test.find", func(_, _ string, _ []byte, reply func([]byte)) { reply(me) })
	}
	if announce {
		_ = r.bus.Publish("test.leader", me)
	}
	return func() { stopFind(); stopLead() }
}

func term(n int64) metatrain.Term { return metatrain.Term{Revision: n} }

// says answers every question by its term.
func says(n int64) answer {
	return func(_ string, _ []byte, reply func(any, []byte)) { reply(metatrain.Answer{Term: term(n)}, nil) }
}

// silent takes requests and answers none; asked hears of each.
func silent(asked chan<- string) answer {
	return func(op string, _ []byte, _ func(any, []byte)) { asked <- op }
}

func (r *rig) ask(ctx context.Context) (metatrain.Answer, error) {
	a, _, err := client.Ask[metatrain.Answer](ctx, r.c, "question", metatrain.Question{}, nil, 10*time.Second)
	return a, err
}

func (r *rig) expect(n int64) {
	r.t.Helper()
	a, err := r.ask(r.ctx)
	if err != nil || a.Term != term(n) {
		r.t.Fatalf("answer of term %s, %v, expected %s", a.Term, err, term(n))
	}
}

func TestFailoverInTheMiddleOfARequest(t *testing.T) {
	r := newRig(t)
	asked := make(chan string, 10)
	stop := r.lead(term(3), true, true, silent(asked))
	got := make(chan metatrain.Answer)
	go func() { a, _ := r.ask(r.ctx); got <- a }()
	<-asked
	stop()
	began := time.Now()
	r.lead(term(8), true, true, says(8))
	if a := <-got; a.Term != term(8) || time.Since(began) > time.Second {
		t.Errorf("answer of term %s after %v, expected 8 at once, not after the attempt's patience", a.Term, time.Since(began))
	}
}

func TestLeaderIsFoundWithoutAnAnnouncement(t *testing.T) {
	r := newRig(t)
	time.AfterFunc(100*time.Millisecond, func() { r.lead(term(3), true, false, says(3)) })
	r.expect(3)
}

func TestG4_OlderTermsAreIgnored(t *testing.T) {
	r := newRig(t)
	r.lead(term(8), true, true, says(8))
	r.expect(8)
	r.lead(term(3), false, true, says(3)) // deposed, and does not know it
	time.Sleep(20 * time.Millisecond)
	r.expect(8)
}

// A deposed leader that still serves the newer leader's subject, as in a replay, is not believed.
func TestG4_AnswersOfOlderTermsAreIgnored(t *testing.T) {
	r := newRig(t)
	answers := 0
	r.lead(term(8), true, true, func(_ string, _ []byte, reply func(any, []byte)) {
		if answers++; answers == 2 {
			reply(metatrain.Answer{Term: term(3), Run: "stale"}, nil)
			return
		}
		reply(metatrain.Answer{Term: term(8)}, nil)
	})
	r.expect(8)
	r.expect(8)
}

func TestG7_AnnouncementsOfNobodyDoNotHideTheLeader(t *testing.T) {
	r := newRig(t)
	r.lead(term(8), true, true, says(8))
	r.expect(8)
	for _, data := range [][]byte{
		nil, []byte("junk"), metatrain.EncodeFrame([]int{1}, nil), metatrain.EncodeFrame(map[string]string{"term": "high"}, nil),
		metatrain.EncodeFrame(metatrain.Announce{Term: metatrain.Term{Epoch: 1 << 60, Revision: 1 << 60}}, nil),
	} {
		_ = r.bus.Publish("test.leader", data)
		time.Sleep(10 * time.Millisecond)
		r.expect(8)
	}
}

// A flood of announcements of ever newer terms, of which none leads, cuts no request short.
func TestG7_ForgedAnnouncementsDoNotCutRequestsShort(t *testing.T) {
	r := newRig(t)
	asked, open := make(chan string, 10), make(chan struct{})
	r.lead(term(8), true, true, func(op string, _ []byte, reply func(any, []byte)) {
		asked <- op
		<-open
		reply(metatrain.Answer{Term: term(8)}, nil)
	})
	got := make(chan metatrain.Answer)
	go func() { a, _ := r.ask(r.ctx); got <- a }()
	<-asked
	for i := range int64(200) {
		_ = r.bus.Publish("test.leader", metatrain.EncodeFrame(metatrain.Announce{Term: term(100 + i), Leader: "nobody"}, nil))
	}
	time.Sleep(50 * time.Millisecond) // for as long as it would take to ask again
	close(open)
	if a := <-got; a.Term != term(8) || len(asked) != 0 {
		t.Errorf("answer of term %s after %d more requests, expected 8 to the first", a.Term, len(asked))
	}
}

func TestG5_NoLeaderIsSaid(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithTimeout(r.ctx, 150*time.Millisecond)
	defer cancel()
	_, err := r.ask(ctx)
	if !errors.Is(err, client.ErrNoLeader) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{`"test"`, "since ", time.Now().Format("15:"), "question"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %q", err, want)
		}
	}
	asked := make(chan string, 10)
	r.lead(term(3), true, true, silent(asked))
	ctx, cancel = context.WithTimeout(r.ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := r.ask(ctx); err == nil || errors.Is(err, client.ErrNoLeader) || !strings.Contains(err.Error(), "0-3") {
		t.Errorf("a leader that does not answer: %v, expected its term", err)
	}
}

// content is a leader that serves one content.
func content(n int64, data []byte, served func(f metatrain.Fetch)) answer {
	return func(op string, frame []byte, reply func(any, []byte)) {
		var f metatrain.Fetch
		_, _ = metatrain.DecodeFrame(frame, &f)
		served(f)
		offset := min(f.Offset, len(data))
		reply(metatrain.Chunk{Term: term(n), Total: len(data)}, data[offset:min(len(data), offset+metatrain.MaxChunk)])
	}
}

func TestFetchGoesOnAcrossLeaders(t *testing.T) {
	r := newRig(t)
	data := bytes.Repeat([]byte("0123456789"), 130_000) // three chunks
	var mu sync.Mutex
	var offsets []int
	var stop func()
	note := func(f metatrain.Fetch) { mu.Lock(); offsets = append(offsets, f.Offset); mu.Unlock() }
	stop = r.lead(term(3), true, true, func(op string, frame []byte, reply func(any, []byte)) {
		content(3, data, note)(op, frame, reply)
		if len(offsets) == 2 {
			stop()
			r.lead(term(8), true, true, content(8, data, note))
		}
	})
	found, err := r.c.Data(r.ctx, metatrain.Digest(data))
	if err != nil || !bytes.Equal(found, data) {
		t.Fatalf("found %d bytes, %v", len(found), err)
	}
	if len(offsets) < 3 || len(offsets) > 4 {
		t.Errorf("chunks were asked for at %v, expected each about once", offsets)
	}
}

func TestG7_ContentThatIsNotWhatItSays(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 1000)
	for name, handle := range map[string]answer{
		"other bytes": content(3, data[1:], func(metatrain.Fetch) {}),
		"a huge total": func(_ string, _ []byte, reply func(any, []byte)) {
			reply(metatrain.Chunk{Term: term(3), Total: 1 << 60}, data)
		},
		"a negative one": func(_ string, _ []byte, reply func(any, []byte)) {
			reply(metatrain.Chunk{Term: term(3), Total: -1}, data)
		},
		"more than total": func(_ string, _ []byte, reply func(any, []byte)) {
			reply(metatrain.Chunk{Term: term(3), Total: 10}, data)
		},
		"nothing of it": func(_ string, _ []byte, reply func(any, []byte)) {
			reply(metatrain.Chunk{Term: term(3), Total: 10}, nil)
		},
		"ever another total": func() answer {
			n := 5000
			return func(_ string, _ []byte, reply func(any, []byte)) {
				n++
				reply(metatrain.Chunk{Term: term(3), Total: n}, data)
			}
		}(),
		"an error": func(_ string, _ []byte, reply func(any, []byte)) {
			reply(metatrain.Chunk{Term: term(3), Error: "the store is down"}, nil)
		},
	} {
		r := newRig(t)
		r.lead(term(3), true, true, handle)
		if found, err := r.c.Data(r.ctx, metatrain.Digest(data)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: took %d bytes, %v, expected to see it at once", name, len(found), err)
		}
	}
	r := newRig(t)
	r.lead(term(3), true, true, func(_ string, _ []byte, reply func(any, []byte)) {
		reply(metatrain.Chunk{Term: term(3), Absent: true}, nil)
	})
	if _, err := r.c.Get(r.ctx, "models/m/1/x"); !errors.Is(err, checkpoint.ErrNotFound) {
		t.Errorf("an object that is not there: %v", err)
	}
	if _, err := r.c.Theta(r.ctx, "d"); !errors.Is(err, client.ErrGone) {
		t.Errorf("a theta that is gone: %v", err)
	}
}

// sink is a leader that takes an upload.
type sink struct {
	n     int64
	have  []byte
	after func(s *sink) // each chunk
	fail  int           // chunks to refuse for now
}

func (s *sink) handle(op string, frame []byte, reply func(any, []byte)) {
	if op == "fetch" {
		reply(metatrain.Chunk{Term: term(s.n), Total: 2}, []byte("[]"))
		return
	}
	var up metatrain.Upload
	chunk, _ := metatrain.DecodeFrame(frame, &up)
	if s.fail > 0 {
		s.fail--
		reply(metatrain.Answer{Term: term(s.n), Error: "no room", Retry: true}, nil)
		return
	}
	if up.Offset == len(s.have) {
		s.have = append(s.have, chunk...)
	}
	reply(metatrain.Answer{Term: term(s.n), Offset: len(s.have), Durable: len(s.have) == up.Total}, nil)
	if s.after != nil {
		s.after(s)
	}
}

func TestUploadBeginsAnewWithANewLeader(t *testing.T) {
	r := newRig(t)
	data := bytes.Repeat([]byte("0123456789"), 130_000)
	next := &sink{n: 8, fail: 2}
	var stop func()
	stop = r.lead(term(3), true, true, (&sink{n: 3, after: func(s *sink) {
		if len(s.have) > metatrain.MaxChunk {
			stop()
			r.lead(term(8), true, true, next.handle)
		}
	}}).handle)
	digest, err := r.c.Upload(r.ctx, data, nil)
	if err != nil || digest != metatrain.Digest(data) || !bytes.Equal(next.have, data) {
		t.Errorf("upload %.12s, %v; the new leader has %d bytes of %d", digest, err, len(next.have), len(data))
	}
}

func TestG7_UploadTrustsNoOffset(t *testing.T) {
	for _, offset := range []int{-1, 1 << 40} {
		r := newRig(t)
		r.lead(term(3), true, true, func(op string, _ []byte, reply func(any, []byte)) {
			if op == "fetch" {
				reply(metatrain.Chunk{Term: term(3), Total: 2}, []byte("[]"))
				return
			}
			reply(metatrain.Answer{Term: term(3), Offset: offset}, nil)
		})
		if _, err := r.c.Upload(r.ctx, []byte("data"), nil); err == nil {
			t.Errorf("offset %d was taken", offset)
		}
	}
}

func TestRequestsAreAskedAgainWhereTheLeaderSaysSo(t *testing.T) {
	r := newRig(t)
	asked := 0
	r.lead(term(3), true, true, func(_ string, _ []byte, reply func(any, []byte)) {
		if asked++; asked < 3 {
			reply(metatrain.Answer{Term: term(3), Error: "starting again", Retry: true}, nil)
			return
		}
		reply(metatrain.Answer{Term: term(3), Error: "no such run"}, nil)
	})
	if err := r.c.Control(r.ctx, "r", "pause"); err == nil || !strings.Contains(err.Error(), "no such run") || asked != 3 {
		t.Errorf("after %d tries: %v", asked, err)
	}
}

func TestFollowNeedsNoEvents(t *testing.T) {
	r := newRig(t)
	states := []metatrain.RunState{metatrain.Active, metatrain.Finished}
	r.lead(term(3), true, true, func(_ string, _ []byte, reply func(any, []byte)) {
		reply(metatrain.Answer{Term: term(3), Runs: []metatrain.RunStatus{{Run: "r", State: states[0], Step: 2}}}, nil)
		states = states[min(1, len(states)-1):]
	})
	// An event of an earlier life says that the run ended: ends are asked for, not believed.
	for _, s := range []metatrain.RunStatus{{Run: "r", State: metatrain.Active, Step: 1}, {Run: "r", State: metatrain.Failed}} {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		r.bus.PublishEvent("r", data)
	}
	r.bus.PublishEvent("r", []byte("junk"))
	var steps []int64
	last, err := r.c.Follow(r.ctx, "r", func(s metatrain.RunStatus) { steps = append(steps, s.Step) })
	if err != nil || last.State != metatrain.Finished || len(steps) != 3 || steps[0] != 1 || steps[2] != 2 {
		t.Errorf("ended %s, %v, having seen steps %v", last.State, err, steps)
	}
}

func TestFollowOfNoRunEnds(t *testing.T) {
	r := newRig(t)
	r.lead(term(3), true, true, says(3)) // names no run
	if _, err := r.c.Follow(r.ctx, "r", func(metatrain.RunStatus) {}); err == nil {
		t.Error("a run that is not there was followed to its end")
	}
}
