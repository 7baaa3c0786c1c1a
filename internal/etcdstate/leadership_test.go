package etcdstate

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/warmstart-ml/warmstart/internal/testservers"
)

func TestOneOfTwoCandidatesLeadsAndResigningHandsOver(t *testing.T) {
	backends(t, func(t *testing.T, open func() *State) {
		a, b := open(), open()
		first := campaign(t, a, "first", minTTL)
		won := make(chan *Leadership)
		go func() {
			l, err := b.Campaign(t.Context(), "second", minTTL)
			if err != nil {
				t.Error(err)
			}
			won <- l
		}()
		select {
		case <-won:
			t.Fatal("found a second leader while the first held its lease")
		case <-first.Done():
			t.Fatalf("found the first leader's keep-alives failing: %v", first.Err())
		case <-time.After(minTTL * 3 / 2):
		}
		if leader, err := b.Leader(t.Context()); err != nil || leader != (Leader{"first", first.Revision()}) {
			t.Fatalf("found %v, %v, expected the first to lead", leader, err)
		}
		start := time.Now()
		if err := first.Resign(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-first.Done():
		default:
			t.Error("found Done open after Resign")
		}
		second := <-won
		t.Logf("handed over in %v", time.Since(start))
		if took := time.Since(start); took > time.Second {
			t.Errorf("found %v from resigning to the next leader, expected it at once", took)
		}
		if second.Revision() <= first.Revision() {
			t.Errorf("found revision %d after %d, expected it higher", second.Revision(), first.Revision())
		}
		if err := second.Resign(t.Context()); err != nil {
			t.Error(err)
		}
		if err := second.Resign(t.Context()); err != nil {
			t.Errorf("found %v from resigning twice, expected none", err)
		}
	})
}

func TestCampaignNamesWhomItWaitsFor(t *testing.T) {
	t.Parallel()
	s := open(t, testservers.Etcd(t).Endpoint)
	campaign(t, s, "holder-7", minTTL)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := s.Campaign(ctx, "waiter", minTTL)
	expectWords(t, err, "campaign as waiter", "waited for leader holder-7")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("found %v, expected the context's error", err)
	}
	for _, ttl := range []time.Duration{0, time.Second, 2500 * time.Millisecond} {
		_, err := s.Campaign(t.Context(), "waiter", ttl)
		expectWords(t, err, "whole seconds, at least 2s")
	}
}

func TestKilledLeaderIsReplacedWithinItsTTL(t *testing.T) {
	t.Parallel()
	const ttl = 4 * time.Second
	server := testservers.Etcd(t)
	p := startProxy(t, strings.TrimPrefix(server.Endpoint, "http://"))
	campaign(t, open(t, p.endpoint()), "killed", ttl)
	time.Sleep(time.Second)
	p.close() // all that etcd sees of a SIGKILL
	start := time.Now()
	campaign(t, open(t, server.Endpoint), "next", ttl)
	took := time.Since(start)
	t.Logf("replaced after %v", took)
	// etcd looks for expired leases every 500 ms; the rest is for a busy machine.
	if took > ttl+2*time.Second {
		t.Errorf("found %v until the next leader, expected about the ttl, %v", took, ttl)
	}
}

// TestG4_LeaderStopsBeforeItsLeaseExpires cuts a leader off in each direction.
// The server still counts a keep-alive whose answer was lost, so it may let the
// lease live longer than the leader believes, never shorter.
func TestG4_LeaderStopsBeforeItsLeaseExpires(t *testing.T) {
	for name, directions := range map[string][]int{
		"both":    {toServer, toClient},
		"answers": {toClient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const ttl = 3 * time.Second
			server := testservers.Etcd(t)
			p := startProxy(t, strings.TrimPrefix(server.Endpoint, "http://"))
			direct := plain(t, server.Endpoint)
			l := campaign(t, open(t, p.endpoint()), "a", ttl)
			time.Sleep(ttl / 2)
			if err := l.Err(); err != nil {
				t.Fatal(err)
			}
			gone := deletion(t, direct, l.state.key(leaderKey))
			p.hold(directions...)
			start := time.Now()
			select {
			case <-l.Done():
				t.Logf("stopped %v after the cut", time.Since(start))
			case <-gone:
				t.Fatalf("found the lease expired %v after the cut and the leader unaware", time.Since(start))
			case <-time.After(5 * ttl):
				t.Fatal("found the leader still unaware")
			}
			if took := time.Since(start); took > ttl-ttl/marginShare+100*time.Millisecond {
				t.Errorf("found the leader stopped after %v, expected at most %v after its last keep-alive", took, ttl-ttl/marginShare)
			}
			err := l.Err()
			expectWords(t, err, "no keep-alive of leader a", p.endpoint())
			if !errors.Is(err, ErrDeposed) {
				t.Errorf("found %v, expected ErrDeposed", err)
			}
			select {
			case <-gone:
				t.Fatal("found the lease expired already when the leader stopped")
			case <-time.After(50 * time.Millisecond):
			}
			<-gone
			t.Logf("lease expired %v after the cut", time.Since(start))
		})
	}
}

