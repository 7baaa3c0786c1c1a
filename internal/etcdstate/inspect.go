package etcdstate

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Member is one endpoint as a look at it found it.
type Member struct {
	Endpoint    string
	Version     string
	Size, InUse int64 // bytes of the database; InUse is what compaction and defragmentation would leave
	Quota       int64 // bytes; 0 = not told
	KnowsLeader bool
	Learner     bool
	Trouble     []string // in the member's own words
	Err         error    // it does not answer
}

// Facts are what a look at an etcd cluster finds, for those who ask what is wrong.
type Facts struct {
	Members []Member
	Alarms  []string // as etcd names them: NOSPACE, CORRUPT
	// AlarmErr says why alarms could not be asked for.
	AlarmErr error
	// Read and Write are how long a linearizable read and a write took, the worst
	// of a few; Err says why one failed.
	Read, Write time.Duration
	Err         error
	Revision    int64
	// Compacted: old revisions have been dropped at some time.
	Compacted bool
	Leader    Leader
	State     []KV // under the prefix, but the leader's
}

// probes is how often Inspect reads and writes.
const probes = 5

// Inspect looks at the cluster. It writes one key of its own below the prefix,
// under a lease of seconds, and deletes it.
func (s *State) Inspect(ctx context.Context) Facts {
	f := Facts{}
	for _, e := range s.endpoints {
		f.Members = append(f.Members, s.member(ctx, e))
	}
	f.Alarms, f.AlarmErr = s.alarms(ctx)
	if f.Leader, f.Revision, f.Err = s.leader(ctx); f.Err != nil {
		return f
	}
	if f.State, f.Err = s.Load(ctx); f.Err != nil {
		return f
	}
	f.Compacted = s.compacted(ctx)
	f.Read, f.Write, f.Err = s.probe(ctx)
	return f
}

func (s *State) member(ctx context.Context, endpoint string) Member {
	ctx, cancel := s.request(ctx)
	defer cancel()
	m := Member{Endpoint: endpoint}
	st, err := s.client.Status(ctx, endpoint)
	if err != nil {
		m.Err = s.explain(err)
		return m
	}
	m.Version, m.Size, m.InUse, m.Quota = st.Version, st.DbSize, st.DbSizeInUse, st.DbSizeQuota
	m.KnowsLeader, m.Learner, m.Trouble = st.Leader != 0, st.IsLearner, st.Errors
	return m
}

func (s *State) alarms(ctx context.Context) ([]string, error) {
	ctx, cancel := s.request(ctx)
	defer cancel()
	resp, err := s.client.AlarmList(ctx)
	if err != nil {
		return nil, s.explain(err)
	}
	var names []string
	for _, a := range resp.Alarms {
		names = append(names, a.Alarm.String())
	}
	return names, nil
}

// compacted asks for the first revision, which an etcd that never dropped old
// ones still has.
func (s *State) compacted(ctx context.Context) bool {
	ctx, cancel := s.request(ctx)
	defer cancel()
	_, err := s.client.Get(ctx, s.key(leaderKey), clientv3.WithRev(1))
	return errors.Is(err, rpctypes.ErrCompacted)
}

// probe times reads and writes.
func (s *State) probe(ctx context.Context) (read, write time.Duration, err error) {
	ctx, cancel := s.request(ctx)
	defer cancel()
	g, err := s.grant(ctx, minTTL*5)
	if err != nil {
		return 0, 0, err
	}
	defer s.revoke(ctx, g.id) // with it goes the key
	key := s.key("doctor/probe")
	for range probes {
		began := time.Now()
		if _, err := s.client.Put(ctx, key, "", clientv3.WithLease(g.id)); err != nil {
			return 0, 0, fmt.Errorf("write %s: %w", key, s.explain(err))
		}
		write = max(write, time.Since(began))
		began = time.Now()
		if _, err := s.client.Get(ctx, key); err != nil {
			return 0, 0, fmt.Errorf("read %s: %w", key, s.explain(err))
		}
		read = max(read, time.Since(began))
	}
	return read, write, nil
}

// Clocks asks each endpoint for its time, by the Date of its HTTP answers: the
// clock found, in whole seconds, this side's when it was read, and what the two may
// differ by for that. Those that do not tell are left out.
func (c Config) Clocks(ctx context.Context, each func(endpoint string, theirs, ours time.Time, slop time.Duration)) error {
	secure, err := c.tls()
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: secure, DisableKeepAlives: true}, Timeout: attemptTimeout}
	for _, e := range c.Endpoints {
		if u, err := url.Parse(e); err != nil || u.Host == "" {
			e = "http://" + e
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e+"/version", nil)
		if err != nil {
			continue
		}
		asked := time.Now()
		resp, err := client.Do(req)
		if err != nil {
			continue
		}
		half := time.Since(asked) / 2
		_ = resp.Body.Close()
		if theirs, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			each(e, theirs, asked.Add(half), half+time.Second)
		}
	}
	return nil
}
