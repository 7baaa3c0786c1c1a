package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/warmstart-ml/warmstart/pkg/checkpoint"
	"github.com/warmstart-ml/warmstart/pkg/metatrain"
)

var _ checkpoint.Getter = (*Client)(nil)

// patience of one attempt at a request that is answered at once.
const patience = 5 * time.Second

// ErrGone: the leader no longer has it, because the work it belonged to is over.
var ErrGone = errors.New("not there any more")

// maxRestarts is how often a content that changed its length between two chunks is fetched again from its start.
const maxRestarts = 5

// fetch collects the chunks of one content.
func (c *Client) fetch(ctx context.Context, f metatrain.Fetch) ([]byte, error) {
	var whole []byte
	total, restarts := -1, 0
	for {
		f.Offset = len(whole)
		reply, chunk, err := Ask[metatrain.Chunk](ctx, c, "fetch", f, nil, patience)
		switch {
		case err != nil:
			return nil, err
		case reply.Absent && f.Object != "":
			return nil, fmt.Errorf("%w: %s", checkpoint.ErrNotFound, f.Object)
		case reply.Absent:
			return nil, ErrGone
		case reply.Error != "":
			return nil, errors.New(reply.Error)
		case reply.URL != "" && f.Ref:
			data, err := c.refs.get(ctx, reply.URL, reply.Total, f.Theta)
			if err == nil {
				c.refs.reached()
				return data, nil
			}
			if ctx.Err() != nil {
				return nil, err
			}
			if c.refs.shun(time.Now()) {
				c.log.Warn("parameters in the store are out of reach; the leader sends them. It is tried again after a minute, then ever later, and not said again until one was read", "err", err)
			}
			f.Ref = false
			continue
		case total >= 0 && reply.Total != total && restarts < maxRestarts:
			whole, total = nil, -1 // a list that grew
			restarts++
			continue
		case reply.Total < 0 || reply.Total > metatrain.MaxContent || total >= 0 && reply.Total != total,
			len(chunk) > reply.Total-len(whole), len(chunk) == 0 && reply.Total > len(whole):
			return nil, fmt.Errorf("content of %d bytes announced, %d there, a chunk of %d came", reply.Total, len(whole), len(chunk))
		}
		total = reply.Total
		whole = append(whole, chunk...)
		if len(whole) == total {
			return whole, nil
		}
	}
}

// verified is fetch for content known by its SHA-256.
func (c *Client) verified(ctx context.Context, f metatrain.Fetch, digest string) ([]byte, error) {
	data, err := c.fetch(ctx, f)
	if err != nil {
		return nil, err
	}
	if found := metatrain.Digest(data); found != digest {
		return nil, fmt.Errorf("content with SHA-256 %.12s, expected %.12s", found, digest)
	}
	return data, nil
}

// Theta fetches parameters by digest, verified: from the store where the leader refers to it and it can be reached.
func (c *Client) Theta(ctx context.Context, digest string) ([]byte, error) {
	data, err := c.verified(ctx, metatrain.Fetch{Theta: digest, Ref: c.refs.welcome(time.Now())}, digest)
	if err != nil {
		return nil, fmt.Errorf("fetch theta %.12s: %w", digest, err)
	}
	return data, nil
}

// Spec fetches a run's spec.
func (c *Client) Spec(ctx context.Context, run string) (metatrain.RunSpec, error) {
	data, err := c.fetch(ctx, metatrain.Fetch{Spec: run})
	if err != nil {
		return metatrain.RunSpec{}, fmt.Errorf("fetch spec of run %s: %w", run, err)
	}
	return metatrain.DecodeSpec(data)
}

// Data fetches a packed data set by digest, verified.
func (c *Client) Data(ctx context.Context, digest string) ([]byte, error) {
	data, err := c.verified(ctx, metatrain.Fetch{Object: metatrain.DataObject(digest)}, digest)
	if err != nil {
		return nil, fmt.Errorf("fetch data %.12s: %w", digest, err)
	}
	return data, nil
}

// Get reads an object below tasks/ or models/ of the cluster's store.
func (c *Client) Get(ctx context.Context, key string) ([]byte, error) {
	return c.fetch(ctx, metatrain.Fetch{Object: key})
}

// List lists objects below tasks/ or models/.
func (c *Client) List(ctx context.Context, prefix string) ([]checkpoint.Object, error) {
	data, err := c.fetch(ctx, metatrain.Fetch{List: prefix})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	var objects []checkpoint.Object
	if err := json.Unmarshal(data, &objects); err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	return objects, nil
}

// Upload brings a packed data set into the cluster's store. progress, where not nil, hears how many bytes are there.
func (c *Client) Upload(ctx context.Context, data []byte, progress func(done, total int)) (digest string, err error) {
	digest = metatrain.Digest(data)
	key := metatrain.DataObject(digest)
	if there, err := c.List(ctx, key); err != nil {
		return "", fmt.Errorf("upload data: %w", err)
	} else if len(there) == 1 && there[0].Size == int64(len(data)) {
		return digest, nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stuck := time.AfterFunc(uploadPatience, func() {
		cancel(fmt.Errorf("no progress for %v", uploadPatience))
	})
	defer stuck.Stop()
	for offset := 0; ; {
		chunk := data[offset:min(len(data), offset+metatrain.MaxChunk)]
		a, _, err := Ask[metatrain.Answer](ctx, c, "upload", metatrain.Upload{Digest: digest, Offset: offset, Total: len(data)}, chunk, time.Minute)
		switch {
		case err != nil:
			return "", fmt.Errorf("upload data: at %d of %d bytes: %w (%v)", offset, len(data), err, context.Cause(ctx))
		case a.Error != "" && a.Retry:
			if !again(ctx, c, "upload", a.Error) {
				return "", fmt.Errorf("upload data: at %d of %d bytes: %s (%v)", offset, len(data), a.Error, context.Cause(ctx))
			}
			offset = 0 // what was put together is gone
			continue
		case a.Error != "":
			return "", fmt.Errorf("upload data: %s", a.Error)
		case a.Offset < 0 || a.Offset > len(data):
			return "", fmt.Errorf("upload data: byte %d of %d asked for", a.Offset, len(data))
		}
		if a.Durable {
			return digest, nil
		}
		if a.Offset > offset {
			stuck.Reset(uploadPatience)
		}
		offset = a.Offset // a new leader wants it from the start
		if progress != nil {
			progress(offset, len(data))
		}
	}
}

// uploadPatience ends an upload of which nothing more arrives (G5): longer than a store's restart and a failover.
const uploadPatience = 3 * time.Minute
