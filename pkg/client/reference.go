package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

// Bounds of reading what an answer refers to. Who cannot reach the store learns it soon, and then asks the leader for the
// bytes, for a while: each try costs a step up to dialPatience, so that they grow rare where the store stays out of reach.
const (
	dialPatience = 2 * time.Second
	silence      = 5 * time.Second
	shunFor      = time.Minute // after the first failure, then twice as long each time
	shunMost     = time.Hour
)

// references reads contents by the addresses that answers refer to.
type references struct {
	http    *http.Client
	silence time.Duration // how long a store may send nothing

	mu    sync.Mutex
	until time.Time     // no addresses are asked for before
	wait  time.Duration // of the latest such while; 0: what was last tried was read
}

func newReferences() *references {
	return &references{silence: silence, http: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: dialPatience}).DialContext,
			TLSHandshakeTimeout: silence, ResponseHeaderTimeout: silence, IdleConnTimeout: 30 * time.Second, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("found a redirection, expected the content")
		},
	}}
}

// welcome says whether addresses are of use at present.
func (r *references) welcome(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !now.Before(r.until)
}

// shun notes that an address could not be read. first: what was tried before could, so that people should hear of it.
func (r *references) shun(now time.Time) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Before(r.until) { // another slot met it, too
		return false
	}
	first = r.wait == 0
	r.wait = min(max(2*r.wait, shunFor), shunMost)
	r.until = now.Add(r.wait)
	return first
}

// reached notes that an address was read.
func (r *references) reached() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wait = 0
}

// get reads total bytes of that SHA-256 at an address. Its errors do not hold the address, which gives access.
func (r *references) get(ctx context.Context, address string, total int, digest string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || total < 0 || total > metatrain.MaxContent {
		return nil, fmt.Errorf("found an address or length (%d) that is none, expected http(s)", total)
	}
	data, err := r.read(ctx, address, total)
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	if err != nil {
		return nil, fmt.Errorf("read from %s: %w", u.Host, err)
	}
	if found := metatrain.Digest(data); found != digest {
		return nil, fmt.Errorf("read from %s: content with SHA-256 %.12s, expected %.12s", u.Host, found, digest)
	}
	return data, nil
}

func (r *references) read(ctx context.Context, address string, total int) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stuck := time.AfterFunc(r.silence+dialPatience, func() { cancel(fmt.Errorf("nothing came for %v", r.silence)) })
	defer stuck.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength >= 0 && resp.ContentLength != int64(total) {
		return nil, fmt.Errorf("found status %s and %d bytes, expected 200 and %d", resp.Status, resp.ContentLength, total)
	}
	data := make([]byte, total)
	for n := 0; n < total; {
		got, err := resp.Body.Read(data[n:])
		stuck.Reset(r.silence)
		if n += got; err != nil && n < total {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("after %d of %d bytes: %w", n, total, err)
		}
	}
	return data, nil
}
