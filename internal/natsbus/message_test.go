package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func TestRequestsAreAnsweredLaterAndOutOfOrder(t *testing.T) {
	backends(t, func(t *testing.T, c Config) {
		leader, worker := connect(t, c), connect(t, c)
		const n = 50
		var mu sync.Mutex
		var waiting []func()
		stop, err := leader.Serve("ws.lead.7.*", func(subject, _ string, data []byte, reply func([]byte)) {
			mu.Lock()
			defer mu.Unlock()
			waiting = append(waiting, func() { reply([]byte(subject + "/" + string(data))) })
			if len(waiting) == n { // none was answered until all were there
				go func() {
					for i := range waiting {
						waiting[n-1-i]()
					}
				}()
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() {
				answer, err := worker.Request(t.Context(), "ws.lead.7.lease", []byte(strconv.Itoa(i)))
				if want := fmt.Sprintf("ws.lead.7.lease/%d", i); err != nil || string(answer) != want {
					t.Errorf("found %q, %v, expected %q", answer, err, want)
				}
			})
		}
		group.Wait()
	})
}

func TestRequestWhereNobodyServes(t *testing.T) {
	backends(t, func(t *testing.T, c Config) {
		leader, worker := connect(t, c), connect(t, c)
		start := time.Now()
		_, err := worker.Request(t.Context(), "nobody", nil)
		if !errors.Is(err, ErrNoResponders) || errors.Is(err, ErrDisconnected) {
			t.Fatalf("found %v, expected ErrNoResponders", err)
		}
		if time.Since(start) > time.Second {
			t.Errorf("found it out after %v, expected at once", time.Since(start))
		}
		expectWords(t, err, "request nobody: ")

		stop, err := leader.Serve("somebody", func(string, string, []byte, func([]byte)) {})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := worker.Request(ctx, "somebody", nil); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrDisconnected) {
			t.Errorf("found %v from one who does not answer, expected the context's error", err)
		}
		stop()
		stop() // is harmless
		eventually(t, "the end of the service", func() bool {
			// A request that crosses the end of the subscription is delivered to nobody, and never answered.
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := worker.Request(ctx, "somebody", nil)
			return errors.Is(err, ErrNoResponders)
		})
	})
}

func TestBroadcastsArriveInOrder(t *testing.T) {
	backends(t, func(t *testing.T, c Config) {
		leader, worker := connect(t, c), connect(t, c)
		got := make(chan string, 100)
		stop, err := worker.Subscribe("theta.*", func(data []byte) { got <- string(data) })
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			if err := leader.Publish("theta.x", []byte(strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			if s := <-got; s != strconv.Itoa(i) {
				t.Fatalf("found %s, expected %d", s, i)
			}
		}
		stop()
		if err := leader.Publish("theta.x", []byte("late")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		if len(got) != 0 {
			t.Error("found a message after stop")
		}
	})
}

func TestLargestMessagePassesAndLargerIsRefused(t *testing.T) {
	backends(t, func(t *testing.T, c Config) {
		var mu sync.Mutex
		var failed error
		c.Failed = func(err error) { mu.Lock(); defer mu.Unlock(); failed = err }
		leader, worker := connect(t, c), connect(t, c)
		stop, err := leader.Serve("echo", func(_, _ string, data []byte, reply func([]byte)) {
			if len(data) == 0 {
				data = make([]byte, MaxMessage+1)
			}
			reply(data)
		})
		if err != nil {
			t.Fatal(err)
		}
		defer stop()
		answer, err := worker.Request(t.Context(), "echo", make([]byte, MaxMessage))
		if err != nil || len(answer) != MaxMessage {
			t.Fatalf("found %d bytes, %v, expected %d", len(answer), err, MaxMessage)
		}
		if _, err := worker.Request(t.Context(), "echo", make([]byte, MaxMessage+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("found %v, expected ErrTooLarge", err)
		}
		if err := worker.Publish("echo", make([]byte, MaxMessage+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("found %v, expected ErrTooLarge", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, _ = worker.Request(ctx, "echo", nil)
		mu.Lock()
		defer mu.Unlock()
		if !errors.Is(failed, ErrTooLarge) {
			t.Errorf("found %v told of an answer too large, expected ErrTooLarge", failed)
		}
		if err := leader.Publish("echo", []byte("nobody waits for the answer")); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkRequest measures the round trip of a small request over TCP, on one connection.
func BenchmarkRequest(b *testing.B) {
	s, err := server.NewServer(&server.Options{NoSigs: true, NoLog: true, Host: "127.0.0.1", Port: -1})
	if err != nil {
		b.Fatal(err)
	}
	s.Start()
	defer s.Shutdown()
	bus, err := Connect(b.Context(), Config{URL: s.ClientURL()})
	if err != nil {
		b.Fatal(err)
	}
	defer bus.Close()
	stop, err := bus.Serve("echo", func(_, _ string, data []byte, reply func([]byte)) { reply(data) })
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	for b.Loop() {
		if _, err := bus.Request(b.Context(), "echo", make([]byte, 64)); err != nil {
			b.Fatal(err)
		}
	}
}
