package etcdstate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	// attemptTimeout bounds one attempt of Open.
	attemptTimeout = 2 * time.Second
	// attemptPause lies between two attempts of Open.
	attemptPause = 250 * time.Millisecond
	// waitingEvery is how often Config.Waiting is told after the first time.
	waitingEvery = 5 * time.Second
	// pingAfter and pingTimeout find a silent connection dead. etcd closes
	// connections of clients that ping more often than every 5 s.
	pingAfter, pingTimeout = 5 * time.Second, 3 * time.Second
)

// State is the part of an etcd cluster under one prefix. Its methods are safe for
// concurrent use.
type State struct {
	client    *clientv3.Client
	owned     bool // Close closes the client
	prefix    string
	user      string
	endpoints []string
	timeout   time.Duration
}

// Open connects to a cluster and reads once, so that a wrong address or wrong
// credentials show here. It goes on trying for Config.DialTimeout while the
// cluster does not answer, then returns an *UnreachableError; wrong credentials
// (ErrCredentials) end it at once.
func Open(ctx context.Context, c Config) (*State, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("open etcd: %w", err)
	}
	c = c.withDefaults()
	secure, err := c.tls()
	if err != nil {
		return nil, fmt.Errorf("open etcd: %w", err)
	}
	s, err := c.connect(ctx, clientv3.Config{
		Endpoints:            c.Endpoints,
		Username:             c.Username,
		Password:             c.Password,
		TLS:                  secure,
		DialTimeout:          attemptTimeout, // of the login in clientv3.New
		DialKeepAliveTime:    pingAfter,
		DialKeepAliveTimeout: pingTimeout,
		Logger:               zap.NewNop(), // errors are returned, not logged
	})
	if err != nil {
		return nil, fmt.Errorf("open etcd: %w", err)
	}
	return s, nil
}

// FromClient uses a client that exists already, such as an embedded server's. Close
// leaves it open. An empty prefix means "warmstart".
func FromClient(client *clientv3.Client, prefix string) *State {
	c := Config{Prefix: prefix}.withDefaults()
	return &State{client: client, prefix: c.Prefix, endpoints: client.Endpoints(), timeout: c.RequestTimeout}
}

// Close ends the connection that Open made.
func (s *State) Close() error {
	if !s.owned {
		return nil
	}
	if err := s.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("close etcd: %w", err)
	}
	return nil
}

// connect tries until it has an answer, a refusal, or no time left.
func (c Config) connect(ctx context.Context, cc clientv3.Config) (*State, error) {
	since := time.Now()
	until := since.Add(c.DialTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	var told time.Time
	for {
		s, err := c.attempt(ctx, cc)
		if err == nil {
			return s, nil
		}
		err = diagnose(ctx, c.Endpoints, cc.TLS, err)
		if refused := credentialsError(err, c.Username, c.Prefix); refused != nil {
			return nil, refused
		}
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
			return nil, fmt.Errorf("reach etcd at %s: %w", strings.Join(c.Endpoints, ", "), cause)
		}
		unreachable := &UnreachableError{Endpoints: c.Endpoints, Since: since, Until: until, Cause: err}
		if time.Until(until) <= attemptPause {
			return nil, unreachable
		}
		if c.Waiting != nil && time.Since(told) >= waitingEvery {
			told = time.Now()
			c.Waiting(unreachable)
		}
		select {
		case <-ctx.Done():
		case <-time.After(attemptPause):
		}
	}
}

// attempt makes a client and reads one key with it.
func (c Config) attempt(ctx context.Context, cc clientv3.Config) (*State, error) {
	client, err := clientv3.New(cc)
	if err != nil {
		return nil, err
	}
	s := &State{client: client, owned: true, prefix: c.Prefix, user: c.Username, endpoints: c.Endpoints, timeout: c.RequestTimeout}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if _, err := client.Get(ctx, s.key(leaderKey)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// diagnose replaces the client's "deadline exceeded", which hides why, by what a
// plain connection to the first endpoint that fails has to say.
func diagnose(ctx context.Context, endpoints []string, secure *tls.Config, err error) error {
	if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	for _, e := range endpoints {
		if err := touch(ctx, e, secure); err != nil {
			return err
		}
	}
	return errors.New("something listens there but does not answer as an etcd with a leader does")
}

// touch connects to an endpoint, with TLS where it is https, and leaves again.
func touch(ctx context.Context, endpoint string, secure *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	addr := endpoint
	u, err := url.Parse(endpoint)
	if err == nil && u.Host != "" {
		addr = u.Host
	}
	var conn net.Conn
	if err == nil && u.Scheme == "https" {
		conn, err = (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", addr)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	}
	if err != nil {
		return err
	}
	return conn.Close()
}

func (s *State) key(name string) string { return s.prefix + "/" + name }

// request bounds one question to etcd.
func (s *State) request(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout)
}

// explain gives an error of a request the credentials' remedy where it is theirs,
// else the address.
func (s *State) explain(err error) error {
	if refused := credentialsError(err, s.user, s.prefix); refused != nil {
		return refused
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("etcd at %s: no answer within %v: %w", strings.Join(s.endpoints, ", "), s.timeout, err)
	}
	return fmt.Errorf("etcd at %s: %w", strings.Join(s.endpoints, ", "), err)
}

// Load returns all keys under the prefix, in order, but the leader's own: a
// linearizable read of one revision. What a leader loads after its election holds
// every commit of its predecessors, and none can follow.
func (s *State) Load(ctx context.Context) ([]KV, error) {
	ctx, cancel := s.request(ctx)
	defer cancel()
	resp, err := s.client.Get(ctx, s.key(""), clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("load state: %w", s.explain(err))
	}
	kvs := make([]KV, 0, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		name := strings.TrimPrefix(string(kv.Key), s.key(""))
		if name != leaderKey {
			kvs = append(kvs, KV{Key: name, Value: kv.Value, ModRev: kv.ModRevision})
		}
	}
	return kvs, nil
}