// lateLease delivers each keep-alive's answer late, and none once it is silent.
type lateLease struct {
	clientv3.Lease
	delay  time.Duration
	silent chan struct{}

	mu   sync.Mutex
	sent time.Time // of the last keep-alive whose answer was delivered
}

func (l *lateLease) KeepAliveOnce(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseKeepAliveResponse, error) {
	sent := time.Now()
	resp, err := l.Lease.KeepAliveOnce(ctx, id)
	select {
	case <-l.silent:
		<-ctx.Done()
		return nil, ctx.Err()
	case <-time.After(l.delay):
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = sent
	return resp, err
}

// TestG4_LeaderCountsFromTheSendTime makes answers slow: a leader that counted from
// their arrival would lead on after its lease may have gone.
func TestG4_LeaderCountsFromTheSendTime(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	c := plain(t, testservers.Etcd(t).Endpoint)
	late := &lateLease{Lease: c.Lease, delay: 800 * time.Millisecond, silent: make(chan struct{})}
	c.Lease = late
	l := campaign(t, FromClient(c, ""), "a", ttl)
	time.Sleep(ttl + late.delay)
	close(late.silent)
	<-l.Done()
	late.mu.Lock()
	defer late.mu.Unlock()
	if led := time.Since(late.sent); led > ttl-ttl/marginShare+200*time.Millisecond {
		t.Errorf("found the leader stopped %v after it sent its last confirmed keep-alive, expected %v", led, ttl-ttl/marginShare)
	}
}

func deletion(t *testing.T, c *clientv3.Client, key string) <-chan struct{} {
	gone := make(chan struct{})
	events := c.Watch(t.Context(), key, clientv3.WithFilterPut(), clientv3.WithCreatedNotify())
	<-events // the watch stands
	go func() {
		<-events
		close(gone)
	}()
	return gone
}

func TestLeaderOutlastsShortOutages(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	server := testservers.Etcd(t)
	p := startProxy(t, strings.TrimPrefix(server.Endpoint, "http://"))
	l := campaign(t, open(t, p.endpoint()), "a", ttl)
	for range 2 {
		p.hold(toServer, toClient)
		time.Sleep(ttl / 4)
		p.release()
		time.Sleep(ttl / 2)
	}
	server.Kill()
	server.Restart() // the lease outlives the process that granted it
	time.Sleep(ttl)
	if err := l.Err(); err != nil {
		t.Fatalf("found the leadership lost: %v", err)
	}
	commit(t, l, Txn{Puts: []Put{{Key: "k", Value: nil}}})
}

func TestLostLeaseClosesDoneEarly(t *testing.T) {
	backends(t, func(t *testing.T, open func() *State) {
		s := open()
		l := campaign(t, s, "a", minTTL)
		if _, err := s.client.Revoke(t.Context(), l.lease); err != nil {
			t.Fatal(err)
		}
		select {
		case <-l.Done():
		case <-time.After(minTTL / 2):
			t.Fatal("found Done open, expected it closed at the next keep-alive")
		}
		expectWords(t, l.Err(), "expired or revoked")
	})
}

func TestCampaignReportsAServerThatIsGone(t *testing.T) {
	t.Parallel()
	server := testservers.Etcd(t)
	s, err := Open(t.Context(), Config{Endpoints: []string{server.Endpoint}, RequestTimeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	server.Kill()
	_, err = s.Campaign(t.Context(), "a", minTTL)
	expectWords(t, err, "campaign as a: read leader", server.Endpoint)
	server.Restart()
	campaign(t, s, "a", minTTL)
}
